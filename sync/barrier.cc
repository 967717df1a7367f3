#include "gyre/sync/barrier.h"

#include "absl/status/status.h"

namespace gyre {

template <class Form>
absl::Status BasicBarrier<Form>::Broken(End end) {
  if (end == End::kReset) return absl::AbortedError("the barrier was reset");
  return absl::UnavailableError("the barrier is broken");
}

template <class Form>
size_t BasicBarrier<Form>::WakeAll(Section& section, End end) {
  size_t place = 0;
  while (internal::Waiter<Form>* const waiter = waiters_.PopFront()) {
    auto& arrived = static_cast<BarrierWaiter&>(*waiter);
    arrived.place_ = place++;
    arrived.end_ = end;
    section.Wake(arrived);
  }
  return place;
}

template <class Form>
bool BasicBarrier<Form>::IsLastOrQueues(BarrierWaiter& waiter) {
  Section section(form_);
  CheckHome();
  if (is_broken_) {
    waiter.end_ = End::kAborted;
    return true;
  }
  if (waiters_.size() + 1 == parties_) {
    waiter.place_ = WakeAll(section, End::kPassed);
    return true;
  }
  waiters_.PushBack(waiter);
  return false;
}

template <class Form>
void BasicBarrier<Form>::Abort() {
  Section section(form_);
  CheckHome();
  is_broken_ = true;
  WakeAll(section, End::kAborted);
}

template <class Form>
void BasicBarrier<Form>::Reset() {
  Section section(form_);
  CheckHome();
  is_broken_ = false;
  WakeAll(section, End::kReset);
}

template <class Form>
bool BasicBarrier<Form>::Withdraw(BarrierWaiter& waiter) {
  Section section(form_);
  return waiters_.Withdraw(waiter);
}

template class BasicBarrier<internal::OneLoop>;
template class BasicBarrier<internal::ManyLoops>;

}  // namespace gyre
