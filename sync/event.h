// Event, SharedEvent: tasks wait until it is set.
//
//   gyre::Event is_ready;
//   co_await is_ready.Wait();
//   ...
//   is_ready.Set();                                     // all go on, and whoever comes later does not wait
//
// Thread-safety: Event: one loop. SharedEvent: any thread; who waits resumes on its own loop. What was done before Set
//                is seen after Wait.
// Lifetime:      outlives its waiters; to destroy it before is a check failure. A SharedEvent outlives the waits that
//                it has ended, too, until they resume (checked with GYRE_DEBUG_CHECKS).
// Cancellation:  a stopped Wait leaves nothing behind.
// Cost:          a Wait for one that is set is an await that does not suspend (SharedEvent: and a lock); nothing is
//                allocated.
#ifndef GYRE_SYNC_EVENT_H_
#define GYRE_SYNC_EVENT_H_

#include <coroutine>
#include <cstddef>
#include <string>

#include "gyre/runtime/check.h"
#include "gyre/sync/internal/form.h"

namespace gyre {

template <class Form>
class BasicEvent {
 public:
  BasicEvent() = default;
  BasicEvent(const BasicEvent&) = delete;
  BasicEvent& operator=(const BasicEvent&) = delete;
  ~BasicEvent() { GYRE_CHECK(waiters_.empty(), "an Event was destroyed while a task waits for it"); }

  auto Wait() { return internal::WaitOperation<EventWaiter, BasicEvent>(*this); }
  // Wakes all that wait, in order of arrival, also if it is reset before they run. Idempotent.
  void Set();
  // Whoever comes from now on waits. Idempotent.
  void Reset() {
    Section section(form_);
    CheckHome();
    is_set_ = false;
  }

  // Of now: a SharedEvent may be otherwise a moment later.
  bool is_set() const {
    Section section(form_);
    return is_set_;
  }
  size_t waiting() const {
    Section section(form_);
    return waiters_.size();
  }

 private:
  using Section = internal::Section<Form>;

  class [[nodiscard]] EventWaiter final : public internal::Waiter<Form> {
   public:
    explicit EventWaiter(BasicEvent& event) : event_(event) {}

    template <class P>
    bool await_suspend(std::coroutine_handle<P> awaiting) {
      return this->Suspend(awaiting, [this] { return event_.IsSetOrQueues(*this); });
    }
    void await_resume() const {}

   private:
    void OnStop() noexcept override {
      if (event_.Withdraw(*this)) this->CompleteStopped();
    }
    std::string WaitsFor() const override { return "an Event"; }

    BasicEvent& event_;
  };

  void CheckHome() { form_.CheckHome("an Event", !waiters_.empty(), /*is_in_use=*/false); }
  bool IsSetOrQueues(EventWaiter& waiter) {
    Section section(form_);
    CheckHome();
    if (is_set_) return true;
    waiters_.PushBack(waiter);
    return false;
  }
  bool Withdraw(EventWaiter& waiter) {
    Section section(form_);
    return waiters_.Withdraw(waiter);
  }

  [[no_unique_address]] mutable Form form_;
  bool is_set_ = false;
  internal::WaitQueue<Form> waiters_;
};

extern template class BasicEvent<internal::OneLoop>;
extern template class BasicEvent<internal::ManyLoops>;

using Event = BasicEvent<internal::OneLoop>;
using SharedEvent = BasicEvent<internal::ManyLoops>;

}  // namespace gyre

#endif  // GYRE_SYNC_EVENT_H_
