#include "gyre/runtime/scope.h"

#include <new>
#include <utility>

#include "gyre/runtime/loop.h"

namespace gyre {

void Scope::LaunchWithCare(internal::TaskCore& task) {
  if (is_closed_) return task.Refuse();
  internal::LoopCore& core = *loop();
  if (core.has_context && core.current != nullptr) {
    try {
      task.Launch(*this, core.current->Context());
    } catch (...) {
      task.Refuse();
      throw;
    }
  } else {
    task.Launch(*this);
  }
}

void Scope::OnChildLost(internal::TaskCore& child, bool failed) noexcept {
  if (child.was_stopped() && !child.StoppedHere()) was_child_stopped_ = true;
  if (failed) OnChildFailed(child);
}

void Scope::OnAllEnded() noexcept { JoinIfDone(); }

void Scope::OnChildFailed(internal::TaskCore& child) noexcept {
  std::exception_ptr failure = child.Failure();
  if (on_error_ == nullptr) return RecordFailure(child.info(), std::move(failure));
  const Outcome<> outcome = Outcome<>::FromException(std::move(failure));
  internal::InvokeGuarded(loop()->loop, [&] { (*on_error_)(child.info(), outcome); });
}

void Scope::OnBodyDone(std::exception_ptr failure) {
  if (failure != nullptr) RecordFailure(TaskInfo("scope body", 0), std::move(failure));
  is_body_done_ = true;
  JoinIfDone();
}

void Scope::RecordFailure(const TaskInfo& who, std::exception_ptr failure) {
  if (failure_ == nullptr) {
    failure_ = std::move(failure);
    ScopeCore::RequestStop(StopReason("a task failed"));
    return;
  }
  UnhandledError error;
  try {
    error.task_name = std::string(who.name());
  } catch (const std::bad_alloc&) {  // better a report without the name than none
  }
  error.task_id = who.id();
  error.exception = std::move(failure);
  loop()->loop.ReportUnhandledError(error);
}

void Scope::JoinIfDone() {
  if (!is_body_done_ || live_children() != 0 || is_closed_) return;
  is_closed_ = true;
  loop()->PushReap(joiner_);
}

}  // namespace gyre
