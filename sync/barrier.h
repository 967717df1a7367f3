// Barrier, SharedBarrier: a number of tasks wait for one another, again and again.
//
//   gyre::Barrier barrier(3);
//   for (const Phase& phase : phases) {
//     co_await Work(phase);
//     const size_t place = co_await gyre::Try(co_await barrier.ArriveAndWait());   // 0, 1 or 2: each once in every round
//   }
//
// Thread-safety: Barrier: one loop. SharedBarrier: any thread; who waits resumes on its own loop. What was done before
//                each arrival is seen after all of them.
// Lifetime:      outlives its waits; to destroy it while one waits is a check failure.
//                A Shared form outlives the waits that it has ended, too, until they resume (checked with GYRE_DEBUG_CHECKS).
// Cancellation:  one that is stopped while it waits has not arrived: one more is needed. Once the last has arrived, the
//                round is over, also for those that are stopped before they run.
// Errors:        kUnavailable after Abort, kAborted to those who wait when it is Reset.
// Cost:          nothing is allocated, but for a bad status.
#ifndef GYRE_SYNC_BARRIER_H_
#define GYRE_SYNC_BARRIER_H_

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "gyre/runtime/check.h"
#include "gyre/sync/internal/form.h"

namespace gyre {

template <class Form>
class BasicBarrier {
 public:
  explicit BasicBarrier(size_t parties) : parties_(parties) {
    GYRE_CHECK(parties > 0, "a Barrier is for one party at least");
  }
  BasicBarrier(const BasicBarrier&) = delete;
  BasicBarrier& operator=(const BasicBarrier&) = delete;
  ~BasicBarrier() { GYRE_CHECK(waiters_.empty(), "a Barrier was destroyed while a task waits for it"); }

  // co_await: absl::StatusOr<size_t>, the place in the order of arrival, from 0.
  auto ArriveAndWait() { return internal::WaitOperation<BarrierWaiter, BasicBarrier>(*this); }
  // Breaks it for those who wait, and for whoever comes until it is Reset. Idempotent.
  void Abort();
  // Breaks it for those who wait, and begins anew.
  void Reset();

  size_t parties() const { return parties_; }
  // Of now: a SharedBarrier may be otherwise a moment later.
  size_t waiting() const {
    Section section(form_);
    return waiters_.size();
  }
  bool is_broken() const {
    Section section(form_);
    return is_broken_;
  }

 private:
  using Section = internal::Section<Form>;
  enum class End : uint8_t { kPassed, kAborted, kReset };

  class [[nodiscard]] BarrierWaiter final : public internal::Waiter<Form> {
   public:
    explicit BarrierWaiter(BasicBarrier& barrier) : barrier_(barrier) {}

    template <class P>
    bool await_suspend(std::coroutine_handle<P> awaiting) {
      return this->Suspend(awaiting, [this] { return barrier_.IsLastOrQueues(*this); });
    }
    absl::StatusOr<size_t> await_resume() const {
      if (end_ != End::kPassed) [[unlikely]] return Broken(end_);
      return place_;
    }

   private:
    friend BasicBarrier;
    void OnStop() noexcept override {
      if (barrier_.Withdraw(*this)) this->CompleteStopped();
    }
    std::string WaitsFor() const override { return "a Barrier"; }

    BasicBarrier& barrier_;
    size_t place_ = 0;
    End end_ = End::kPassed;
  };

  static absl::Status Broken(End end);

  void CheckHome() { form_.CheckHome("a Barrier", !waiters_.empty(), /*is_in_use=*/false); }
  bool IsLastOrQueues(BarrierWaiter& waiter);
  // Gives how many there were.
  size_t WakeAll(Section& section, End end);
  bool Withdraw(BarrierWaiter& waiter);

  [[no_unique_address]] mutable Form form_;
  const size_t parties_;
  bool is_broken_ = false;
  internal::WaitQueue<Form> waiters_;
};

extern template class BasicBarrier<internal::OneLoop>;
extern template class BasicBarrier<internal::ManyLoops>;

using Barrier = BasicBarrier<internal::OneLoop>;
using SharedBarrier = BasicBarrier<internal::ManyLoops>;

}  // namespace gyre

#endif  // GYRE_SYNC_BARRIER_H_
