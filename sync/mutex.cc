#include "gyre/sync/mutex.h"

#include <string>

namespace gyre {

template <class Form>
void BasicMutex<Form>::HandOver(Section& section) {
  internal::Waiter<Form>* const next = waiters_.PopFront();
  Take(static_cast<LockWaiterBase*>(next)->holder_);
  section.Wake(*next);
}

template <class Form>
bool BasicMutex<Form>::Withdraw(LockWaiter& waiter) {
  Section section(form_);
  return waiters_.Withdraw(waiter);
}

template <class Form>
void BasicMutex<Form>::FailDestroyedLocked() const {
  internal::CheckFailed(__FILE__, __LINE__, "!is_locked_",
                        "a Mutex was destroyed while it is locked, " + holder_.ToString());
}

template <class Form>
std::string BasicMutex<Form>::Describe() const {
  return Read([this] { return is_locked_ ? "a Mutex: locked " + holder_.ToString() : std::string("a Mutex"); });
}

template class BasicMutex<internal::OneLoop>;
template class BasicMutex<internal::ManyLoops>;

}  // namespace gyre
