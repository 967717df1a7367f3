// EmbeddedLoop: gyre inside an event loop that is not gyre's: what gyre::Run does, in parts, on the host loop's thread.
//
//   absl::StatusOr<gyre::EmbeddedLoop<absl::Status>> guest = gyre::StartEmbedded(Serve());  // what gyre::Run takes
//   host.WhenReadable(guest->fd(), [&] {
//     guest->PollOnce();
//     if (guest->IsDone()) host.Quit();
//   });
//
// One descriptor is all that the host polls: sockets, timers and wakes from other threads make it readable. It may be polled for its
// level or for edges (EPOLLET), and never needs to be read. While the guest has nothing to do, it is not readable.
//
// Thread-safety: PollOnce, Result and the destructor on one thread; stop handles, and Post and RunOn to loop(), from any. Code of
//                the host is outside the loop, also on its thread: it reaches the guest as another thread would.
// Lifetime:      the root runs in PollOnce and nowhere else. Take fd() out of the host before the EmbeddedLoop is destroyed. While
//                its root still runs, the destructor asks it to stop and blocks until it has ended.
// Cancellation:  RequestStop stops the root; PollOnce then runs it to its end. A stopped root's result is as of gyre::Run.
// Errors:        StartEmbedded: what a backend needs and can't have; kUnimplemented if the options name one that can't be embedded.
//                Result throws what gyre::Run throws. A failure that nobody takes goes to the unhandled-error hook. PollOnce
//                inside a running loop, or on another thread than before, is a check failure.
// Units:         `until` is a time of the loop's clock (steady, ns): the epoch does not wait, kNever waits for ever.
// Cost:          a PollOnce is one epoll wait, besides the host's own; a timer that is the first one, and earlier than those armed
//                before, one timerfd_settime. No other thread, three descriptors.
#ifndef GYRE_RUNTIME_EMBEDDED_LOOP_H_
#define GYRE_RUNTIME_EMBEDDED_LOOP_H_

#include <concepts>
#include <exception>
#include <memory>
#include <thread>
#include <type_traits>
#include <utility>

#include "absl/status/statusor.h"
#include "gyre/runtime/backend.h"
#include "gyre/runtime/check.h"
#include "gyre/runtime/errors.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/offload/pools.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/stop_handle.h"
#include "gyre/runtime/stop_reason.h"
#include "gyre/runtime/time.h"

namespace gyre {
namespace internal {

// A backend, a loop, and the root that runs there. Derived classes own the root.
class EmbeddedCore {
 public:
  EmbeddedCore(std::unique_ptr<Backend> backend, int fd, const RunOptions& options);
  EmbeddedCore(const EmbeddedCore&) = delete;
  EmbeddedCore& operator=(const EmbeddedCore&) = delete;
  virtual ~EmbeddedCore();

  int fd() const { return fd_; }
  Loop& loop() { return loop_; }
  const StopHandle& stop_handle() const { return stop_handle_; }
  bool is_done() const { return is_done_; }
  bool PollOnce(TimePoint until);

 protected:
  void Start(RootBase& root);
  // Returns when the root has ended; stops it first.
  void Finish();

 private:
  void SetAlarm();

  const std::unique_ptr<Backend> backend_;
  const int fd_;
  const RunOptions options_;
  Pools pools_;
  Loop loop_;
  RootBase* root_ = nullptr;
  StopHandle stop_handle_;
  TimePoint alarm_ = kNever;  // when the backend's alarm rings, or rang last
  bool is_done_ = false;      // the root and the loop have ended
  std::thread::id home_;      // no thread until the first PollOnce
};

template <class T>
class EmbeddedRun : public EmbeddedCore {
 public:
  using EmbeddedCore::EmbeddedCore;

  virtual T Result() = 0;
};

template <class Root>
class EmbeddedRoot final : public EmbeddedRun<typename RootTask<Root>::T> {
 public:
  using T = typename RootTask<Root>::T;

  template <class R>
  EmbeddedRoot(std::unique_ptr<Backend> backend, int fd, const RunOptions& options, R&& root)
      : EmbeddedRun<T>(std::move(backend), fd, options), task_(std::forward<R>(root)) {
    this->Start(task_);
  }
  ~EmbeddedRoot() override {
    this->Finish();
    if (is_taken_) return;
    UnhandledError error;
    error.exception = task_.Failure();
    if (error.exception != nullptr) this->loop().ReportUnhandledError(error);
  }

  T Result() override {
    GYRE_CHECK(this->is_done(), "EmbeddedLoop::Result was called before the root had ended: ask IsDone() first");
    GYRE_CHECK(!std::exchange(is_taken_, true), "EmbeddedLoop::Result was called twice");
    return task_.Result();
  }

 private:
  RootTask<Root> task_;
  bool is_taken_ = false;
};

// The backend, and what the host shall poll.
absl::StatusOr<std::unique_ptr<Backend>> MakePollableBackend(const RunOptions& options, int* fd);

}  // namespace internal

template <class T = void>
class [[nodiscard]] EmbeddedLoop {
 public:
  // StartEmbedded makes these.
  explicit EmbeddedLoop(std::unique_ptr<internal::EmbeddedRun<T>> run) : run_(std::move(run)) {}
  // A moved-from one can only be destroyed or assigned to. Moving does not touch what runs.
  EmbeddedLoop(EmbeddedLoop&&) noexcept = default;
  EmbeddedLoop& operator=(EmbeddedLoop&&) = default;

  // For the host to poll for reading, from the start and until IsDone(). It is the guest's: nobody reads or closes it.
  int fd() const { return run_->fd(); }

  // Runs what is ready, for about 800 us at most, so that the host has its turn. If nothing is ready, waits for something until
  // `until`, and runs that. True: more is ready, and fd() is readable; call again, now or when the host comes to it.
  bool PollOnce(TimePoint until = TimePoint()) { return run_->PollOnce(until); }

  // The root has ended, and the loop with it: the result is there, and the host need not poll any more.
  bool IsDone() const { return run_->is_done(); }
  // Once, when IsDone().
  T Result() { return run_->Result(); }

  // From any thread, while this object lives; the host's fd becomes readable.
  void RequestStop(StopReason reason = StopReason()) noexcept { run_->stop_handle().RequestStop(std::move(reason)); }
  // For those who may outlive it.
  StopHandle stop_handle() const { return run_->stop_handle(); }

  // The same as long as the root runs, wherever this object is moved to.
  Loop& loop() { return run_->loop(); }

 private:
  std::unique_ptr<internal::EmbeddedRun<T>> run_;
};

// Takes what gyre::Run takes. The root begins in the first PollOnce.
template <class Root>
auto StartEmbedded(const RunOptions& options, Root&& root)
    -> absl::StatusOr<EmbeddedLoop<typename internal::RootTask<std::decay_t<Root>>::T>> {
  using Run = internal::EmbeddedRoot<std::decay_t<Root>>;
  int fd = -1;
  absl::StatusOr<std::unique_ptr<Backend>> backend = internal::MakePollableBackend(options, &fd);
  if (!backend.ok()) return backend.status();
  return EmbeddedLoop<typename Run::T>(std::make_unique<Run>(*std::move(backend), fd, options, std::forward<Root>(root)));
}
template <class Root>
  requires(!std::same_as<std::decay_t<Root>, RunOptions>)
auto StartEmbedded(Root&& root) {
  return StartEmbedded(RunOptions(), std::forward<Root>(root));
}

}  // namespace gyre

#endif  // GYRE_RUNTIME_EMBEDDED_LOOP_H_
