// OffloadAwaiter: a job in the frame that awaits it, or, where its caller may leave before its end, beside it.
//
// A Work has a result type T; Run(outcome, executor), on the executor's thread, which may leave the outcome stopped;
// and RequestStop(), on the caller's, while it may be running.
//
// Thread-safety: the outcome belongs to the executor's thread from Submit to Finish, then to the loop's: the loop's
// inbox publishes it.
#ifndef GYRE_RUNTIME_OFFLOAD_INTERNAL_OFFLOAD_AWAITER_H_
#define GYRE_RUNTIME_OFFLOAD_INTERNAL_OFFLOAD_AWAITER_H_

#include <atomic>
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <memory>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "gyre/runtime/errors.h"
#include "gyre/runtime/internal/finish.h"
#include "gyre/runtime/leaf.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/offload/executor.h"
#include "gyre/runtime/offload/job_limiter.h"
#include "gyre/runtime/offload/offload_options.h"
#include "gyre/runtime/outcome.h"

namespace gyre::internal {

// What `make` gives or throws.
template <class T, class Make>
void SetOutcome(Outcome<T>& outcome, Make make) noexcept {
  try {
    if constexpr (std::is_void_v<T>) {
      make();
      ReplaceOutcome(outcome, [] { return Outcome<T>::FromValue(); });
    } else if constexpr (std::is_reference_v<T>) {
      T reference = make();
      ReplaceOutcome(outcome, [&reference] { return Outcome<T>::FromValue(&reference); });
    } else {
      outcome = Outcome<T>::FromValue(make());
    }
  } catch (...) {
    ReplaceOutcome(outcome, std::current_exception());
  }
}

template <class T>
void SetOutcomeToStatus(Outcome<T>& outcome, absl::Status status) noexcept {
  SetOutcome(outcome, [&status]() -> T {
    if constexpr (kIsStatusLike<T>) {
      return std::move(status);
    } else {
      throw StatusError(std::move(status));
    }
  });
}

// Work on its way, with its outcome: stopped until it has run.
template <class Work>
class WorkJob : public Job {
 public:
  using T = typename Work::T;

  explicit WorkJob(Work&& work) : work_(std::move(work)) {}

  // A bad status: it was not submitted.
  absl::Status SubmitTo(Executor& executor, const OffloadOptions& options) noexcept {
    executor_ = &executor;
    limiter_ = options.limiter();
    set_priority(options.priority());
    if (options.refuse_when_full() && executor.IsFull())
      return absl::ResourceExhaustedError("the pool's queue is full");
    return limiter_ != nullptr ? limiter_->Submit(executor, *this) : executor.Submit(*this);
  }
  // As Executor::Revoke.
  bool TakeBack() noexcept { return limiter_ != nullptr ? limiter_->Revoke(*this) : executor_->Revoke(*this); }
  void RequestStop() noexcept { work_.RequestStop(); }
  void Fail(absl::Status why) noexcept final { SetOutcomeToStatus(outcome_, std::move(why)); }

  Executor& executor() const { return *executor_; }
  Outcome<T>& outcome() { return outcome_; }

 protected:
  ~WorkJob() = default;

 private:
  void Run() noexcept final { work_.Run(outcome_, *executor_); }

  Executor* executor_ = nullptr;
  JobLimiter* limiter_ = nullptr;
  Work work_;
  Outcome<T> outcome_;
};

// A job in the frame of its waiter.
template <class Work, class Waiter>
class FrameJob final : public WorkJob<Work> {
 public:
  FrameJob(Waiter& waiter, Work&& work) : WorkJob<Work>(std::move(work)), waiter_(waiter) {}

  // True: nothing of it is under way any more.
  bool Stop() noexcept {
    if (this->TakeBack()) return true;
    this->RequestStop();
    return false;
  }

 private:
  void Finish() noexcept override { waiter_.Resume(); }

