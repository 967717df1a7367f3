#include "gyre/sync/rw_lock.h"

#include <string>

namespace gyre {

template <class Form>
void BasicRwLock<Form>::HandOut(Section& section) {
  while (internal::Waiter<Form>* const waiter = waiters_.front()) {
    const internal::RwMode mode = static_cast<LockWaiterBase*>(waiter)->mode_;
    if (!IsFree(mode)) return;
    Take(mode);
    waiters_.PopFront();
    section.Wake(*waiter);
  }
}

template <class Form>
void BasicRwLock<Form>::Unlock(internal::RwMode mode) {
  Section section(form_);
  CheckHome();
  if (mode == internal::RwMode::kRead) {
    --readers_;
  } else {
    has_writer_ = false;
  }
  HandOut(section);
}

template <class Form>
void BasicRwLock<Form>::Downgrade() {
  Section section(form_);
  CheckHome();
  has_writer_ = false;
  ++readers_;
  HandOut(section);
}

template <class Form>
bool BasicRwLock<Form>::Withdraw(LockWaiterBase& waiter) {
  Section section(form_);
  if (!waiters_.Withdraw(waiter)) return false;
  HandOut(section);  // readers behind a writer
  return true;
}

template <class Form>
std::string BasicRwLock<Form>::Describe() const {
  Section section(form_);
  return "a RwLock with " + (has_writer_ ? std::string("a writer") : std::to_string(readers_) + " readers");
}

template class BasicRwLock<internal::OneLoop>;
template class BasicRwLock<internal::ManyLoops>;

}  // namespace gyre
