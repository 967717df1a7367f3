// UntilInterrupted: runs a program's main task until SIGINT (Ctrl-C) or SIGTERM stops it.
//
//   int main() {
//     absl::Status status = gyre::Run([] { return gyre::UntilInterrupted(Main); });   // Task<> Main()
//     ...
//   }
//
// The first signal stops `main` and all it has started; its clean-up runs. From then on, as after the end, the signals do
// what they did before: by default, a second Ctrl-C ends a clean-up that takes too long, and the process with it. A server
// that lets its clients finish wants ServeUntilSignal.
//
// Thread-safety: on any loop; of several at once in a process, each hears the signal.
// Lifetime:      keeps `main` until the end.
// Cancellation:  a stop from outside stops `main` as well, and passes on.
// Errors:        interrupted: kCancelled, with "interrupted by SIGINT" in its message. A result that `main` gives in spite of that is its result, and
//                what it throws is thrown.
#ifndef GYRE_IO_UNTIL_INTERRUPTED_H_
#define GYRE_IO_UNTIL_INTERRUPTED_H_

#include <csignal>
#include <functional>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gyre/io/signal_watcher.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/task.h"

namespace gyre {
namespace internal {

template <class T>
struct InterruptibleTraits {
  using Result = absl::StatusOr<T>;
};
template <>
struct InterruptibleTraits<void> {
  using Result = absl::Status;
};
template <>
struct InterruptibleTraits<absl::Status> {
  using Result = absl::Status;
};
template <class T>
struct InterruptibleTraits<absl::StatusOr<T>> {
  using Result = absl::StatusOr<T>;
};
template <class F>
using InterruptibleResult = typename InterruptibleTraits<typename std::invoke_result_t<F&>::value_type>::Result;

// Gives `signals` back before the stop, so that a second one does what it did before.
Task<> StopAtSignal(std::reference_wrapper<SignalWatcher> signals, std::reference_wrapper<Scope> scope);

}  // namespace internal

// `main()` gives a Task. void becomes absl::Status, any T that has no place for a status absl::StatusOr<T>.
template <class F>
Task<internal::InterruptibleResult<F>> UntilInterrupted(F main) {
  using Result = internal::InterruptibleResult<F>;
  absl::StatusOr<SignalWatcher> signals = SignalWatcher::Watch(SIGINT, SIGTERM);
  if (!signals.ok()) co_return signals.status();
  auto body = [&](Scope& scope) -> Task<Result> {
    scope.SpawnNamed("interruption", internal::StopAtSignal, std::ref(*signals), std::ref(scope));
    if constexpr (std::is_void_v<typename std::invoke_result_t<F&>::value_type>) {
      co_await std::invoke(main);
      scope.RequestStop();
      co_return absl::OkStatus();
    } else {
      Result result = co_await std::invoke(main);
      scope.RequestStop();
      co_return result;
    }
  };
  co_return co_await WithScope(body);
}

}  // namespace gyre

#endif  // GYRE_IO_UNTIL_INTERRUPTED_H_
