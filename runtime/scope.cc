#include "gyre/runtime/scope.h"

#include <new>
#include <utility>

#include "gyre/runtime/loop.h"

namespace gyre {
namespace internal {

void TaskCore::Launch(Scope& owner) noexcept {
  owner_ = &owner;
  scope_.emplace(owner.core_);
  LoopCore& loop = *owner.core_.loop();
  id_ = loop.loop.NextTaskId();
  loop.PushReady(*this);
}

void TaskCore::Run() {
  if (phase_ == Phase::kQueued) {
    StartCoroutine();
  } else {
    Settle();
  }
}

void TaskCore::StartCoroutine() {
  phase_ = Phase::kRunning;
  try {
    frame_ = Begin();
  } catch (...) {
    SetException(std::current_exception());
    phase_ = Phase::kFinished;
    Settle();
    return;
  }
  frame_->Start(*scope_, *this);
  Resume(*frame_);
}

std::coroutine_handle<> TaskCore::OnDone() noexcept {
  phase_ = Phase::kFinished;
  scope_->loop()->PushReap(*this);
  return std::noop_coroutine();
}

void TaskCore::OnStopped() noexcept {
  phase_ = Phase::kFinished;
  frame_ = nullptr;
  was_stopped_ = true;
  scope_->loop()->PushReap(*this);
}

void TaskCore::Settle() {
  if (frame_ != nullptr) TakeOutcome(std::exchange(frame_, nullptr));
  const bool from_outside =
      was_stopped_ && scope_->StopRequested() && scope_->stop_origin() != &*scope_ &&
      scope_->stop_origin() != &owner_->core_;
  scope_.reset();
  DestroyCallable();
  phase_ = Phase::kDone;
  while (JoinLeafBase* joiner = joiners_.front()) joiner->OnTaskDone();
  std::exchange(owner_, nullptr)->OnChildDone(*this, Failure(), from_outside);
  Unref();
}

}  // namespace internal

void Scope::CheckHome() const {
  GYRE_CHECK(internal::tls_loop == core_.loop(), "a Scope was used on another thread than its loop's");
}

void Scope::LaunchCore(std::string_view name, internal::TaskCore& task) {
  CheckHome();
  if (is_closed_) {
    task.Refuse();
    return;
  }
  try {
    task.SetName(name);
  } catch (...) {
    task.Refuse();
    throw;
  }
  ++live_children_;
  task.Launch(*this);
}

void Scope::OnChildDone(const internal::TaskCore& child, std::exception_ptr failure, bool was_stopped_from_outside) {
  was_child_stopped_from_outside_ |= was_stopped_from_outside;
  if (failure != nullptr) {
    if (on_error_ != nullptr) {
      const Outcome<> outcome = Outcome<>::FromException(std::move(failure));
      internal::InvokeGuarded(core_.loop()->loop, [&] { (*on_error_)(child.info(), outcome); });
    } else {
      RecordFailure(child.info(), std::move(failure));
    }
  }
  --live_children_;
  JoinIfDone();
}

void Scope::OnBodyDone(std::exception_ptr failure) {
  if (failure != nullptr) RecordFailure(TaskInfo("scope body", 0), std::move(failure));
  is_body_done_ = true;
  JoinIfDone();
}

void Scope::RecordFailure(const TaskInfo& who, std::exception_ptr failure) {
  if (failure_ == nullptr) {
    failure_ = std::move(failure);
    core_.RequestStop(StopReason("a task failed"));
    return;
  }
  UnhandledError error;
  try {
    error.task_name = std::string(who.name());
  } catch (const std::bad_alloc&) {  // better a report without the name than none
  }
  error.task_id = who.id();
  error.exception = std::move(failure);
  core_.loop()->loop.ReportUnhandledError(error);
}

void Scope::JoinIfDone() {
  if (!is_body_done_ || live_children_ != 0 || is_closed_) return;
  is_closed_ = true;
  core_.loop()->PushReap(joiner_);
}

}  // namespace gyre
