// ShutdownOnSignal: SIGTERM or SIGINT begins a Shutdown, and a second one cuts its grace time short.
//
//   gyre::Shutdown shutdown(/*grace=*/10s);
//   absl::StatusOr<gyre::ShutdownOnSignal> signals = gyre::ShutdownOnSignal::Watch(shutdown);  // in main, before the loops
//
// A signal counts once, for all loops. After the second the signals are what they were before: by default a third one ends
// the process, whatever still keeps it.
//
// Thread-safety: made, moved and destroyed on any thread.
// Lifetime:      watches from Watch on and as long as it lives, also while no loop runs.
// Cancellation:  none. Destroying it before a signal came leaves the shutdown alone.
// Errors:        Watch: what the thread needs and can't have.
// Cost:          a thread that sleeps, with two descriptors: no loop that is stuck keeps a signal from the others.
#ifndef GYRE_IO_SHUTDOWN_ON_SIGNAL_H_
#define GYRE_IO_SHUTDOWN_ON_SIGNAL_H_

#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "gyre/io/signal_watcher.h"
#include "gyre/runtime/shutdown.h"
#include "gyre/runtime/task.h"

namespace gyre {

class [[nodiscard]] ShutdownOnSignal {
 public:
  static absl::StatusOr<ShutdownOnSignal> Watch(Shutdown shutdown);

  ShutdownOnSignal(ShutdownOnSignal&&) noexcept;
  ShutdownOnSignal& operator=(ShutdownOnSignal&&) noexcept;
  ~ShutdownOnSignal();

 private:
  class Thread;

  explicit ShutdownOnSignal(std::unique_ptr<Thread> thread);

  std::unique_ptr<Thread> thread_;
};

namespace internal {

// The same as a task, for a server of one loop: ends, and gives the signals back, when a second one has come.
Task<> ShutDownAtSignals(SignalWatcher signals, Shutdown shutdown);

}  // namespace internal
}  // namespace gyre

#endif  // GYRE_IO_SHUTDOWN_ON_SIGNAL_H_
