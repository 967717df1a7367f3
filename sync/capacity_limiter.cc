#include "gyre/sync/capacity_limiter.h"

namespace gyre {

template <class Form>
void BasicCapacityLimiter<Form>::Enter(const void* borrower) {
  if (borrower != nullptr) borrowers_.insert(borrower);
}

template <class Form>
std::optional<BasicLimiterToken<Form>> BasicCapacityLimiter<Form>::TryAcquireFor(const void* borrower) {
  Section section(form_);
  CheckHome();
  CheckIsNew(borrower);
  if (borrowed_ >= total_ || !waiters_.empty()) return std::nullopt;
  Enter(borrower);
  ++borrowed_;
  return Token(this, borrower);
}

template <class Form>
bool BasicCapacityLimiter<Form>::TakeOrQueue(AcquireWaiter& waiter) {
  Section section(form_);
  CheckHome();
  CheckIsNew(waiter.borrower_);
  Enter(waiter.borrower_);
  if (borrowed_ >= total_ || !waiters_.empty()) {
    waiters_.PushBack(waiter);
    return false;
  }
  ++borrowed_;
  return true;
}

template <class Form>
void BasicCapacityLimiter<Form>::PutBack(const void* borrower) {
  Section section(form_);
  CheckHome();
  Leave(borrower);
  --borrowed_;
  HandOut(section);
}

template <class Form>
void BasicCapacityLimiter<Form>::HandOut(Section& section) {
  while (borrowed_ < total_) {
    internal::Waiter<Form>* const waiter = waiters_.PopFront();
    if (waiter == nullptr) return;
    ++borrowed_;
    section.Wake(*waiter);
  }
}

template <class Form>
void BasicCapacityLimiter<Form>::set_total(size_t total) {
  Section section(form_);
  CheckHome();
  total_ = total;
  HandOut(section);
}

template <class Form>
bool BasicCapacityLimiter<Form>::Withdraw(AcquireWaiter& waiter) {
  Section section(form_);
  if (!waiters_.Withdraw(waiter)) return false;
  Leave(waiter.borrower_);
  return true;
}

template <class Form>
std::string BasicCapacityLimiter<Form>::Describe() const {
  return Read([this] {
    return "a CapacityLimiter with " + std::to_string(borrowed_) + " of " + std::to_string(total_) + " borrowed";
  });
}

template class BasicCapacityLimiter<internal::OneLoop>;
template class BasicCapacityLimiter<internal::ManyLoops>;

}  // namespace gyre
