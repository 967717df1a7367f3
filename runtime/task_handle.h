// TaskHandle<T>: refers to a task that a scope runs: is it done, stop it, wait for it.
//
// Thread-safety: the loop's thread only.
// Lifetime:      shares a counted state with the task. Dropping the handle changes nothing; it must not outlive its loop.
// Cancellation:  stopping a joiner leaves the task alone; stopping the task ends a Join with a stopped Outcome.
// Errors:        Join observes an error, it does not handle it: the scope still sees it.
// Cost:          Join of a task that is done does not suspend.
#ifndef GYRE_RUNTIME_TASK_HANDLE_H_
#define GYRE_RUNTIME_TASK_HANDLE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "gyre/runtime/internal/finish.h"
#include "gyre/runtime/internal/scope_core.h"
#include "gyre/runtime/leaf.h"
#include "gyre/runtime/outcome.h"

namespace gyre {

class Scope;

// Names a task in reports.
class TaskInfo {
 public:
  TaskInfo(std::string_view name, uint64_t id) : name_(name), id_(id) {}
  std::string_view name() const { return name_; }
  uint64_t id() const { return id_; }

 private:
  std::string_view name_;
  uint64_t id_;
};

namespace internal {

struct JoinTag;

class JoinLeafBase : public Leaf, public ListHook<JoinLeafBase, JoinTag> {
 public:
  void OnTaskDone() {
    IntrusiveList<JoinLeafBase, JoinTag>::Remove(*this);
    Complete();
  }

 protected:
  ~JoinLeafBase() = default;
  void OnStop() noexcept override {
    IntrusiveList<JoinLeafBase, JoinTag>::Remove(*this);
    CompleteStopped();
  }
};

// A spawned task, whatever its type: in the ready queue until it starts, the boundary of its frames while it runs, in
// the reap queue when they have ended, and then the holder of its outcome as long as handles refer to it.
class TaskCore : public Runnable, public Boundary {
 public:
  static void* operator new(size_t size) { return AllocateFrame(size); }
  static void operator delete(void* address, size_t size) noexcept { FreeFrame(address, size); }

  bool done() const { return phase_ == Phase::kDone; }
  uint64_t id() const { return id_; }
  std::string_view name() const { return name_ != nullptr ? std::string_view(*name_) : std::string_view(); }
  TaskInfo info() const { return TaskInfo(name(), id_); }

  void RequestStop(StopReason&& reason) {
    if (!scope_.has_value()) return;  // done
    GYRE_CHECK(tls_loop == scope_->loop(), "a TaskHandle was used on another thread than its loop's");
    scope_->RequestStop(std::move(reason));
  }
  void AddJoiner(JoinLeafBase& joiner) { joiners_.PushBack(joiner); }

  void Ref() { ++references_; }
  void Unref() {
    if (--references_ == 0) delete this;
  }

  void SetName(std::string_view name) {
    if (!name.empty()) name_ = std::make_unique<std::string>(name);
  }
  // Queues the task as a child of `owner`.
  void Launch(Scope& owner) noexcept;
  // Ends the task unstarted: done and stopped.
  void Refuse() {
    phase_ = Phase::kDone;
    DestroyCallable();
    Unref();
  }

 protected:
  TaskCore() : Runnable(/*is_ordered=*/false) {}
  virtual ~TaskCore() = default;

  // Makes the coroutine (may throw what the callable throws).
  virtual PromiseBase* Begin() = 0;
  // Moves the result of the finished frame into the outcome and destroys the frame.
  virtual void TakeOutcome(PromiseBase* frame) = 0;
  virtual void SetException(std::exception_ptr exception) = 0;
  virtual void DestroyCallable() noexcept = 0;
  virtual std::exception_ptr Failure() const = 0;

 private:
  enum class Phase : uint8_t {
    kQueued,    // left by Run, which starts it
    kRunning,   // left by OnDone or OnStopped
    kFinished,  // in the reap queue; left by Run, which settles it
    kDone,
  };

  void Run() override;
  void Drop() noexcept override { GYRE_CHECK(false, "internal: a loop ended with a task ready to run"); }
  std::coroutine_handle<> OnDone() noexcept override;
  void OnStopped() noexcept override;
  void StartCoroutine();
  void Settle();

  uint32_t references_ = 1;  // the scope's, until the task is done
  Phase phase_ = Phase::kQueued;
  bool was_stopped_ = false;
  PromiseBase* frame_ = nullptr;
  Scope* owner_ = nullptr;
  uint64_t id_ = 0;
  std::unique_ptr<std::string> name_;  // null for an unnamed task
  std::optional<ScopeCore> scope_;     // from Launch until done
  IntrusiveList<JoinLeafBase, JoinTag> joiners_;
};

template <class T>
class TaskState : public TaskCore {
 public:
  const Outcome<T>& outcome() const { return outcome_; }

 protected:
  void TakeOutcome(PromiseBase* frame) final { ReplaceOutcome(outcome_, static_cast<Promise<T>*>(frame)); }
  void SetException(std::exception_ptr exception) final { ReplaceOutcome(outcome_, std::move(exception)); }
  std::exception_ptr Failure() const final { return FailureOf(outcome_); }

 private:
  Outcome<T> outcome_;
};

template <class T>
class [[nodiscard]] JoinLeaf final : public JoinLeafBase {
 public:
  explicit JoinLeaf(TaskState<T>& task) : task_(task) { task_.Ref(); }
  ~JoinLeaf() { task_.Unref(); }

  template <class P>
  bool await_suspend(std::coroutine_handle<P> awaiting) {
    return Suspend(awaiting, [this] {
      if (!task_.done()) task_.AddJoiner(*this);
      return task_.done();
    });
  }
  const Outcome<T>& await_resume() const { return task_.outcome(); }

 private:
  TaskState<T>& task_;
};

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
  void RequestStop(StopReason reason = StopReason()) { task().RequestStop(std::move(reason)); }
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
