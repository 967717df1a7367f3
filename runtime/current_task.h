// CurrentTaskId: which task's code runs: for logs and reports.
//
// Thread-safety: any thread.
// Cost:          a step for each scope between the code and its task.
#ifndef GYRE_RUNTIME_CURRENT_TASK_H_
#define GYRE_RUNTIME_CURRENT_TASK_H_

#include <cstdint>

namespace gyre {

// What TaskHandle::id() gives, of this loop's. 0 outside of any spawned task: in a loop's root, in what was sent to it, in
// a callback, where no loop runs.
uint64_t CurrentTaskId() noexcept;

}  // namespace gyre

#endif  // GYRE_RUNTIME_CURRENT_TASK_H_
