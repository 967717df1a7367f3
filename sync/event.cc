#include "gyre/sync/event.h"

namespace gyre {

template <class Form>
void BasicEvent<Form>::Set() {
  Section section(form_);
  CheckHome();
  is_set_ = true;
  while (internal::Waiter<Form>* const waiter = waiters_.PopFront()) section.Wake(*waiter);
}

template class BasicEvent<internal::OneLoop>;
template class BasicEvent<internal::ManyLoops>;

}  // namespace gyre
