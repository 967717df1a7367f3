#include "gyre/runtime/internal/buffer_pool.h"

#include <memory>
#include <new>

#include "gyre/runtime/check.h"
#include "gyre/runtime/internal/allocation.h"
#include "gyre/runtime/internal/loop_core.h"
#include "gyre/runtime/internal/poison.h"
#include "gyre/runtime/loop.h"

namespace gyre::internal {

namespace {

[[gnu::noinline]] void Deallocate(BufferBlock& block) {
  std::destroy_at(&block);
  RawFree(&block);
}

}  // namespace

BufferPool::~BufferPool() {
  for (FreeList* list : {&small_, &large_}) {
    while (BufferBlock* block = list->blocks.PopFront()) {
      Unpoison(block->data(), block->capacity);
      Deallocate(*block);
    }
  }
  while (BufferBlock* block = leased_.PopFront()) block->pool = nullptr;
}

BufferBlock* BufferPool::LeaseNew(size_t capacity) {
  auto* block = new (RawAllocate(sizeof(BufferBlock) + capacity, 64)) BufferBlock(this, capacity);
  leased_.PushBack(*block);
  ++leased_count_;
  return block;
}

void BufferPool::Free(BufferBlock* block) noexcept {
  BufferPool* pool = block->pool;
  if (pool == nullptr) [[unlikely]] return Deallocate(*block);
  GYRE_CHECK(tls_loop != nullptr && &tls_loop->loop.buffer_pool() == pool,
             "a Buffer was destroyed on another loop than the one that leased it, or outside any: copy the bytes");
  --pool->leased_count_;
  FreeList& list = block->capacity == kLargeBytes ? pool->large_ : pool->small_;
  if (list.count == kKeepMax) [[unlikely]] {
    IntrusiveList<BufferBlock>::Remove(*block);
    return Deallocate(*block);
  }
  list.blocks.MoveToBack(*block);
  ++list.count;
  Poison(block->data(), block->capacity);
}

}  // namespace gyre::internal
