#include "gyre/runtime/internal/branch.h"

#include <utility>

#include "gyre/runtime/check.h"
#include "gyre/runtime/loop.h"

namespace gyre::internal {

std::coroutine_handle<> BranchBase::OnDone(PromiseBase&) noexcept {
  is_finished_ = true;
  if (!is_starting_) loop()->PushReap(*this);  // else whoever started it looks when it comes back
  return std::noop_coroutine();
}

void BranchBase::OnStopped() noexcept {
  frame_ = nullptr;
  SetStopped(reason());
  group_->EndBranch(*this, BranchEnd::kStopped);
}

const PromiseBase* BranchBase::awaiter() const { return group_->parent_frame_; }

void BranchBase::Run() {
  loop()->current = this;
  group_->EndBranch(*this, TakeResult());
}

void BranchGroup::Add(BranchBase& branch) {
  branch.group_ = this;
  branch.index_ = static_cast<uint32_t>(size_++);
  if (last_ == nullptr) {
    first_ = to_start_ = &branch;
  } else {
    last_->next_branch_ = &branch;
  }
  last_ = &branch;
}

void BranchGroup::Open(PromiseBase& parent) {
  parent_frame_ = &parent;
  Attach(*parent.scope());
  loop()->PushReap(*this);
}

void BranchGroup::Run() {
  switch (phase_) {
    case Phase::kReady:
      phase_ = Phase::kOpen;
      return loop()->PushReap(*this);
    case Phase::kOpen:
      phase_ = Phase::kStarting;
      return loop()->PushStarting(*this);
    case Phase::kStarting:
      return StartMore();
    case Phase::kStarted:
      return End();
  }
}

// What a branch ends on its way comes before the next branch: it may decide.
void BranchGroup::StartMore() {
  LoopCore& core = *loop();
  while (to_start_ != nullptr && !is_decided_) {
    if (--tls_budget <= 0) {
      core.PopStarting();
      phase_ = Phase::kReady;
      return core.PushReady(*this);
    }
    StartBranch(*std::exchange(to_start_, to_start_->next_branch_));
    if (!core.reap.empty()) return;
  }
  core.PopStarting();
  phase_ = Phase::kStarted;
  for (; to_start_ != nullptr; to_start_ = to_start_->next_branch_) to_start_->SetStopped(reason());
  if (running_ == 0) End();
}

void BranchGroup::End() {
  if (PassesStopOn()) return UnwindStopped(*parent_frame_);
  Continue(*parent_frame_);
}

void BranchGroup::StartBranch(BranchBase& branch) {
  ++running_;
  branch.Attach(*this);
  branch.is_starting_ = true;
  branch.frame_->Start(branch, static_cast<Boundary&>(branch));
  Resume(*branch.frame_);
  branch.is_starting_ = false;
  if (branch.is_finished_) EndBranch(branch, branch.TakeResult());
}

void BranchGroup::EndBranch(BranchBase& branch, BranchEnd end) {
  branch.Detach();
  if (end != BranchEnd::kValue || hears_ == Hears::kEverything) OnBranchEnd(branch, branch.index_, end);
  if (--running_ == 0 && phase_ == Phase::kStarted) loop()->PushReap(*this);
}

void BranchGroup::Decide(const char* why) {
  is_decided_ = true;
  RequestStop(StopReason::Static(why));
}

}  // namespace gyre::internal
