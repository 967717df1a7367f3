// Timers need the backend's alarm, because nobody waits in the backend with a timeout. Setting it is a system call, and most
// timers of a server are cancelled and set anew, each a little later than the last. So the alarm is left where it is as
// long as it rings early enough: when it has rung for nothing, it is set to what is first by then. A server whose requests
// all have a deadline of a second so sets it about once a second, not once a request.
//
// Rejected: telling the host the next deadline. Each host would have to set a timer of its own after every PollOnce, which is the
// same system call or another one, and one that forgets hangs.
#include "gyre/runtime/embedded_loop.h"

#include <cerrno>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "gyre/runtime/errors.h"

namespace gyre::internal {

absl::StatusOr<std::unique_ptr<Backend>> MakePollableBackend(const RunOptions& options, int* fd) {
  absl::StatusOr<std::unique_ptr<Backend>> backend = MakeBackend(options);
  if (!backend.ok()) return backend;
  *fd = (*backend)->OpenPollable();
  if (*fd == -EOPNOTSUPP) {
    return absl::UnimplementedError("the backend " + std::string((*backend)->name()) + " can't be embedded: use epoll");
  }
  if (*fd < 0) return StatusFromErrno(-*fd, "timerfd_create");
  return backend;
}

EmbeddedCore::EmbeddedCore(std::unique_ptr<Backend> backend, int fd, const RunOptions& options)
    : backend_(std::move(backend)), fd_(fd), options_(options), pools_(options.pools()), loop_(*backend_) {
  loop_.SetExecutors(pools_);
}

EmbeddedCore::~EmbeddedCore() = default;

void EmbeddedCore::Start(RootBase& root) {
  root_ = &root;
  root.Start(loop_, options_, &stop_handle_);
  loop_.WakeItself();
}

bool EmbeddedCore::PollOnce(TimePoint until) {
  GYRE_CHECK(Loop::TryCurrent() == nullptr,
             "EmbeddedLoop::PollOnce was called by a task or a callback of a loop: only the host loop may call it");
  if (home_ == std::thread::id()) home_ = std::this_thread::get_id();
  GYRE_CHECK(home_ == std::this_thread::get_id(), "EmbeddedLoop::PollOnce was called on another thread than before");
  if (is_done_) {
    backend_->Turn(TimePoint());  // a wake may have come late: a host that still polls must not spin
    return false;
  }
  if (loop_.PollOnce(root_->is_done(), until)) return true;
  if (!root_->is_done()) {
    SetAlarm();
    return false;
  }
  is_done_ = true;
  root_->Report(options_);
  return false;
}

// An alarm that has rung lies before the time now, whatever the loop's cached time says.
void EmbeddedCore::SetAlarm() {
  const std::optional<TimePoint> next = loop_.timers().NextExpiry();
  if (!next.has_value() || (*next >= alarm_ && loop_.ReadClock() < alarm_)) return;
  alarm_ = *next;
  backend_->SetAlarm(alarm_);
}

void EmbeddedCore::Finish() {
  if (is_done_) return;
  GYRE_CHECK(Loop::TryCurrent() == nullptr,
             "an EmbeddedLoop was destroyed inside a loop while its root still ran: destroy it from the host's code");
  stop_handle_.RequestStop(StopReason::Static("its EmbeddedLoop was destroyed"));
  while (!is_done_) PollOnce(kNever);
}

}  // namespace gyre::internal
