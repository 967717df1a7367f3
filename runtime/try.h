// Try: unwraps a status or passes it on, without a macro or a throw.
//
//   gyre::Buffer chunk = co_await gyre::Try(co_await peer.Receive());
//
// A good status (or the value of a StatusOr) comes out of the await. A bad one ends the coroutine it is written in, which
// must return Task<absl::Status> or Task<absl::StatusOr<T>>, with that status: as `co_return status` would, but from the
// middle of an expression.
//
// Cancellation: none; Try never suspends for long.
// Errors:       locals are destroyed with IsUnwinding() true, because nothing was thrown. [D24, D25]
// Cost:         a branch when the status is good.
#ifndef GYRE_RUNTIME_TRY_H_
#define GYRE_RUNTIME_TRY_H_

#include <concepts>
#include <coroutine>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gyre/runtime/internal/result.h"
#include "gyre/runtime/task.h"

namespace gyre {
namespace internal {

template <class T>
inline constexpr bool kReturnsStatus = false;
template <class T>
inline constexpr bool kReturnsStatus<Promise<T>> = kIsStatusLike<T>;

template <class S>
class [[nodiscard]] TryAwaiter {
 public:
  explicit TryAwaiter(S&& result) : result_(std::move(result)) {}

  bool await_ready() const noexcept { return result_.ok(); }

  template <std::derived_from<PromiseBase> P>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<P> frame) noexcept {
    static_assert(kReturnsStatus<P>,
                  "gyre: co_await Try(...) needs a coroutine that returns Task<absl::Status> or "
                  "Task<absl::StatusOr<T>>");
    frame.promise().return_value(TakeStatus());
    frame.promise().MarkTried();
    return frame.promise().TransferUp();
  }

  auto await_resume() {
    if constexpr (kIsStatusOr<S>) return *std::move(result_);
  }

 private:
  absl::Status TakeStatus() {
    if constexpr (kIsStatusOr<S>) {
      return std::move(result_).status();
    } else {
      return std::move(result_);
    }
  }

  S result_;
};

}  // namespace internal

inline auto Try(absl::Status status) { return internal::TryAwaiter<absl::Status>(std::move(status)); }

template <class T>
auto Try(absl::StatusOr<T> value) {
  return internal::TryAwaiter<absl::StatusOr<T>>(std::move(value));
}

}  // namespace gyre

#endif  // GYRE_RUNTIME_TRY_H_
