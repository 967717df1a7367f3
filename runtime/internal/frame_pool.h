// FramePool: recycled memory for coroutine frames and task states, one pool per loop.
//
// Thread-safety: the owning loop's thread only; of Outside() any thread.
// Lifetime:      outlives every block it gave; destroying a pool that still has blocks out is a check failure.
// Errors:        std::bad_alloc when the system has no memory.
// Units:         sizes in bytes. Size classes of 64 B up to 4 KiB; larger blocks come from the system one by one.
// Cost:          a pop and a push on a free list; a slab of 32 KiB is carved when a list is empty, and kept until
//                the loop ends. A block has no header of its own.
//
// Blocks are 64-byte aligned: neither compiler honours an over-aligned local in a coroutine frame by itself. Slabs are
// aligned to their size, and the first words of each name the pool it belongs to; so freeing needs no lookup, a frame
// that is destroyed on another loop is caught, and the check reads a line that hundreds of frames share.
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

  constexpr FramePool() = default;
  ~FramePool();
  FramePool(const FramePool&) = delete;
  FramePool& operator=(const FramePool&) = delete;

  // Pass the same size to Free.
  void* Allocate(size_t size) {
    const size_t granules = Granules(size);
    if (granules > kClasses) [[unlikely]] return AllocateLarge(size);
    FreeBlock* block = free_[granules];
    if (block == nullptr) [[unlikely]] return AllocateSlow(granules);
    Unpoison(block, granules * kGranuleBytes);
    free_[granules] = block->next;
    return block;
  }

  // The pool for code outside any loop: its blocks come from one that all threads share, under a lock. So whoever allocates
  // need not ask whether there is a pool.
  static constexpr FramePool* Outside();

  // Frees what Allocate gave. `pool` is the caller's loop's, or Outside().
  static void Free(FramePool* pool, void* address, size_t size) {
    const size_t granules = Granules(size);
    if (SlabOf(address)->owner != pool || granules > kClasses) [[unlikely]] {
      return FreeSlow(pool, address, granules);
    }
    pool->Recycle(address, granules);
  }

  // Blocks given and not yet freed. Walks the free lists: for tests and for the end of a loop, not for hot paths.
  size_t CountBlocksOut() const;
  size_t slabs() const { return slab_count_; }

 private:
  struct FreeBlock {
    FreeBlock* next;
  };
  struct Slab {
    FramePool* owner;
    Slab* next;
  };

  static constexpr size_t kClasses = kPooledBytesMax / kGranuleBytes;
  static constexpr size_t kSlabAlignment = 32 * 1024;
  // A little less, so that the allocator's own header fits between two slabs that follow one another.
  static constexpr size_t kSlabBytes = kSlabAlignment - 64;
  static constexpr size_t kHeaderBytes = kGranuleBytes;

  static constexpr size_t Granules(size_t size) { return (size + kGranuleBytes - 1) / kGranuleBytes; }
  static Slab* SlabOf(void* address) {
    return reinterpret_cast<Slab*>(reinterpret_cast<uintptr_t>(address) & ~uintptr_t{kSlabAlignment - 1});
  }

  void Recycle(void* address, size_t granules) {
    auto* block = static_cast<FreeBlock*>(address);
    PoisonFill(block, granules * kGranuleBytes);
    block->next = free_[granules];
    free_[granules] = block;
    Poison(block, granules * kGranuleBytes);
  }

  // The owner of a block that was allocated alone, outside any loop.
  static FramePool* Nobody() { return reinterpret_cast<FramePool*>(uintptr_t{1}); }

  // What frames made outside any loop come from; behind a lock.
  struct Shared;
  static Shared& GetShared();
  static bool IsShared(const FramePool* pool);
  static void* AllocateOutside(size_t size);

  void* AllocateSlow(size_t granules);
  void* AllocateLarge(size_t size);
  static void* AllocateAlone(size_t size, FramePool* owner);
  static void FreeSlow(FramePool* pool, void* address, size_t granules);

  std::array<FreeBlock*, kClasses + 1> free_{};
  char* bump_ = nullptr;
  char* bump_end_ = nullptr;
  Slab* slabs_ = nullptr;
  size_t slab_count_ = 0;
  size_t carved_ = 0;     // blocks ever cut from slabs
  size_t large_out_ = 0;  // blocks over kPooledBytesMax now given
};

// Its free lists stay empty. Never destroyed.
union OutsidePool {
  constexpr OutsidePool() : pool() {}
  ~OutsidePool() {}
  FramePool pool;
};
inline constinit OutsidePool outside_pool;

constexpr FramePool* FramePool::Outside() { return &outside_pool.pool; }

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_FRAME_POOL_H_
