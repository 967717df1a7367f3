// Latch, SharedLatch: tasks wait until something has happened so many times. It counts down once, to 0, and stays
// there.
//
//   gyre::Latch warm(3);
//   ...
//   warm.CountDown();                                   // by each of three
//   co_await warm.Wait();
//
// To wait for tasks to end, join them or leave their scope instead.
//
// Thread-safety: Latch: one loop. SharedLatch: any thread; who waits resumes on its own loop. What was done before a
//                CountDown is seen after Wait.
// Lifetime:      outlives its waits; to destroy it while one waits is a check failure.
//                A Shared form outlives the waits that it has ended, too, until they resume (checked with GYRE_DEBUG_CHECKS).
// Cancellation:  a stopped Wait leaves nothing behind; a stopped ArriveAndWait has counted, unless it was stopped
//                before it began.
// Errors:        to count below 0 is a check failure.
// Cost:          nothing is allocated.
#ifndef GYRE_SYNC_LATCH_H_
#define GYRE_SYNC_LATCH_H_

#include <coroutine>
#include <cstddef>
#include <string>

#include "gyre/runtime/check.h"
#include "gyre/sync/internal/form.h"

namespace gyre {

template <class Form>
class BasicLatch {
 public:
  explicit BasicLatch(size_t count) : count_(count) {}
  BasicLatch(const BasicLatch&) = delete;
  BasicLatch& operator=(const BasicLatch&) = delete;
  ~BasicLatch() { GYRE_CHECK(waiters_.empty(), "a Latch was destroyed while a task waits for it"); }

  void CountDown(size_t by = 1);
  auto Wait() { return WaitOperation(*this, 0); }
  // Counts down when awaited, and waits.
  auto ArriveAndWait(size_t by = 1) { return WaitOperation(*this, by); }

  // Of now: a SharedLatch may be further a moment later.
  size_t count() const {
    Section section(form_);
    return count_;
  }
  size_t waiting() const {
    Section section(form_);
    return waiters_.size();
  }

 private:
  using Section = internal::Section<Form>;

  class [[nodiscard]] LatchWaiter final : public internal::Waiter<Form> {
   public:
    LatchWaiter(BasicLatch& latch, size_t by) : latch_(latch), by_(by) {}

    template <class P>
    bool await_suspend(std::coroutine_handle<P> awaiting) {
      return this->Suspend(awaiting, [this] { return latch_.IsDoneOrQueues(*this); });
    }
    void await_resume() const {}

   private:
    friend BasicLatch;
    void OnStop() noexcept override {
      if (latch_.Withdraw(*this)) this->CompleteStopped();
    }
    std::string WaitsFor() const override { return "a Latch with " + std::to_string(latch_.count()) + " to come"; }

    BasicLatch& latch_;
    const size_t by_;
  };

  class [[nodiscard]] WaitOperation {
   public:
    WaitOperation(BasicLatch& latch, size_t by) : latch_(latch), by_(by) {}
    LatchWaiter operator co_await() && { return LatchWaiter(latch_, by_); }

   private:
    BasicLatch& latch_;
    const size_t by_;
  };

  void CheckHome() { form_.CheckHome("a Latch", !waiters_.empty(), /*is_in_use=*/false); }
  void CountDown(Section& section, size_t by);
  bool IsDoneOrQueues(LatchWaiter& waiter);
  bool Withdraw(LatchWaiter& waiter);

  [[no_unique_address]] mutable Form form_;
  size_t count_;
  internal::WaitQueue<Form> waiters_;
};

extern template class BasicLatch<internal::OneLoop>;
extern template class BasicLatch<internal::ManyLoops>;

using Latch = BasicLatch<internal::OneLoop>;
using SharedLatch = BasicLatch<internal::ManyLoops>;

}  // namespace gyre

#endif  // GYRE_SYNC_LATCH_H_
