#include "gyre/sync/semaphore.h"

#include <string>

#include "absl/status/status.h"
#include "gyre/runtime/errors.h"

namespace gyre {

template <class Form>
void BasicSemaphore<Form>::ThrowClosed() {
  throw StatusError(absl::UnavailableError("the semaphore is closed"));
}

template <class Form>
void BasicSemaphore<Form>::Release(size_t units) {
  Section section(form_);
  CheckHome();
  GYRE_CHECK(units <= bound_ - total_, "Semaphore::Release: that is more than its bound; was something released twice?");
  free_ += units;
  total_ += units;
  HandOut(section);
}

template <class Form>
void BasicSemaphore<Form>::Close() {
  Section section(form_);
  CheckHome();
  is_closed_ = true;
  while (internal::Waiter<Form>* const waiter = waiters_.PopFront()) {
    static_cast<AcquireWaiter*>(waiter)->is_refused_ = true;
    section.Wake(*waiter);
  }
}

template <class Form>
bool BasicSemaphore<Form>::IsAnsweredAtOnce(AcquireWaiter& waiter) {
  if (is_closed_) {
    waiter.is_refused_ = true;
    return true;
  }
  waiters_.PushBack(waiter);
  return false;
}

template <class Form>
void BasicSemaphore<Form>::HandOut(Section& section) {
  while (internal::Waiter<Form>* const waiter = waiters_.front()) {
    const size_t units = static_cast<AcquireWaiter*>(waiter)->units_;
    if (units > free_) return;
    free_ -= units;
    waiters_.PopFront();
    section.Wake(*waiter);
  }
}

template <class Form>
bool BasicSemaphore<Form>::Withdraw(AcquireWaiter& waiter) {
  Section section(form_);
  if (!waiters_.Withdraw(waiter)) return false;
  HandOut(section);  // those behind it may ask for less
  return true;
}

template <class Form>
void BasicSemaphore<Form>::Forget(size_t units) {
  Section section(form_);
  CheckHome();
  total_ -= units;
}

template <class Form>
std::string BasicSemaphore<Form>::Describe(size_t units) const {
  Section section(form_);
  const std::string holders = holdings_.ToString();
  return std::to_string(units) + " of a Semaphore with " + std::to_string(free_) + " of " + std::to_string(total_) + " free" +
         (holders.empty() ? "" : ", " + holders);
}

template class BasicSemaphore<internal::OneLoop>;
template class BasicSemaphore<internal::ManyLoops>;

}  // namespace gyre
