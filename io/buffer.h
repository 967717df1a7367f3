// Buffer: received bytes in a block that the loop leases out, so that a connection that waits holds no memory.
//
// Thread-safety: its loop's thread only; destroying it elsewhere is a check failure.
// Lifetime:      gives the block back when destroyed or assigned to; may outlive its loop. Spans and views of it may
//                not outlive it.
// Units:         bytes. Empty means the end of the stream when it comes from Receive.
// Cost:          three words; the block comes from and goes to the loop's pool. To keep a few bytes for long, copy
//                them.
#ifndef GYRE_IO_BUFFER_H_
#define GYRE_IO_BUFFER_H_

#include <cstddef>
#include <span>
#include <string_view>
#include <utility>

#include "gyre/runtime/check.h"
#include "gyre/runtime/internal/buffer_pool.h"

namespace gyre {

class [[nodiscard]] Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept
      : block_(std::exchange(other.block_, nullptr)),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer taken(std::move(other));
    std::swap(block_, taken.block_);
    std::swap(data_, taken.data_);
    std::swap(size_, taken.size_);
    return *this;
  }
  ~Buffer() {
    if (block_ != nullptr) internal::BufferPool::Free(block_);
  }

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  std::span<std::byte> span() { return {data_, size_}; }
  std::span<const std::byte> span() const { return {data_, size_}; }
  operator std::span<std::byte>() { return span(); }
  operator std::span<const std::byte>() const { return span(); }
  std::string_view string_view() const { return {reinterpret_cast<const char*>(data_), size_}; }

  // Drops `count` bytes that have been dealt with; at most size() of them.
  void RemovePrefix(size_t count) {
    GYRE_CHECK(count <= size_, "Buffer::RemovePrefix was given more than the buffer holds");
    data_ += count;
    size_ -= count;
  }

  // For gyre's own streams: owns the first `size` bytes of `block`.
  static Buffer Own(internal::BufferBlock* block, size_t size) { return Buffer(block, size); }

 private:
  Buffer(internal::BufferBlock* block, size_t size) : block_(block), data_(block->data()), size_(size) {}

  internal::BufferBlock* block_ = nullptr;
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace gyre

#endif  // GYRE_IO_BUFFER_H_
