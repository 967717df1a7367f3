#include "gyre/runtime/internal/buffer_pool.h"

#include "gyre/runtime/check.h"
#include "gyre/runtime/internal/allocation.h"
#include "gyre/runtime/internal/loop_core.h"
#include "gyre/runtime/internal/poison.h"
#include "gyre/runtime/loop.h"

namespace gyre::internal {

BufferPool::~BufferPool() {
  for (FreeList* list : {&small_, &large_}) {
    while (BufferBlock* block = list->head) {
      list->head = block->next;
      Unpoison(block->data(), block->capacity);
      RawFree(block);
    }
  }
  for (BufferBlock* block = leased_; block != nullptr; block = block->next) block->pool = nullptr;
}

BufferBlock* BufferPool::Lease(bool is_large) {
  const size_t capacity = is_large ? kLargeBytes : kSmallBytes;
  FreeList& list = ListFor(capacity);
  BufferBlock* block = list.head;
  if (block != nullptr) {
    list.head = block->next;
    --list.count;
    Unpoison(block->data(), capacity);
  } else {
    block = static_cast<BufferBlock*>(RawAllocate(sizeof(BufferBlock) + capacity, 64));
    block->pool = this;
    block->capacity = capacity;
  }
  block->prev = nullptr;
  block->next = leased_;
  if (leased_ != nullptr) leased_->prev = block;
  leased_ = block;
  ++leased_count_;
  return block;
}

void BufferPool::Free(BufferBlock* block) noexcept {
  BufferPool* pool = block->pool;
  if (pool == nullptr) return RawFree(block);
  GYRE_CHECK(tls_loop != nullptr && &tls_loop->loop.buffer_pool() == pool,
             "a Buffer was destroyed on another loop than the one that leased it, or outside any: copy the bytes");
  if (block->prev != nullptr) {
    block->prev->next = block->next;
  } else {
    pool->leased_ = block->next;
  }
  if (block->next != nullptr) block->next->prev = block->prev;
  --pool->leased_count_;
  FreeList& list = pool->ListFor(block->capacity);
  if (list.count == kKeepMax) return RawFree(block);
  block->next = list.head;
  list.head = block;
  ++list.count;
  Poison(block->data(), block->capacity);
}

}  // namespace gyre::internal