  Waiter& waiter_;
};

// A job that outlives its waiter if that leaves; then it deletes itself.
template <class Work, class Waiter>
class LoneJob final : public WorkJob<Work> {
 public:
  LoneJob(Waiter& waiter, Work&& work) : WorkJob<Work>(std::move(work)), waiter_(&waiter) {}

  // True: it is its own from now on. False: it has just ended, and the waiter hears of it.
  bool Abandon() noexcept {
    Executor& executor = this->executor();
    executor.CountAbandoned(1);
    if (waiter_.exchange(nullptr, std::memory_order_acq_rel) != nullptr) return true;
    executor.CountAbandoned(-1);
    return false;
  }

 private:
  void Finish() noexcept override {
    if (Waiter* waiter = waiter_.exchange(nullptr, std::memory_order_acq_rel)) return waiter->Resume();
    Executor& executor = this->executor();
    delete this;
    executor.CountAbandoned(-1);
  }

  // Both sides exchange it for null: who gets the waiter decides. acq_rel: the outcome, or the stop, goes with it.
  std::atomic<Waiter*> waiter_;
};

// What a waiter has of a LoneJob: as FrameJob.
template <class Work, class Waiter>
class LoneJobHandle {
 public:
  LoneJobHandle(Waiter& waiter, Work&& work) : job_(new LoneJob<Work, Waiter>(waiter, std::move(work))) {}

  absl::Status SubmitTo(Executor& executor, const OffloadOptions& options) noexcept {
    return job_->SubmitTo(executor, options);
  }
  void Fail(absl::Status why) noexcept { job_->Fail(std::move(why)); }
  auto& outcome() { return job_->outcome(); }
  bool Stop() noexcept {
    if (job_->TakeBack()) return true;
    job_->RequestStop();
    if (!job_->Abandon()) return false;
    static_cast<void>(job_.release());
    return true;
  }

 private:
  std::unique_ptr<LoneJob<Work, Waiter>> job_;
};

template <class Work, template <class, class> class JobOf>
class [[nodiscard]] OffloadAwaiter final : public Leaf {
  using T = typename Work::T;

 public:
  OffloadAwaiter(Executor& executor, const OffloadOptions& options, Work&& work)
      : executor_(executor), options_(options), job_(*this, std::move(work)) {}

  template <std::derived_from<PromiseBase> P>
  bool await_suspend(std::coroutine_handle<P> awaiting) {
    return Suspend(awaiting, [this] {
      absl::Status status = job_.SubmitTo(executor_, options_);
      if (status.ok()) return false;
      job_.Fail(std::move(status));
      return true;
    });
  }
  T await_resume() { return std::move(job_.outcome()).value(); }
  void Resume() noexcept { CompleteFromAnyThread(); }

 private:
  void OnStop() noexcept override {
    if (job_.Stop()) CompleteStopped();
  }
  bool Undo() noexcept override { return job_.outcome().stopped(); }
  void Run() override {
    if (is_waiting() && job_.outcome().stopped()) return RunCompleted(/*is_stopped=*/true);
    Leaf::Run();
  }

  Executor& executor_;
  const OffloadOptions options_;
  JobOf<Work, OffloadAwaiter> job_;
};

enum class PoolKind : uint8_t {
  kCpu,
  kBlocking,
};

template <class Work, template <class, class> class JobOf>
class [[nodiscard]] OffloadOperation {
 public:
  template <class... Parts>
  explicit OffloadOperation(const OffloadOptions& options, PoolKind kind, Parts&&... parts)
      : options_(options), kind_(kind), work_(std::forward<Parts>(parts)...) {}
  auto operator co_await() && { return OffloadAwaiter<Work, JobOf>(FindExecutor(), options_, std::move(work_)); }

 private:
  Executor& FindExecutor() const {
    if (options_.executor() != nullptr) return *options_.executor();
    if (kind_ == PoolKind::kBlocking) return Loop::Current().blocking_executor();
    return Loop::Current().cpu_executor();
  }

  OffloadOptions options_;
  PoolKind kind_;
  Work work_;
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_OFFLOAD_INTERNAL_OFFLOAD_AWAITER_H_
