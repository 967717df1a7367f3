#include "gyre/runtime/internal/frame_pool.h"

#include "gyre/runtime/check.h"
#include "gyre/runtime/internal/allocation.h"

namespace gyre::internal {

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
  if (static_cast<size_t>(bump_end_ - bump_) < bytes) {
    // What is left of the old slab (at most 4 KiB of 64) stays unused.
    auto* slab = static_cast<Slab*>(RawAllocate(kSlabBytes, kGranuleBytes));
    slab->next = slabs_;
    slabs_ = slab;
    ++slab_count_;
    bump_ = reinterpret_cast<char*>(slab) + kGranuleBytes;
    bump_end_ = reinterpret_cast<char*>(slab) + kSlabBytes;
  }
  void* address = bump_;
  bump_ += bytes;
  OwnerWord(address, granules) = this;
  ++carved_;
  return address;
}

void* FramePool::AllocateLarge(size_t size) {
  const size_t granules = Granules(size);
  void* address = RawAllocate(granules * kGranuleBytes, kGranuleBytes);
  OwnerWord(address, granules) = this;
  ++large_out_;
  return address;
}

void* FramePool::AllocateOutside(size_t size) {
  const size_t granules = Granules(size);
  void* address = RawAllocate(granules * kGranuleBytes, kGranuleBytes);
  OwnerWord(address, granules) = NoPool();
  return address;
}

void FramePool::FreeSlow(FramePool* owner, FramePool* pool, void* address, size_t granules) {
  if (owner != NoPool()) {
    GYRE_CHECK(owner == pool, "a coroutine frame was destroyed on another loop, or outside any loop: a frame lives "
                              "and dies on the loop that made it");
    GYRE_CHECK(granules > kClasses, "internal: pooled frame in the slow path");
    --owner->large_out_;
  }
  RawFree(address);
}

}  // namespace gyre::internal
