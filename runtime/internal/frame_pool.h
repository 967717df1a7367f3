// FramePool: recycled memory for coroutine frames and task states, one pool per loop.
//
// Thread-safety: the owning loop's thread only.
// Lifetime:      outlives every block it gave; destroying a pool that still has blocks out is a check failure.
// Errors:        std::bad_alloc when the system has no memory.
// Units:         sizes in bytes. Size classes of 64 B up to 4 KiB; larger blocks come from malloc.
// Cost:          a pop and a push on a free list; a slab of 64 KiB is carved when a list is empty, and kept until
//                the loop ends.
//
// Blocks are 64-byte aligned: neither compiler honours an over-aligned local in a coroutine frame by itself. The last
// word of each block names the pool it belongs to (NoPool(): made outside any loop, from malloc), so that freeing needs
// no lookup, and a frame that is destroyed on another loop is caught.
#ifndef GYRE_RUNTIME_INTERNAL_FRAME_POOL_H_
#define GYRE_RUNTIME_INTERNAL_FRAME_POOL_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "gyre/runtime/internal/poison.h"

namespace gyre::internal {

class FramePool {
 public:
  static constexpr size_t kGranuleBytes = 64;
  static constexpr size_t kPooledBytesMax = 4096;

  FramePool() = default;
  ~FramePool();
  FramePool(const FramePool&) = delete;
  FramePool& operator=(const FramePool&) = delete;

  // `size` is what the caller needs; the owner word is added here. Pass the same size to Free.
  void* Allocate(size_t size) {
    const size_t granules = Granules(size);
    if (granules > kClasses) [[unlikely]] return AllocateLarge(size);
    FreeBlock* block = free_[granules];
    if (block == nullptr) [[unlikely]] return AllocateSlow(granules);
    Unpoison(block, granules * kGranuleBytes - sizeof(void*));
    free_[granules] = block->next;
    return block;
  }

  // Memory for a frame made while no loop runs on this thread.
  static void* AllocateOutside(size_t size);

  // Frees what Allocate of `pool` or AllocateOutside gave. `pool` is the caller's loop's, or null outside a loop.
  static void Free(FramePool* pool, void* address, size_t size) {
    const size_t granules = Granules(size);
    FramePool* owner = OwnerWord(address, granules);
    if (owner != pool || granules > kClasses) [[unlikely]] {
      return FreeSlow(owner, pool, address, granules);
    }
    auto* block = static_cast<FreeBlock*>(address);
    PoisonFill(block, granules * kGranuleBytes - sizeof(void*));
    block->next = pool->free_[granules];
    pool->free_[granules] = block;
    Poison(block, granules * kGranuleBytes - sizeof(void*));
  }

  // Blocks given and not yet freed. Walks the free lists: for tests and for the end of a loop, not for hot paths.
  size_t CountBlocksOut() const;
  size_t slabs() const { return slab_count_; }

 private:
  struct FreeBlock {
    FreeBlock* next;
  };
  struct Slab {
    Slab* next;
  };
  // Differs from null, so that freeing outside a loop is told apart by the one comparison that is needed anyway.
  static FramePool* NoPool() { return reinterpret_cast<FramePool*>(uintptr_t{1}); }

  static constexpr size_t kClasses = kPooledBytesMax / kGranuleBytes;
  static constexpr size_t kSlabBytes = 64 * 1024;

  static constexpr size_t Granules(size_t size) {
    return (size + sizeof(FramePool*) + kGranuleBytes - 1) / kGranuleBytes;
  }
  static FramePool*& OwnerWord(void* address, size_t granules) {
    return *reinterpret_cast<FramePool**>(static_cast<char*>(address) + granules * kGranuleBytes - sizeof(FramePool*));
  }

  void* AllocateSlow(size_t granules);
  void* AllocateLarge(size_t size);
  static void FreeSlow(FramePool* owner, FramePool* pool, void* address, size_t granules);

  std::array<FreeBlock*, kClasses + 1> free_{};
  char* bump_ = nullptr;
  char* bump_end_ = nullptr;
  Slab* slabs_ = nullptr;
  size_t slab_count_ = 0;
  size_t carved_ = 0;     // blocks ever cut from slabs
  size_t large_out_ = 0;  // blocks over kPooledBytesMax now given
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_FRAME_POOL_H_
