// Ring: a queue of up to `capacity` items in one block of memory, which is allocated at the beginning.
//
// Thread-safety: none.
#ifndef GYRE_SYNC_INTERNAL_RING_H_
#define GYRE_SYNC_INTERNAL_RING_H_

#include <bit>
#include <cstddef>
#include <limits>
#include <memory>
#include <utility>

#include "gyre/runtime/check.h"

namespace gyre::internal {

template <class T>
class Ring {
 public:
  // Without memory: for Swap.
  Ring() = default;
  explicit Ring(size_t capacity) {
    GYRE_CHECK(capacity <= std::numeric_limits<ptrdiff_t>::max() / sizeof(T) / 2,
               "a bounded queue was made for more items than memory can hold");
    if (capacity == 0) return;
    mask_ = std::bit_ceil(capacity) - 1;
    items_ = std::allocator<T>().allocate(mask_ + 1);
  }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring() {
    while (!empty()) DropFront();
    if (items_ != nullptr) std::allocator<T>().deallocate(items_, mask_ + 1);
  }

  bool empty() const { return first_ == end_; }
  size_t size() const { return end_ - first_; }

  // There must be room.
  void PushBack(T&& item) {
    GYRE_DCHECK(items_ != nullptr && size() <= mask_, "internal: a Ring is full");
    std::construct_at(items_ + (end_ & mask_), std::move(item));
    ++end_;
  }
  // Not of an empty one.
  T& front() { return items_[first_ & mask_]; }
  // Item `i` from the front.
  T& operator[](size_t i) { return items_[(first_ + i) & mask_]; }
  void DropFront() {
    std::destroy_at(items_ + (first_ & mask_));
    ++first_;
  }

  void Swap(Ring& other) {
    std::swap(items_, other.items_);
    std::swap(mask_, other.mask_);
    std::swap(first_, other.first_);
    std::swap(end_, other.end_);
  }

 private:
  T* items_ = nullptr;
  size_t mask_ = 0;   // size of the block, a power of two, less one
  size_t first_ = 0;  // both count on and on; modulo the block's size they are places
  size_t end_ = 0;
};

}  // namespace gyre::internal

#endif  // GYRE_SYNC_INTERNAL_RING_H_
