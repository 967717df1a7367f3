#include "gyre/runtime/internal/task_core.h"

#include <utility>

#include "gyre/runtime/loop.h"

namespace gyre::internal {

void TaskCore::Launch(TaskOwner& owner, ContextRef context) {
  extras().context = std::move(context);
  Launch(owner);
}

void TaskCore::Refuse() noexcept {
  SetStopped(SharedStopReason());
  phase_ = Phase::kDone;
  Finish();
  Unref();
}

void TaskCore::Run() {
  if (phase_ == Phase::kQueued) {
    StartCoroutine();
  } else {
    Settle();
  }
}

void TaskCore::StartCoroutine() {
  PromiseBase* frame;
  loop()->current = this;
  try {
    frame = Begin();
  } catch (...) {
    SetException(std::current_exception());
    Settle();
    return;
  }
  phase_ = Phase::kStarting;
  frame->Start(*this, *this);
  frame->handle().resume();
  if (phase_ == Phase::kFinished) return Settle();
  phase_ = Phase::kRunning;
}

void TaskCore::OnStopped() noexcept {
  was_stopped_ = true;
  SetStopped(reason());
  EnterFinished();
}

void TaskCore::Settle() {
  loop()->current = nullptr;
  const bool failed = Finish();
  phase_ = Phase::kDone;
  TaskOwner& the_owner = owner();
  Detach();
  the_owner.OnTaskDone(*this, failed);
  if (JoinLeafBase* joiner = joiners_.front()) {
    joiners_.Remove(*joiner);
    joiner->OnTaskDone(/*is_only=*/joiners_.empty());
    while ((joiner = joiners_.front()) != nullptr) {
      joiners_.Remove(*joiner);
      joiner->OnTaskDone(/*is_only=*/false);
    }
  }
  Unref();
}

}  // namespace gyre::internal
