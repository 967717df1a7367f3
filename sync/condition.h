// Condition, SharedCondition: wait, with a mutex in hand, until what it guards has changed.
//
//   gyre::MutexGuard guard = co_await mutex.Lock();
//   while (queue.empty()) co_await not_empty.Wait(guard);        // unlocked while it waits, locked again afterwards
//   ...
//   queue.push_back(item);
//   not_empty.NotifyOne(guard);                                  // the guard shows that you may
//
// Wait returns only when notified, but others may have had the lock in between: ask again, in a loop. Notified waiters
// queue for the mutex like everybody else, in the order in which they began to wait.
//
// Thread-safety: that of the mutex.
// Lifetime:      outlives its waits; to destroy it before is a check failure. The mutex outlives it. The guard stays
//                where it is during the wait.
//                A Shared form outlives the waits that it has ended, too, until they resume (checked with GYRE_DEBUG_CHECKS).
// Cancellation:  a stopped Wait ends only when the guard holds the lock again, so that whatever unwinds may rely on it.
//                A NotifyOne that had reached it goes to the next.
// Errors:        to wait or notify with a guard that is empty, or another mutex's: check failures.
// Cost:          a wait is an unlock and a lock; nothing is allocated.
#ifndef GYRE_SYNC_CONDITION_H_
#define GYRE_SYNC_CONDITION_H_

#include <coroutine>
#include <cstddef>
#include <source_location>
#include <string>

#include "gyre/runtime/check.h"
#include "gyre/sync/internal/form.h"
#include "gyre/sync/mutex.h"

namespace gyre {

// All its state is the mutex's: it changes inside that one's Section.
template <class Form>
class BasicCondition {
 public:
  using Mutex = BasicMutex<Form>;
  using Guard = BasicMutexGuard<Form>;

  explicit BasicCondition(Mutex& mutex) : mutex_(mutex) {}
  BasicCondition(const BasicCondition&) = delete;
  BasicCondition& operator=(const BasicCondition&) = delete;
  ~BasicCondition() { GYRE_CHECK(waits_ == 0, "a Condition was destroyed while a task waits for it"); }

  auto Wait(Guard& guard, std::source_location where = std::source_location::current()) {
    CheckHeld(guard, "Condition::Wait: the guard must hold the lock of the condition's mutex");
    return WaitOperation(*this, guard, where);
  }
  void NotifyOne(const Guard& guard);
  void NotifyAll(const Guard& guard);

  // Not yet notified.
  size_t waiting() const {
    Section section(mutex_.form_);
    return waiters_.size();
  }

 private:
  using Section = internal::Section<Form>;

  class [[nodiscard]] ConditionWaiter final : public Mutex::LockWaiterBase {
   public:
    ConditionWaiter(BasicCondition& condition, Guard& guard, std::source_location where)
        : Mutex::LockWaiterBase(where), condition_(condition), guard_(guard) {}

    template <class P>
    bool await_suspend(std::coroutine_handle<P> awaiting) {
      return this->Suspend(awaiting, [this] {
        condition_.Begin(*this);
        return false;
      });
    }
    void await_resume() { condition_.End(*this); }

   private:
    friend BasicCondition;
    enum class Place {
      kCondition,     // left by a notification, or a stop
      kMutex,         // in the mutex's queue, or woken as its holder
      kMutexByOne,    // the same, with a notification that is for one
    };
    void OnStop() noexcept override { condition_.LeaveForMutex(*this); }
    bool Undo() noexcept override {
      condition_.EndStopped(*this);
      return true;
    }
    std::string WaitsFor() const override { return condition_.Describe(*this); }

    BasicCondition& condition_;
    Guard& guard_;
    Place place_ = Place::kCondition;
  };

  class [[nodiscard]] WaitOperation {
   public:
    WaitOperation(BasicCondition& condition, Guard& guard, std::source_location where)
        : condition_(condition), guard_(guard), where_(where) {}
    ConditionWaiter operator co_await() && { return ConditionWaiter(condition_, guard_, where_); }

   private:
    BasicCondition& condition_;
    Guard& guard_;
    const std::source_location where_;
  };

  void CheckHeld(const Guard& guard, const char* what) const { GYRE_CHECK(guard.mutex_ == &mutex_, what); }
  void Begin(ConditionWaiter& waiter);
  // With the lock held.
  void End(ConditionWaiter& waiter) {
    --waits_;
    waiter.guard_.mutex_ = &mutex_;
  }
  void EndStopped(ConditionWaiter& waiter);
  void LeaveForMutex(ConditionWaiter& waiter);
  bool MoveFirst(typename ConditionWaiter::Place place);
  // For a waiter.
  std::string Describe(const ConditionWaiter& waiter) const;


  Mutex& mutex_;
  size_t waits_ = 0;  // begun, and without their lock yet. Of whoever holds the mutex
  internal::WaitQueue<Form> waiters_;
};

extern template class BasicCondition<internal::OneLoop>;
extern template class BasicCondition<internal::ManyLoops>;

using Condition = BasicCondition<internal::OneLoop>;
using SharedCondition = BasicCondition<internal::ManyLoops>;

}  // namespace gyre

#endif  // GYRE_SYNC_CONDITION_H_
