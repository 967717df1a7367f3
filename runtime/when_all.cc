#include "gyre/runtime/when_all.h"

#include <utility>

namespace gyre::internal {

void WhenAllGroup::OnChildDone(std::exception_ptr failure, bool is_status, bool was_stopped) {
  was_stopped_ |= was_stopped;
  if (failure != nullptr) {
    if (failure_ == nullptr) {
      failure_ = std::move(failure);
      is_status_ = is_status;
      scope_->RequestStop(StopReason("sibling failed"));
    } else if (!is_status || !is_status_) {  // statuses beside a status stay visible in their slots
      UnhandledError error;
      error.task_name = "WhenAll child";
      error.exception = std::move(failure);
      scope_->loop()->loop.ReportUnhandledError(error);
    }
  }
  if (--running_ == 0) scope_->loop()->PushReap(*this);
}

void WhenAllGroup::ThrowFailure() {
  if (failure_ != nullptr && !is_status_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void WhenAllGroup::Run() {
  if (was_stopped_ && failure_ == nullptr) {  // the stop came from outside, or a leaf ended stopped by itself
    scope_.reset();
    UnwindStopped(*parent_);
    return;
  }
  scope_.reset();
  Resume(*parent_);
}

}  // namespace gyre::internal
