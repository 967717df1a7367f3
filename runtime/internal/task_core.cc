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
  DropCallable();
  phase_ = Phase::kDoneStopped;
  Unref();
}

void TaskCore::OnStopped() noexcept {
  SetStopped(reason());
  loop()->PushReap(*this);
}

void TaskCore::Settle(bool failed) noexcept {
  loop()->current = nullptr;
  phase_ = phase_ == Phase::kStopped ? Phase::kDoneStopped : Phase::kDone;
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
