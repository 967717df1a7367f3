#include "gyre/runtime/internal/task_core.h"

#include <utility>

#include "gyre/runtime/internal/rng.h"
#include "gyre/runtime/internal/waiting.h"
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
  DropCallable();
  SettleStopped();
}

std::string JoinLeafBase::WaitsFor() const { return "the end of " + DescribeTask(task_); }

void TaskCore::StartNow() {
  LoopCore& core = *loop();
  if (core.scheduling_rng != nullptr && core.scheduling_rng->Below(2) == 0) return;  // both orders happen elsewhere too
  ScopeCore* const waiting = core.current;
  --tls_budget;
  core.TakeFront().Run();
  core.current = waiting;
}

void TaskCore::SettleFailed() noexcept {
  phase_ = Phase::kDone;
  SettleLost(/*failed=*/true);
}

void TaskCore::SettleStopped() noexcept {
  phase_ = Phase::kDoneStopped;
  SettleLost(/*failed=*/false);
}

void TaskCore::SettleLost(bool failed) noexcept {
  loop()->current = nullptr;
  TaskOwner& the_owner = owner();
  Detach();
  the_owner.OnChildLost(*this, failed);
  the_owner.RemoveChild();
  if (!joiners_.empty()) WakeJoiners();
  Unref();
}

void TaskCore::WakeJoiners() noexcept {
  JoinLeafBase* joiner = joiners_.front();
  joiners_.Remove(*joiner);
  joiner->OnTaskDone(/*is_only=*/joiners_.empty());
  while ((joiner = joiners_.front()) != nullptr) {
    joiners_.Remove(*joiner);
    joiner->OnTaskDone(/*is_only=*/false);
  }
}

}  // namespace gyre::internal
