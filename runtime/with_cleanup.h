// WithCleanup(body, cleanup): runs an asynchronous clean-up after `body` has ended, in whatever way, and then passes on how.
//
//   co_await gyre::WithCleanup(Transact(db), [&] { return db.Rollback(); });
//
// `body` is an awaitable or a callable that gives one; `cleanup` is a callable that gives one. The clean-up runs after a
// value, an exception and a stop alike, shielded for the grace time. It may await, spawn, and bound its own awaits with
// Timeout. Nested clean-ups run from the inside out. If the await is never started, nor is the clean-up.
//
// Thread-safety: the loop's thread only.
// Lifetime:      an lvalue body or clean-up is borrowed, an rvalue kept.
// Cancellation:  a stop reaches `body`; the clean-up then has `grace` to end, or it is stopped too, and that goes to the
//                unhandled-error hook as kDeadlineExceeded. Then the stop goes on upwards.
// Errors:        the first one wins: an error of the clean-up is given only if `body` ended well; otherwise it goes to the
//                unhandled-error hook.
// Units:         the grace time counts from the stop, or from the beginning of the clean-up if that is later.
// Cost:          three frames.
#ifndef GYRE_RUNTIME_WITH_CLEANUP_H_
#define GYRE_RUNTIME_WITH_CLEANUP_H_

#include <chrono>
#include <concepts>
#include <exception>
#include <functional>
#include <type_traits>
#include <utility>

#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/internal/end_stopped.h"
#include "gyre/runtime/internal/gcc12_guard.h"
#include "gyre/runtime/shielded.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/time.h"

namespace gyre {

// How long a clean-up may go on once its task is stopped, if nothing else is said.
inline constexpr Duration kDefaultGrace = std::chrono::seconds(5);

namespace internal {

// A callable that gives an awaitable.
template <class C>
concept AwaitableCall = std::invocable<C&> && Awaitable<std::invoke_result_t<C&>>;

// C: a reference for a borrowed callable.
template <class C>
Task<AwaitResult<std::invoke_result_t<C&>>> CallAndAwait(C callable) {
  co_return co_await std::invoke(callable);
}

template <class B>
auto MakeBodyTask(B&& body) {
  if constexpr (AwaitableCall<std::remove_reference_t<B>>) {
    return CallAndAwait<B>(std::forward<B>(body));
  } else {
    return ToTask(std::forward<B>(body));
  }
}

void ReportCleanupError(std::exception_ptr error) noexcept;
std::exception_ptr GraceExceeded();

template <class T, class C>
Task<T> RunWithCleanup(Task<T> body, C cleanup, Duration grace) {
  Outcome<T> outcome = co_await AsOutcome(std::move(body));
  auto cleaned = co_await AsOutcome(Shielded(grace, CallAndAwait<std::remove_reference_t<C>&>(cleanup)));
  if (cleaned.stopped()) {
    ReportCleanupError(GraceExceeded());
  } else if (HasFailed(cleaned)) {
    if (outcome.stopped() || HasFailed(outcome)) {
      ReportCleanupError(FailureOf(cleaned));
    } else if constexpr (kIsStatusLike<T>) {
      if (!cleaned.has_exception()) co_return cleaned.status();
      std::rethrow_exception(cleaned.exception());
    } else {
      std::rethrow_exception(FailureOf(cleaned));
    }
  }
  if (outcome.stopped()) co_await EndStopped();
  co_return std::move(outcome).value();
}

}  // namespace internal

template <class B, internal::AwaitableCall C>
  requires(internal::AwaitableCall<std::remove_reference_t<B>> ||
           (internal::Awaitable<B> && !std::is_lvalue_reference_v<B>))
auto WithCleanup(B&& body, C&& cleanup, Duration grace = kDefaultGrace) {
  GYRE_INTERNAL_REQUIRE_SAFE_CALLABLE(C);
  auto task = internal::MakeBodyTask(std::forward<B>(body));
  using T = typename decltype(task)::value_type;
  return internal::RunWithCleanup<T, C>(std::move(task), std::forward<C>(cleanup), grace);
}

}  // namespace gyre

#endif  // GYRE_RUNTIME_WITH_CLEANUP_H_
