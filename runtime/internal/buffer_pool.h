// BufferPool: the receive buffers that a loop leases to its connections, so that an idle connection holds none.
//
// Thread-safety: the owning loop's thread only.
// Lifetime:      a block may be freed after its loop has ended (then it goes back to the system), but on no other loop.
// Errors:        std::bad_alloc from Lease when the system has no memory.
// Units:         bytes. Two sizes: kSmallBytes for most, kLargeBytes for connections that filled a small one.
// Cost:          last freed, first leased: under load the same few blocks stay in the cache. Up to kKeepMax free blocks
//                of each size are kept, the rest go back to the system.
#ifndef GYRE_RUNTIME_INTERNAL_BUFFER_POOL_H_
#define GYRE_RUNTIME_INTERNAL_BUFFER_POOL_H_

#include <cstddef>

#include "gyre/runtime/internal/intrusive_list.h"
#include "gyre/runtime/internal/poison.h"

namespace gyre::internal {

class BufferPool;

// Header of a block; the bytes follow it.
struct BufferBlock : ListHook<BufferBlock> {
  BufferBlock(BufferPool* pool, size_t capacity) : pool(pool), capacity(capacity) {}

  BufferPool* pool;  // null once the loop has ended
  size_t capacity;

  std::byte* data() { return reinterpret_cast<std::byte*>(this + 1); }
};

class BufferPool {
 public:
  static constexpr size_t kSmallBytes = 16 * 1024;
  static constexpr size_t kLargeBytes = 64 * 1024;
  static constexpr size_t kKeepMax = 64;

  BufferPool() = default;
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  BufferBlock* Lease(bool is_large) {
    FreeList& list = is_large ? large_ : small_;
    BufferBlock* block = list.blocks.back();
    if (block == nullptr) [[unlikely]] return LeaseNew(is_large ? kLargeBytes : kSmallBytes);
    leased_.MoveToBack(*block);
    ++leased_count_;
    --list.count;
    Unpoison(block->data(), block->capacity);
    return block;
  }
  static void Free(BufferBlock* block) noexcept;

  size_t leased() const { return leased_count_; }

 private:
  BufferBlock* LeaseNew(size_t capacity);

  // Last in, first out.
  struct FreeList {
    IntrusiveList<BufferBlock> blocks;
    size_t count = 0;
  };

  FreeList small_;
  FreeList large_;
  IntrusiveList<BufferBlock> leased_;
  size_t leased_count_ = 0;
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_BUFFER_POOL_H_
