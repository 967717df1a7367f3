// Lock: what guards the state of a primitive that several loops share. Held for some 20 ns at a time, never across an await.
//
// Who finds it taken looks a few times more before it sleeps: the holder is nearly done. std::mutex would go to sleep at once, and
// costs two calls also where nobody contends.
//
// Thread-safety: any thread.
// Cost:          taking it is one compare-exchange, releasing it one exchange; contended, some 64 looks, then a futex.
#ifndef GYRE_SYNC_INTERNAL_LOCK_H_
#define GYRE_SYNC_INTERNAL_LOCK_H_

#include <atomic>
#include <cstdint>

namespace gyre::internal {

class Lock {
 public:
  Lock() = default;
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

  void Acquire() {
    uint32_t expected = kFree;
    if (!word_.compare_exchange_strong(expected, kHeld, std::memory_order_acquire, std::memory_order_relaxed)) [[unlikely]] {
      AcquireContended();
    }
  }
  // Nothing of the lock is touched after it is free, but its address: the next holder may destroy it.
  void Release() {
    if (word_.exchange(kFree, std::memory_order_release) == kHeldAndWanted) [[unlikely]] word_.notify_one();
  }

 private:
  static constexpr uint32_t kFree = 0;
  static constexpr uint32_t kHeld = 1;
  static constexpr uint32_t kHeldAndWanted = 2;  // somebody may sleep

  void AcquireContended();

  // Acquire:acquire  sees what all holders before wrote. Pairs with Release:release; the compare-exchanges and exchanges in
  //                  between continue its release sequence.
  // Acquire:relaxed  a look or a failure moves no data.
  // No wake-up is lost without seq_cst: who sleeps has set kHeldAndWanted and waits for the word to be another, and Release's
  // exchange either sees that, and wakes one, or comes before it in the word's modification order: then it is not the value waited on.
  // Exercised by tests/stress/sync_channel_stress_test.cc and the stress tests of all Shared primitives.
  std::atomic<uint32_t> word_{kFree};
};

}  // namespace gyre::internal

#endif  // GYRE_SYNC_INTERNAL_LOCK_H_
