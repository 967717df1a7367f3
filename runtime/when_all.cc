#include "gyre/runtime/when_all.h"

#include <utility>

#include "gyre/runtime/loop.h"

namespace gyre::internal {

void WhenAllGroup::OnBranchEnd(BranchBase& branch, size_t, BranchEnd end) {
  switch (end) {
    case BranchEnd::kValue:
      return;
    case BranchEnd::kStopped:
      was_stopped_ = true;
      return;
    case BranchEnd::kBadStatus:
    case BranchEnd::kException:
      break;
  }
  const bool is_status = end == BranchEnd::kBadStatus;
  if (failure_ == nullptr) {
    failure_ = branch.Failure();
    is_status_ = is_status;
    RequestStop(StopReason::Static("another operation failed"));
  } else if (!is_status || !is_status_) {  // statuses beside a status stay visible in their slots
    UnhandledError error;
    error.task_name = "WhenAll child";
    error.exception = branch.Failure();
    loop()->loop.ReportUnhandledError(error);
  }
}

void WhenAllGroup::ThrowFailure() {
  if (failure_ != nullptr && !is_status_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void WhenAllGroup::ThrowMissing() {
  if (failure_ != nullptr) RethrowFailure(failure_);
  throw Stopped("an operation of WhenAll was stopped by itself");
}

}  // namespace gyre::internal
