// TaskHandle<T>: refers to a task that a scope runs: is it done, stop it, wait for it.
//
// Thread-safety: the loop's thread only.
// Lifetime:      shares a counted state with the task. Dropping the handle changes nothing; it must not outlive its loop.
// Cancellation:  stopping a joiner leaves the task alone; stopping the task ends a Join with a stopped Outcome.
// Errors:        Join observes an error, it does not handle it: the scope still sees it.
// Cost:          Join of a task that is done, or that is next in line and ends at once, does not suspend.
#ifndef GYRE_RUNTIME_TASK_HANDLE_H_
#define GYRE_RUNTIME_TASK_HANDLE_H_

#include <coroutine>
#include <cstdint>
#include <source_location>
#include <string_view>
#include <utility>

#include "gyre/runtime/internal/task_core.h"
#include "gyre/runtime/outcome.h"
#include "gyre/runtime/stop_handle.h"

namespace gyre {

class Scope;

namespace internal {

template <class T>
class [[nodiscard]] JoinLeaf final : public JoinLeafBase {
 public:
  // The JoinOperation that made it refers to the task.
  explicit JoinLeaf(TaskState<T>& task) : JoinLeafBase(task) {}

  template <class P>
  bool await_suspend(std::coroutine_handle<P> awaiting) {
    return Suspend(awaiting, [this] {
      if (task_.done()) return true;
      task_.StartIfNext();
      if (!task_.done()) {
        task_.joiners().PushBack(*this);
        return false;
      }
      if (!scope_core().StopRequested()) [[likely]] return true;
      CompleteStopped();  // what the task did when it started was to stop its joiner
      return false;
    });
  }
  const Outcome<T>& await_resume() const { return static_cast<TaskState<T>&>(task_).outcome(); }
};

// Refers to the task from the call of Join to the end of its own life: so long is the outcome good without a handle.
template <class T>
class [[nodiscard]] JoinOperation {
 public:
  explicit JoinOperation(TaskState<T>& task) : task_(&task) { task_->Ref(); }
  JoinOperation(JoinOperation&& other) noexcept : task_(std::exchange(other.task_, nullptr)) {}
  ~JoinOperation() {
    if (task_ != nullptr) task_->Unref();
  }
  auto operator co_await() && { return JoinLeaf<T>(*task_); }

 private:
  TaskState<T>* task_;  // counted
};

}  // namespace internal

template <class T = void>
class TaskHandle {
 public:
  TaskHandle() = default;
  TaskHandle(TaskHandle&& other) noexcept : task_(std::exchange(other.task_, nullptr)) {}
  TaskHandle(const TaskHandle& other) : task_(other.task_) {
    if (task_ != nullptr) task_->Ref();
  }
  TaskHandle& operator=(TaskHandle other) noexcept {
    std::swap(task_, other.task_);
    return *this;
  }
  ~TaskHandle() {
    if (task_ != nullptr) task_->Unref();
  }

  // Ended: with a value, an error, or stopped.
  bool Done() const { return task().done(); }
  // Asks the task, and all below it, to stop. Not an error for its scope. [D9]
  void RequestStop(StopReason reason) { task().RequestStop(std::move(reason)); }
  void RequestStop(std::source_location where = std::source_location::current()) { task().RequestStop(where); }
  // For other threads: asks the task to stop, also when it has long ended.
  StopHandle stop_handle() const { return StopHandle(task()); }
  // Waits for the end: `const Outcome<T>& outcome = co_await handle.Join();`, valid as long as a handle lives.
  auto Join() const { return internal::JoinOperation<T>(task()); }

  std::string_view name() const { return task().name(); }
  uint64_t id() const { return task().id(); }

 private:
  friend class Scope;
  // Adds a reference.
  explicit TaskHandle(internal::TaskState<T>* task) : task_(task) { task_->Ref(); }

  internal::TaskState<T>& task() const {
    GYRE_CHECK(task_ != nullptr, "an empty TaskHandle was used");
    return *task_;
  }

  internal::TaskState<T>* task_ = nullptr;
};

}  // namespace gyre

#endif  // GYRE_RUNTIME_TASK_HANDLE_H_
