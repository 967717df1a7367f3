// ByteQueue: bytes that come in at the back and go out at the front.
//
// Thread-safety: none.
// Cost:          amortised one copy for each byte in and one out.
#ifndef GYRE_RUNTIME_SIM_BYTE_QUEUE_H_
#define GYRE_RUNTIME_SIM_BYTE_QUEUE_H_

#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

namespace gyre::internal {

class ByteQueue {
 public:
  size_t size() const { return bytes_.size() - head_; }

  void Append(std::span<const std::byte> more) { bytes_.insert(bytes_.end(), more.begin(), more.end()); }

  // Fills `into`, which must not be longer than the queue.
  void Take(std::span<std::byte> into) {
    if (into.empty()) return;
    std::memcpy(into.data(), bytes_.data() + head_, into.size());
    head_ += into.size();
    if (head_ >= bytes_.size() / 2) Compact();
  }

 private:
  void Compact() {
    bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(head_));
    head_ = 0;
  }

  std::vector<std::byte> bytes_;
  size_t head_ = 0;
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_SIM_BYTE_QUEUE_H_
