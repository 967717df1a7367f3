#include "gyre/sync/gate.h"

#include "absl/status/status.h"

namespace gyre {

template <class Form>
absl::Status BasicGate<Form>::Refused() {
  return absl::UnavailableError("the gate is closed");
}

template <class Form>
void BasicGate<Form>::Close() {
  Section section(form_);
  CheckHome();
  is_closed_ = true;
}

template <class Form>
bool BasicGate<Form>::IsEmptyOrQueues(DrainWaiter& waiter) {
  Section section(form_);
  CheckHome();
  is_closed_ = true;
  if (inside_ == 0) return true;
  waiters_.PushBack(waiter);
  return false;
}

template <class Form>
void BasicGate<Form>::WakeAll(Section& section) {
  while (internal::Waiter<Form>* const waiter = waiters_.PopFront()) section.Wake(*waiter);
}

template <class Form>
bool BasicGate<Form>::Withdraw(DrainWaiter& waiter) {
  Section section(form_);
  return waiters_.Withdraw(waiter);
}

template class BasicGate<internal::OneLoop>;
template class BasicGate<internal::ManyLoops>;

}  // namespace gyre
