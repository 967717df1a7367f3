#include "gyre/runtime/current_task.h"

#include "gyre/runtime/internal/scope_core.h"
#include "gyre/runtime/internal/task_core.h"

namespace gyre {

uint64_t CurrentTaskId() noexcept {
  internal::LoopCore* const loop = internal::tls_loop;
  if (loop == nullptr || loop->current == nullptr) return 0;
  const internal::TaskCore* const task = loop->current->NearestTask();
  return task != nullptr ? task->id() : 0;
}

}  // namespace gyre
