#include "gyre/io/shutdown_on_signal.h"

#include <pthread.h>

#include <csignal>
#include <functional>
#include <future>
#include <new>
#include <system_error>
#include <thread>

#include "absl/status/status.h"
#include "gyre/runtime/errors.h"
#include "gyre/runtime/log.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/stop_handle.h"

namespace gyre {
namespace {

const char* NameOf(int signal) { return signal == SIGTERM ? "SIGTERM" : "SIGINT"; }

}  // namespace

Task<> internal::ShutDownAtSignals(SignalWatcher signals, Shutdown shutdown) {
  const int first = co_await signals.Next();
  shutdown.Request(NameOf(first));
  const int second = co_await signals.Next();
  shutdown.CutShort(NameOf(second));
}

// A loop of its own on a thread of its own.
class ShutdownOnSignal::Thread {
 public:
  // Throws std::system_error.
  Thread(SignalWatcher signals, Shutdown shutdown)
      : thread_(&Thread::Run, std::move(signals), std::move(shutdown), std::ref(started_)) {}
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;
  ~Thread() {
    stop_.RequestStop();  // without text: a destructor
    thread_.join();
  }

  // Waits until the thread can be stopped, or can't run.
  absl::Status Start() {
    absl::StatusOr<StopHandle> stop = started_.get_future().get();
    if (stop.ok()) stop_ = *std::move(stop);
    return stop.status();
  }

 private:
  using Started = std::promise<absl::StatusOr<StopHandle>>;

  static void Run(SignalWatcher signals, Shutdown shutdown, Started& started) {
    pthread_setname_np(pthread_self(), "gyre-signals");
    bool has_started = false;
    absl::Status status;
    try {
      status = gyre::Run([&](Scope& scope) -> Task<absl::Status> {
        StopHandle stop = scope.stop_handle();
        has_started = true;
        started.set_value(std::move(stop));
        co_await internal::ShutDownAtSignals(std::move(signals), std::move(shutdown));
        co_return absl::OkStatus();
      });
    } catch (const std::bad_alloc&) {
      status = absl::Status(absl::StatusCode::kResourceExhausted, "");
      if (has_started) internal::Log("gyre: no memory: signals begin no shutdown any more");
    }
    if (!has_started) started.set_value(status);
  }

  Started started_;
  StopHandle stop_;
  std::thread thread_;
};

absl::StatusOr<ShutdownOnSignal> ShutdownOnSignal::Watch(Shutdown shutdown) {
  absl::StatusOr<SignalWatcher> signals = SignalWatcher::Watch(SIGTERM, SIGINT);
  if (!signals.ok()) return signals.status();
  try {
    auto thread = std::make_unique<Thread>(*std::move(signals), std::move(shutdown));
    if (absl::Status status = thread->Start(); !status.ok()) return status;
    return ShutdownOnSignal(std::move(thread));
  } catch (const std::system_error& error) {
    return internal::StatusFromErrno(error.code().value(), "start a thread for signals");
  }
}

ShutdownOnSignal::ShutdownOnSignal(std::unique_ptr<Thread> thread) : thread_(std::move(thread)) {}
ShutdownOnSignal::ShutdownOnSignal(ShutdownOnSignal&&) noexcept = default;
ShutdownOnSignal& ShutdownOnSignal::operator=(ShutdownOnSignal&&) noexcept = default;
ShutdownOnSignal::~ShutdownOnSignal() = default;

}  // namespace gyre
