#include "gyre/runtime/scope.h"

#include <new>
#include <utility>

#include "gyre/runtime/internal/remote_link.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/remote_scope.h"

namespace gyre {

void Scope::LaunchWithCare(internal::TaskCore& task) {
  if (is_closed_) return task.Refuse();
  internal::LoopCore& core = *loop();
  if (core.has_context && core.current != nullptr) {
    internal::ContextRef context = core.current->Context();
    if (context == nullptr) return task.Launch(*this);
    try {
      task.Launch(*this, std::move(context));
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
    ScopeCore::RequestStop(StopReason::Static("a task failed"));
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
  if (const internal::ScopeExtras* extras = extras_or_null(); extras != nullptr && extras->remote_link != nullptr) {
    if (!extras->remote_link->TryClose()) return;  // who is inside comes here when it arrives
  }
  is_closed_ = true;
  loop()->PushReap(joiner_);
}

std::shared_ptr<internal::RemoteLink> internal::RemoteLinkOf(Scope& scope) {
  ScopeCore& core = ScopeKey::Core(scope);
  CheckHome(core.loop(), "a Scope");
  std::shared_ptr<RemoteLink>& link = core.extras().remote_link;
  if (link == nullptr) {
    link = std::make_shared<RemoteLink>(scope, core.loop()->loop);
    if (ScopeKey::IsClosed(scope)) link->TryClose();
  }
  return link;
}

}  // namespace gyre
