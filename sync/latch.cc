#include "gyre/sync/latch.h"

namespace gyre {

template <class Form>
void BasicLatch<Form>::CountDown(size_t by) {
  Section section(form_);
  CountDown(section, by);
}

template <class Form>
void BasicLatch<Form>::CountDown(Section& section, size_t by) {
  CheckHome();
  GYRE_CHECK(by <= count_, "Latch::CountDown: it is not that far from 0; was something counted twice?");
  count_ -= by;
  if (count_ != 0) return;
  while (internal::Waiter<Form>* const waiter = waiters_.PopFront()) section.Wake(*waiter);
}

template <class Form>
bool BasicLatch<Form>::IsDoneOrQueues(LatchWaiter& waiter) {
  Section section(form_);
  CountDown(section, waiter.by_);
  if (count_ == 0) return true;
  waiters_.PushBack(waiter);
  return false;
}

template <class Form>
bool BasicLatch<Form>::Withdraw(LatchWaiter& waiter) {
  Section section(form_);
  return waiters_.Withdraw(waiter);
}

template class BasicLatch<internal::OneLoop>;
template class BasicLatch<internal::ManyLoops>;

}  // namespace gyre
