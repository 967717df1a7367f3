#include "gyre/runtime/as_outcome.h"

#include <new>
#include <string>

#include "gyre/runtime/internal/task_core.h"
#include "gyre/runtime/log.h"

namespace gyre::internal {

void CountObservedStop(PromiseBase& observer) noexcept {
  ScopeCore& scope = *observer.scope();
  if (!scope.StopRequested()) return;
  try {
    if (++scope.extras().stops_observed != 1000) return;
    std::string text = "gyre: ";
    const TaskCore* task = scope.NearestTask();
    text += task == nullptr ? "the root task" : "task " + std::to_string(task->id());
    if (task != nullptr && !task->name().empty()) text += " \"" + std::string(task->name()) + "\"";
    const std::source_location where = observer.place().where();
    text += " has ignored 1000 stops in a row, at ";
    text += std::string(where.file_name()) + ":" + std::to_string(where.line());
    text += ": end the loop when the outcome is stopped";
    Log(text);
  } catch (const std::bad_alloc&) {
  }
}

}  // namespace gyre::internal
