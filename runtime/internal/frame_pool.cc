#include "gyre/runtime/internal/frame_pool.h"

#include <mutex>

#include "gyre/runtime/check.h"
#include "gyre/runtime/internal/allocation.h"

namespace gyre::internal {

// Never destroyed: a Task made by a static initialiser may die after it.
struct FramePool::Shared {
  std::mutex mutex;
  FramePool pool;
};

FramePool::Shared& FramePool::GetShared() {
  static Shared& shared = *new Shared;
  return shared;
}

bool FramePool::IsShared(const FramePool* pool) { return pool == &GetShared().pool; }

FramePool::~FramePool() {
  GYRE_CHECK(CountBlocksOut() == 0, "a loop ended while frames or task handles made on it were still alive: "
                               "destroy them on their loop, before Run returns");
  while (slabs_ != nullptr) {
    Slab* next = slabs_->next;
    Unpoison(slabs_, kSlabBytes);
    RawFree(slabs_);
    slabs_ = next;
  }
}

size_t FramePool::CountBlocksOut() const {
  size_t free_blocks = 0;
  for (size_t granules = 1; granules <= kClasses; ++granules) {
    for (const FreeBlock* block = free_[granules]; block != nullptr;) {
      ++free_blocks;
      Unpoison(block, sizeof(FreeBlock));
      const FreeBlock* next = block->next;
      Poison(block, sizeof(FreeBlock));
      block = next;
    }
  }
  return carved_ - free_blocks + large_out_;
}

void* FramePool::AllocateSlow(size_t granules) {
  const size_t bytes = granules * kGranuleBytes;
  if (this == Outside()) return AllocateOutside(bytes);
  if (static_cast<size_t>(bump_end_ - bump_) < bytes) {
    // What is left of the old slab (at most 4 KiB of 32) stays unused.
    auto* slab = static_cast<Slab*>(RawAllocate(kSlabBytes, kSlabAlignment));
    slab->owner = this;
    slab->next = slabs_;
    slabs_ = slab;
    ++slab_count_;
    bump_ = reinterpret_cast<char*>(slab) + kHeaderBytes;
    bump_end_ = reinterpret_cast<char*>(slab) + kSlabBytes;
  }
  void* address = bump_;
  bump_ += bytes;
  ++carved_;
  return address;
}

// A block with a slab's header before it, and nothing behind.
void* FramePool::AllocateAlone(size_t size, FramePool* owner) {
  void* address = RawAllocate(kHeaderBytes + size, kSlabAlignment);
  auto* slab = static_cast<Slab*>(address);
  slab->owner = owner;
  return static_cast<char*>(address) + kHeaderBytes;
}

void* FramePool::AllocateLarge(size_t size) {
  if (this == Outside()) return AllocateOutside(size);
  void* address = AllocateAlone(size, this);
  ++large_out_;
  return address;
}

void* FramePool::AllocateOutside(size_t size) {
  if (HasAllocationHook() || Granules(size) > kClasses) return AllocateAlone(size, Nobody());
  Shared& shared = GetShared();
  const std::lock_guard lock(shared.mutex);
  return shared.pool.Allocate(size);
}

void FramePool::FreeSlow(FramePool* pool, void* address, size_t granules) {
  FramePool* owner = SlabOf(address)->owner;
  if (owner == Nobody()) return RawFree(SlabOf(address));
  if (IsShared(owner)) {
    const std::lock_guard lock(GetShared().mutex);
    return owner->Recycle(address, granules);
  }
  GYRE_CHECK(owner == pool, "a coroutine frame was destroyed on another loop, or outside any loop: a frame lives "
                            "and dies on the loop that made it");
  GYRE_CHECK(granules > kClasses, "internal: pooled frame in the slow path");
  --owner->large_out_;
  RawFree(SlabOf(address));
}

}  // namespace gyre::internal
