#include "gyre/sync/notify.h"

namespace gyre {

template <class Form>
void BasicNotify<Form>::NotifyOne() {
  Section section(form_);
  CheckHome();
  internal::Waiter<Form>* const waiter = waiters_.PopFront();
  if (waiter == nullptr) {
    is_kept_ = true;
    return;
  }
  static_cast<NotifyWaiter*>(waiter)->has_one_ = true;
  section.Wake(*waiter);
}

template <class Form>
void BasicNotify<Form>::NotifyAll() {
  Section section(form_);
  CheckHome();
  while (internal::Waiter<Form>* const waiter = waiters_.PopFront()) section.Wake(*waiter);
}

template class BasicNotify<internal::OneLoop>;
template class BasicNotify<internal::ManyLoops>;

}  // namespace gyre
