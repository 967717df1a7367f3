// AsOutcome(a): awaits `a` and gives how it ended, instead of passing exceptions and stops on.
//
//   gyre::Outcome<int> outcome = co_await gyre::AsOutcome(Ask());
//
// Cancellation: a stop is observed, not swallowed: the scope stays stopped, and the next await meets it again. Observing a
//               stop costs a turn of the loop. [D28]
// Cost:         none beside the awaited task's own; an awaitable that is no Task gets a frame.
#ifndef GYRE_RUNTIME_AS_OUTCOME_H_
#define GYRE_RUNTIME_AS_OUTCOME_H_

#include <concepts>
#include <coroutine>
#include <type_traits>
#include <utility>

#include "gyre/runtime/internal/finish.h"
#include "gyre/runtime/internal/gcc12_guard.h"
#include "gyre/runtime/outcome.h"
#include "gyre/runtime/task.h"

namespace gyre {
namespace internal {

// Logs a task that goes on observing its stop without ending, once it has done so 1000 times. [D28]
void CountObservedStop(PromiseBase& observer) noexcept;

template <class T>
class [[nodiscard]] OutcomeAwaiter final : private Boundary {
 public:
  explicit OutcomeAwaiter(Promise<T>* frame) : frame_(frame) {}
  OutcomeAwaiter(const OutcomeAwaiter&) = delete;
  OutcomeAwaiter& operator=(const OutcomeAwaiter&) = delete;
  ~OutcomeAwaiter() {
    if (frame_ != nullptr) frame_->handle().destroy();
  }

  bool await_ready() const noexcept { return false; }

  template <std::derived_from<PromiseBase> P>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<P> awaiting) noexcept {
    parent_ = &awaiting.promise();
    frame_->Start(*parent_->scope(), static_cast<Boundary&>(*this));
    return TransferDown(*frame_);
  }

  Outcome<T> await_resume() {
    if (frame_ == nullptr) return Outcome<T>::FromStop(parent_->scope()->reason());
    return TakeOutcomeAndDestroy(std::exchange(frame_, nullptr));
  }

 private:
  std::coroutine_handle<> OnDone(PromiseBase&) noexcept override { return TransferBack(*parent_); }
  void OnStopped() noexcept override {
    frame_ = nullptr;
    CountObservedStop(*parent_);
    parent_->scope()->loop()->PushReady(*this);
  }
  void Run() override { Resume(*parent_); }
  const PromiseBase* awaiter() const override { return parent_; }

  Promise<T>* frame_;  // null once taken, or destroyed by a stop
  PromiseBase* parent_ = nullptr;
};

template <class T>
class [[nodiscard]] OutcomeOperation {
 public:
  explicit OutcomeOperation(Task<T> task) : task_(std::move(task)) {}
  auto operator co_await() && { return OutcomeAwaiter<T>(TaskAccess::Release(task_)); }

 private:
  Task<T> task_;
};

}  // namespace internal

template <internal::Awaitable A>
  requires(!std::is_lvalue_reference_v<A>)
auto AsOutcome(A&& awaitable) {
  using T = internal::AwaitResult<A>;
  return internal::OutcomeOperation<T>(internal::ToTask(std::forward<A>(awaitable)));
}

}  // namespace gyre

#endif  // GYRE_RUNTIME_AS_OUTCOME_H_
