// Notify, SharedNotify: wakes one waiter, or all; one notification is kept for whoever comes next.
//
//   queue.push_back(item);
//   has_item.NotifyOne();
//   ...
//   while (queue.empty()) co_await has_item.Wait();
//
// Thread-safety: Notify: one loop. SharedNotify: any thread; who waits resumes on its own loop. What was done before a
//                notification is seen after the Wait that it ended.
// Lifetime:      outlives its waits; to destroy it while one waits is a check failure.
//                It also outlives the waits that it has ended, until they resume (of a SharedNotify: checked with GYRE_DEBUG_CHECKS).
// Cancellation:  a stopped Wait has used no notification: one from NotifyOne that had reached it goes to the next, or
//                is kept.
// Cost:          a Wait for one that is kept is an await that does not suspend (SharedNotify: and a lock); nothing is
//                allocated.
#ifndef GYRE_SYNC_NOTIFY_H_
#define GYRE_SYNC_NOTIFY_H_

#include <coroutine>
#include <cstddef>
#include <string>

#include "gyre/runtime/check.h"
#include "gyre/sync/internal/form.h"

namespace gyre {

template <class Form>
class BasicNotify {
 public:
  BasicNotify() = default;
  BasicNotify(const BasicNotify&) = delete;
  BasicNotify& operator=(const BasicNotify&) = delete;
  ~BasicNotify() { GYRE_CHECK(waiters_.empty(), "a Notify was destroyed while a task waits for it"); }

  auto Wait() { return internal::WaitOperation<NotifyWaiter, BasicNotify>(*this); }
  // Wakes the one that has waited longest. If none does, the next Wait does not wait: of several such calls, one is kept.
  void NotifyOne();
  // Wakes all that wait now; keeps nothing.
  void NotifyAll();

  // Of now: a SharedNotify may be otherwise a moment later.
  size_t waiting() const {
    Section section(form_);
    return waiters_.size();
  }

 private:
  using Section = internal::Section<Form>;

  class [[nodiscard]] NotifyWaiter final : public internal::Waiter<Form> {
   public:
    explicit NotifyWaiter(BasicNotify& notify) : notify_(notify) {}

    template <class P>
    bool await_suspend(std::coroutine_handle<P> awaiting) {
      return this->Suspend(awaiting, [this] { return notify_.TakeOrQueue(*this); });
    }
    void await_resume() const {}

   private:
    friend BasicNotify;
    void OnStop() noexcept override {
      if (notify_.Withdraw(*this)) this->CompleteStopped();
    }
    bool Undo() noexcept override {
      if (has_one_) notify_.NotifyOne();
      return true;
    }
    std::string WaitsFor() const override { return "a Notify"; }

    BasicNotify& notify_;
    bool has_one_ = false;  // a notification that is for one, and must not be lost
  };

  void CheckHome() { form_.CheckHome("a Notify", !waiters_.empty(), /*is_in_use=*/false); }
  bool TakeOrQueue(NotifyWaiter& waiter) {
    Section section(form_);
    CheckHome();
    if (is_kept_) {
      is_kept_ = false;
      waiter.has_one_ = true;
      return true;
    }
    waiters_.PushBack(waiter);
    return false;
  }
  bool Withdraw(NotifyWaiter& waiter) {
    Section section(form_);
    return waiters_.Withdraw(waiter);
  }

  [[no_unique_address]] mutable Form form_;
  bool is_kept_ = false;  // never while somebody waits
  internal::WaitQueue<Form> waiters_;
};

extern template class BasicNotify<internal::OneLoop>;
extern template class BasicNotify<internal::ManyLoops>;

using Notify = BasicNotify<internal::OneLoop>;
using SharedNotify = BasicNotify<internal::ManyLoops>;

}  // namespace gyre

#endif  // GYRE_SYNC_NOTIFY_H_
