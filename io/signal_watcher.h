// SignalWatcher: waits for Unix signals, such as SIGTERM, in a coroutine.
//
//   gyre::SignalWatcher signals = co_await gyre::Try(gyre::SignalWatcher::Watch(SIGTERM, SIGINT));
//   int number = co_await signals.Next();
//
// gyre takes no signal on its own: a handler is installed for what a watcher names, and as long as one names it. When
// the last watcher of a signal goes, what handled it before is back.
//
// Thread-safety: made, moved and destroyed on any thread, also before any loop runs; Next on any loop, one at a time.
//                Every watcher in the process sees every signal it names, whichever thread the kernel interrupts. Where
//                several must see the same ones from the first on, block the signals while you make them.
// Lifetime:      outlives its Next (checked). What it had not given out yet is dropped with it.
// Cancellation:  a stopped Next loses no signal: the next one gives it.
// Errors:        Watch: kInvalidArgument for a number that is no signal, that can't be handled (SIGKILL, SIGSTOP), or
//                that reports a broken program (SIGSEGV and its like). A second Next at the same time is a check
//                failure.
// Cost:          signals of one number that come faster than they are taken count once, as in the kernel; of several
//                waiting numbers, the lowest is given first. The handler takes a few atomic operations for each
//                watcher.
#ifndef GYRE_IO_SIGNAL_WATCHER_H_
#define GYRE_IO_SIGNAL_WATCHER_H_

#include <concepts>
#include <span>
#include <utility>

#include "absl/status/statusor.h"
#include "gyre/runtime/task.h"

namespace gyre {
namespace internal {
class SignalSlot;
}

class [[nodiscard]] SignalWatcher {
 public:
  // Counts from now on: a signal that comes before the first Next is kept.
  template <std::same_as<int>... Signals>
    requires(sizeof...(Signals) > 0)
  static absl::StatusOr<SignalWatcher> Watch(Signals... signals) {
    const int numbers[] = {signals...};
    return Watch(std::span<const int>(numbers));
  }
  static absl::StatusOr<SignalWatcher> Watch(std::span<const int> signals);

  SignalWatcher(SignalWatcher&& other) noexcept : slot_(std::exchange(other.slot_, nullptr)) {}
  SignalWatcher& operator=(SignalWatcher&& other) noexcept {
    SignalWatcher taken(std::move(other));
    std::swap(slot_, taken.slot_);
    return *this;
  }
  ~SignalWatcher();

  // Waits for the next signal and gives its number.
  Task<int> Next();

 private:
  explicit SignalWatcher(internal::SignalSlot& slot) : slot_(&slot) {}

  internal::SignalSlot* slot_;  // null once moved from
};

}  // namespace gyre

#endif  // GYRE_IO_SIGNAL_WATCHER_H_
