#include "gyre/runtime/offload/internal/injection_queue.h"

#include <bit>
#include <cstdint>

#include "gyre/runtime/check.h"

namespace gyre::internal {

InjectionQueue::InjectionQueue(size_t capacity)
    : mask_(std::bit_ceil(capacity < 2 ? size_t{2} : capacity) - 1), cells_(new Cell[mask_ + 1]) {
  for (size_t i = 0; i <= mask_; ++i) cells_[i].sequence.store(i, std::memory_order_relaxed);
}

InjectionQueue::~InjectionQueue() {
  // What was revoked may still have cells.
  GYRE_CHECK(Pop() == nullptr && line_.empty(), "a pool was destroyed while jobs wait for it");
}

bool InjectionQueue::TryPush(Job& job) noexcept {
  size_t number = tail_.load(std::memory_order_relaxed);
  Cell* cell;
  for (;;) {
    cell = &cells_[number & mask_];
    const auto lead = static_cast<intptr_t>(cell->sequence.load(std::memory_order_seq_cst) - number);
    if (lead < 0) return false;
    if (lead == 0) {
      if (tail_.compare_exchange_weak(number, number + 1, std::memory_order_relaxed)) break;
    } else {
      number = tail_.load(std::memory_order_relaxed);
    }
  }
  job.place().store(cell, std::memory_order_relaxed);
  cell->job.store(&job, std::memory_order_release);
  cell->sequence.store(number + 1, std::memory_order_seq_cst);
  return true;
}

void InjectionQueue::Push(Job& job) noexcept {
  job.place().store(nullptr, std::memory_order_relaxed);
  if (in_line_.load(std::memory_order_relaxed) == 0 && TryPush(job)) return;
  const std::lock_guard lock(mutex_);
  line_.PushBack(job);
  in_line_.fetch_add(1, std::memory_order_seq_cst);
  Refill();
}

void InjectionQueue::Refill() noexcept {
  while (Job* first = line_.front()) {
    // Out of the line first: once it is in the ring it may run, and be gone.
    line_.Remove(*first);
    if (!TryPush(*first)) {
      line_.PushFront(*first);
      return;
    }
    in_line_.fetch_sub(1, std::memory_order_relaxed);
  }
}

void InjectionQueue::RefillFromLine() noexcept {
  const std::lock_guard lock(mutex_);
  Refill();
}

Job* InjectionQueue::Pop() noexcept {
  size_t number = head_.load(std::memory_order_relaxed);
  for (;;) {
    Cell& cell = cells_[number & mask_];
    const auto lead = static_cast<intptr_t>(cell.sequence.load(std::memory_order_seq_cst) - (number + 1));
    if (lead < 0) {
      if (in_line_.load(std::memory_order_seq_cst) == 0) return nullptr;
      RefillFromLine();  // the ring was full a moment ago
      number = head_.load(std::memory_order_relaxed);
      continue;
    }
    if (lead > 0) {
      number = head_.load(std::memory_order_relaxed);
      continue;
    }
    if (!head_.compare_exchange_weak(number, number + 1, std::memory_order_relaxed)) continue;
    Job* job = cell.job.exchange(nullptr, std::memory_order_acq_rel);
    cell.sequence.store(number + mask_ + 1, std::memory_order_seq_cst);
    if (in_line_.load(std::memory_order_seq_cst) > 0) [[unlikely]]
      RefillFromLine();
    if (job != nullptr) return job;
    ++number;
  }
}

// Another thread may be moving the job from the line into the ring, under the lock. So what was not found without the
// lock is looked for once more with it.
bool InjectionQueue::Revoke(Job& job) noexcept {
  if (TakeFromCell(job)) return true;
  const std::lock_guard lock(mutex_);
  if (TakeFromCell(job)) return true;
  if (job.place().load(std::memory_order_relaxed) != nullptr || !job.is_linked()) return false;
  line_.Remove(job);
  in_line_.fetch_sub(1, std::memory_order_relaxed);
  return true;
}

bool InjectionQueue::TakeFromCell(Job& job) noexcept {
  auto* cell = static_cast<Cell*>(job.place().load(std::memory_order_relaxed));
  Job* expected = &job;
  return cell != nullptr &&
         cell->job.compare_exchange_strong(expected, nullptr, std::memory_order_acq_rel, std::memory_order_relaxed);
}

bool InjectionQueue::LooksEmpty() const noexcept {
  size_t number = head_.load(std::memory_order_seq_cst);
  for (;;) {
    const auto lead =
        static_cast<intptr_t>(cells_[number & mask_].sequence.load(std::memory_order_seq_cst) - (number + 1));
    if (lead == 0) return false;
    const size_t now = head_.load(std::memory_order_seq_cst);
    if (now == number) return in_line_.load(std::memory_order_seq_cst) == 0;
    number = now;
  }
}

}  // namespace gyre::internal
