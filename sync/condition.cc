#include "gyre/sync/condition.h"

#include <string>

namespace gyre {

template <class Form>
void BasicCondition<Form>::Begin(ConditionWaiter& waiter) {
  CheckHeld(waiter.guard_, "Condition::Wait: the guard must hold the lock of the condition's mutex");
  Section section(mutex_.form_);
  mutex_.CheckHome();
  waiter.guard_.mutex_ = nullptr;
  waiters_.PushBack(waiter);
  ++waits_;
  mutex_.PassOn(section);
}

template <class Form>
bool BasicCondition<Form>::MoveFirst(typename ConditionWaiter::Place place) {
  auto* const waiter = static_cast<ConditionWaiter*>(waiters_.PopFront());
  if (waiter == nullptr) return false;
  waiter->place_ = place;
  mutex_.waiters_.PushBack(*waiter);  // whoever notifies holds the lock, and hands it over when done
  return true;
}

template <class Form>
void BasicCondition<Form>::NotifyOne(const Guard& guard) {
  CheckHeld(guard, "Condition::NotifyOne: the guard must hold the lock of the condition's mutex");
  Section section(mutex_.form_);
  mutex_.CheckHome();
  MoveFirst(ConditionWaiter::Place::kMutexByOne);
}

template <class Form>
void BasicCondition<Form>::NotifyAll(const Guard& guard) {
  CheckHeld(guard, "Condition::NotifyAll: the guard must hold the lock of the condition's mutex");
  Section section(mutex_.form_);
  mutex_.CheckHome();
  while (MoveFirst(ConditionWaiter::Place::kMutex)) {
  }
}

// By a stop: it queues for the lock, as if notified. If it had been notified, it queues there already.
template <class Form>
void BasicCondition<Form>::LeaveForMutex(ConditionWaiter& waiter) {
  Section section(mutex_.form_);
  if (waiter.place_ != ConditionWaiter::Place::kCondition) return;
  waiters_.Withdraw(waiter);
  waiter.place_ = ConditionWaiter::Place::kMutex;
  mutex_.waiters_.PushBack(waiter);
  if (!mutex_.is_locked_) mutex_.HandOver(section);
}

template <class Form>
void BasicCondition<Form>::EndStopped(ConditionWaiter& waiter) {
  if (waiter.place_ == ConditionWaiter::Place::kMutexByOne) {
    Section section(mutex_.form_);
    MoveFirst(ConditionWaiter::Place::kMutexByOne);
  }
  End(waiter);
}

template <class Form>
std::string BasicCondition<Form>::Describe(const ConditionWaiter& waiter) const {
  {
    Section section(mutex_.form_);
    if (waiter.place_ == ConditionWaiter::Place::kCondition) return "a Condition";
  }
  return "a Condition, notified, and " + mutex_.Describe();
}

template class BasicCondition<internal::OneLoop>;
template class BasicCondition<internal::ManyLoops>;

}  // namespace gyre
