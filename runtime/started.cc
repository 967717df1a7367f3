#include "gyre/runtime/started.h"

#include <utility>

#include "gyre/runtime/check.h"
#include "gyre/runtime/scope.h"

namespace gyre::internal {

// A pending start counts as a child of the scope, so that the scope stays open; handing over only moves the child.
void StartCore::Begin(PromiseBase& parent, Scope& scope, TaskCore& child) {
  parent_ = &parent;
  scope_ = &scope;
  child_ = &child;
  Attach(*parent.scope());
  if (!ScopeKey::BeginStart(scope)) {
    was_refused_ = true;
    child.Refuse();
    loop()->PushReady(*this);
    return;
  }
  if (!loop()->has_context) return child.Launch(*this);
  try {
    child.Launch(*this, parent.scope()->Context());
  } catch (...) {
    child.Refuse();
    ScopeKey::EndStart(scope);
    throw;
  }
}

bool StartCore::HandOver() noexcept {
  GYRE_CHECK(child_ != nullptr, "Started was called twice, or after its task had ended");
  if (StopRequested()) return false;
  is_handed_over_ = true;
  child_->Reparent(ScopeKey::Core(*scope_));
  loop()->PushNext(*this);
  return true;
}

void StartCore::OnChildLost(TaskCore& child, bool failed) noexcept {
  if (failed) failure_ = child.Failure();
  was_stopped_ = child.was_stopped();
}

void StartCore::OnAllEnded() noexcept {
  child_ = nullptr;
  ScopeKey::EndStart(*scope_);
  loop()->PushReap(*this);
}

void StartCore::Run() {
  if (is_handed_over_ || was_refused_) return Resume(*parent_);
  if (failure_ == nullptr && parent_->scope()->StopRequested()) return UnwindStopped(*parent_);
  Continue(*parent_);
}

absl::Status StartCore::TakeFailure() {
  if (failure_ != nullptr) {
    try {
      std::rethrow_exception(std::exchange(failure_, nullptr));
    } catch (const StatusFailure& failure) {
      return failure.status();
    }
  }
  if (was_refused_) return absl::FailedPreconditionError("Start was called on a scope that had ended");
  if (was_stopped_) return absl::CancelledError("the task was stopped before it reported that it had started");
  return absl::FailedPreconditionError("the task ended before it reported that it had started");
}

}  // namespace gyre::internal
