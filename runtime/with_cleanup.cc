#include "gyre/runtime/with_cleanup.h"

#include "absl/status/status.h"
#include "gyre/runtime/internal/task_core.h"
#include "gyre/runtime/loop.h"

namespace gyre::internal {

void ReportCleanupError(std::exception_ptr failure) noexcept {
  UnhandledError error;
  if (ScopeCore* current = tls_loop->current) {
    if (const TaskCore* task = current->NearestTask()) {
      error.task_id = task->id();
      try {
        error.task_name = std::string(task->name());
      } catch (const std::bad_alloc&) {  // better a report without the name than none
      }
    }
  }
  error.exception = std::move(failure);
  tls_loop->loop.ReportUnhandledError(error);
}

std::exception_ptr GraceExceeded() {
  return std::make_exception_ptr(
      StatusFailure(absl::DeadlineExceededError("a clean-up did not end within its grace time, and was stopped")));
}

}  // namespace gyre::internal
