// WithStopToken: lets a std::stop_token, which any thread may set, stop an awaitable.
//
//   absl::Status status = co_await gyre::WithStopToken(token, Serve());   // kCancelled if the token was set
//
// The other direction is Scope::stop_token().
//
// Thread-safety: the token's source may be used on any thread.
// Cancellation:  the token is a stop of the awaitable alone; the awaitable is waited for, and a result that was there all
//                the same is given. A stop of the awaiting task goes on upwards.
// Errors:        an exception of the awaitable is rethrown.
// Cost:          two allocations (the token's callback, the way to this loop); a stop wakes the loop.
#ifndef GYRE_RUNTIME_WITH_STOP_TOKEN_H_
#define GYRE_RUNTIME_WITH_STOP_TOKEN_H_

#include <optional>
#include <source_location>
#include <stop_token>
#include <utility>

#include "absl/status/status.h"
#include "gyre/runtime/internal/nested.h"
#include "gyre/runtime/stop_handle.h"
#include "gyre/runtime/task.h"

namespace gyre {
namespace internal {

template <class T>
class [[nodiscard]] StopTokenAwaiter final : public NestedAwaiter<T> {
  using R = typename AsStatusTraits<T>::Type;

 public:
  StopTokenAwaiter(std::stop_token token, Task<T>&& task, std::source_location where)
      : NestedAwaiter<T>(std::move(task)), token_(std::move(token)), where_(where) {}

  R await_resume() {
    strand_.reset();
    if (this->has_result()) return ConvertResult<T, R>([this]() -> T { return this->TakeResult(); });
    return absl::CancelledError(StopReason::Static("stop token set", where_).ToString());
  }

 private:
  struct Request {
    void operator()() noexcept { stop.RequestStop(StopReason::Static("stop token set", where)); }
    StopHandle stop;
    std::source_location where;
  };

  ScopeCore& Enter(ScopeCore& parent) override {
    strand_.emplace(parent);
    callback_.emplace(token_, Request{StopHandle(*strand_), where_});
    return *strand_;
  }
  void OnInnerEnd() noexcept override {
    was_stopped_ = strand_->StoppedHere();
    callback_.reset();
  }
  bool GoesOnAfterStop() const noexcept override { return was_stopped_; }

  std::stop_token token_;
  std::source_location where_;
  bool was_stopped_ = false;
  std::optional<ScopeCore> strand_;
  std::optional<std::stop_callback<Request>> callback_;
};

template <class T>
class [[nodiscard]] StopTokenOperation {
 public:
  StopTokenOperation(std::stop_token token, Task<T> task, std::source_location where)
      : token_(std::move(token)), task_(std::move(task)), where_(where) {}
  auto operator co_await() && { return StopTokenAwaiter<T>(std::move(token_), std::move(task_), where_); }

 private:
  std::stop_token token_;
  Task<T> task_;
  std::source_location where_;
};

}  // namespace internal

template <internal::Awaitable A>
  requires(!std::is_lvalue_reference_v<A>)
auto WithStopToken(std::stop_token token, A&& awaitable,
                   std::source_location where = std::source_location::current()) {
  return internal::StopTokenOperation<internal::AwaitResult<A>>(std::move(token),
                                                                internal::ToTask(std::forward<A>(awaitable)), where);
}

}  // namespace gyre

#endif  // GYRE_RUNTIME_WITH_STOP_TOKEN_H_
