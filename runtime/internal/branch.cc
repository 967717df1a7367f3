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

void BranchBase::Run() { group_->EndBranch(*this, TakeResult()); }

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
  is_queued_ = true;
  loop()->PushReap(*this);
}

void BranchGroup::Run() {
  is_queued_ = false;
  if (!StartMore() || running_ != 0) return;
  if (PassesStopOn()) return UnwindStopped(*parent_frame_);
  Continue(*parent_frame_);
}

// False: the rest starts in the next turn.
bool BranchGroup::StartMore() {
  is_starting_ = true;
  while (to_start_ != nullptr && !is_decided_) {
    if (--tls_budget <= 0) {
      is_starting_ = false;
      is_queued_ = true;
      loop()->PushReady(*this);
      return false;
    }
    StartBranch(*std::exchange(to_start_, to_start_->next_branch_));
  }
  for (; to_start_ != nullptr; to_start_ = to_start_->next_branch_) to_start_->SetStopped(reason());
  is_starting_ = false;
  return true;
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
  OnBranchEnd(branch, branch.index_, end);
  if (--running_ == 0 && !is_starting_ && !is_queued_) loop()->PushReap(*this);
}

void BranchGroup::Decide(const char* why) {
  is_decided_ = true;
  RequestStop(StopReason(why));
}

}  // namespace gyre::internal
