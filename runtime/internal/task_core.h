// TaskCore: a spawned task, whatever its type: in the ready queue until it starts, the strand and boundary of its frames
// while it runs, in the reap queue when they have ended, and then the holder of its outcome as long as handles refer to it.
//
// Thread-safety: the loop's thread only.
// Lifetime:      counted: its owner holds one reference until the task is done, each handle and joiner another.
// Cost:          96 bytes and what it keeps: the callable, the outcome, the name; one recycled block.
#ifndef GYRE_RUNTIME_INTERNAL_TASK_CORE_H_
#define GYRE_RUNTIME_INTERNAL_TASK_CORE_H_

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <string_view>
#include <utility>

#include "gyre/runtime/internal/finish.h"
#include "gyre/runtime/internal/intrusive_list.h"
#include "gyre/runtime/internal/promise.h"
#include "gyre/runtime/internal/scope_core.h"
#include "gyre/runtime/leaf.h"
#include "gyre/runtime/outcome.h"

namespace gyre {

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

class TaskCore;

// The group that a task belongs to: its strand's parent in the tree.
class TaskOwner : public ScopeCore {
 public:
  explicit TaskOwner(ScopeCore& parent) : ScopeCore(parent) {}
  explicit TaskOwner(Kind kind) : ScopeCore(kind) {}  // in no tree yet

  // The task has ended, and its outcome is in place. `failed`: with an exception or a bad status.
  virtual void OnTaskDone(TaskCore& task, bool failed) noexcept = 0;

 protected:
  ~TaskOwner() = default;
};

class JoinLeafBase : public Leaf, public RingHook<JoinLeafBase> {
 public:
  // The only joiner runs right after the task; several keep their order.
  void OnTaskDone(bool is_only) {
    if (is_only) {
      CompleteNext();
    } else {
      Complete();
    }
  }

 protected:
  explicit JoinLeafBase(TaskCore& task) : task_(task) {}
  ~JoinLeafBase() = default;
  void OnStop() noexcept override;

  TaskCore& task_;
};

class TaskCore : public Boundary, public ScopeCore {
 public:
  bool done() const { return phase_ == Phase::kDone; }
  uint64_t id() const { return id_; }
  std::string_view name() const { return has_name_ ? std::string_view(NameText()) : std::string_view(); }
  TaskInfo info() const { return TaskInfo(name(), id_); }

  void RequestStop(StopReason&& reason) {
    if (phase_ == Phase::kDone) return;
    GYRE_CHECK(tls_loop == loop(), "a TaskHandle was used on another thread than its loop's");
    ScopeCore::RequestStop(std::move(reason));
  }
  IntrusiveRing<JoinLeafBase>& joiners() { return joiners_; }

  void Ref() { ++references_; }
  void Unref() {
    if (--references_ == 0) Destroy();
  }

  // Queues the task as a child of `owner`, with the values of `context`.
  void Launch(TaskOwner& owner, ContextRef context);
  void Launch(TaskOwner& owner) noexcept {
    Attach(owner);
    LoopCore& core = *loop();
    id_ = ++core.last_task_id;
    core.PushReady(*this);
  }
  // Ends the task unstarted: done and stopped.
  void Refuse() noexcept;
  // The owner; until the task is done.
  TaskOwner& owner() const { return static_cast<TaskOwner&>(*parent()); }
  bool was_stopped() const { return was_stopped_; }

  // What failed, after the task is done; a bad status as a StatusFailure.
  virtual std::exception_ptr Failure() const = 0;
  virtual SharedStopReason OutcomeReason() const = 0;

 protected:
  enum class Phase : uint8_t {
    kQueued,    // left by Run, which starts it
    kStarting,  // its first resumption: left by OnDone, or when that comes back
    kRunning,   // left by OnDone, OnStopped
    kFinished,  // in the reap queue, or seen by who started it; left by Settle
    kDone,
  };

  TaskCore() : ScopeCore(Kind::kTask) {}
  ~TaskCore() = default;

  // Makes the coroutine (may throw what the callable throws).
  virtual PromiseBase* Begin() = 0;
  // The outcome, after the task has been stopped, or its callable has thrown.
  virtual void SetStopped(SharedStopReason reason) noexcept = 0;
  virtual void SetException(std::exception_ptr exception) noexcept = 0;
  // Moves the result of the finished frame, if there is one, into the outcome and destroys the frame, then the callable.
  // True if the outcome is an exception or a bad status.
  virtual bool Finish() noexcept = 0;
  virtual void Destroy() noexcept = 0;
  // Behind the object, if has_name_.
  virtual const char* NameText() const = 0;

  void EnterFinished() {
    if (phase_ != Phase::kStarting) loop()->PushReap(*this);
    phase_ = Phase::kFinished;
  }

  // One byte, so that references_ fits behind it into what ScopeCore leaves.
  Phase phase_ : 3 = Phase::kQueued;
  bool was_stopped_ : 1 = false;
  bool has_name_ : 1 = false;
  bool has_outcome_ : 1 = false;

 private:
  void Run() override;
  void OnStopped() noexcept override;
  void StartCoroutine();
  void Settle();

  uint32_t references_ = 1;  // the owner's, until the task is done
  uint64_t id_ = 0;
  IntrusiveRing<JoinLeafBase> joiners_;
};

static_assert(sizeof(TaskCore) == 96);

template <class T>
class TaskState : public TaskCore {
 public:
  // Once the task is done.
  const Outcome<T>& outcome() const { return outcome_; }

  std::exception_ptr Failure() const final { return FailureOf(outcome_); }
  SharedStopReason OutcomeReason() const final { return outcome_.shared_stop_reason(); }

 protected:
  TaskState() {}
  ~TaskState() {
    if (has_outcome_) std::destroy_at(&outcome_);
  }

  // For Finish: the first half of it.
  void TakeOutcome() noexcept {
    if (has_outcome_) return;
    ::new (static_cast<void*>(&outcome_)) Outcome<T>(TakeOutcomeAndDestroy(frame_));
    has_outcome_ = true;
  }
  bool HasFailedOutcome() const { return HasFailed(outcome_); }

 private:
  std::coroutine_handle<> OnDone(PromiseBase& frame) noexcept final {
    frame_ = static_cast<Promise<T>*>(&frame);
    EnterFinished();
    return std::noop_coroutine();
  }
  void SetStopped(SharedStopReason reason) noexcept final {
    has_outcome_ = true;
    std::construct_at(&outcome_, Outcome<T>::FromStop(std::move(reason)));
  }
  void SetException(std::exception_ptr exception) noexcept final {
    has_outcome_ = true;
    std::construct_at(&outcome_, Outcome<T>::FromException(std::move(exception)));
  }
  union {
    Promise<T>* frame_;   // from its end until Finish
    Outcome<T> outcome_;  // has_outcome_
  };
};

// The block of a task of type `State`, with its name behind it; a name ends at a null character.
template <class State, class... Args>
State* MakeTaskState(std::string_view name, Args&&... args) {
  name = name.substr(0, name.find('\0'));
  const size_t bytes = sizeof(State) + (name.empty() ? 0 : name.size() + 1);
  void* block = AllocateFrame(bytes);
  State* state;
  try {
    state = ::new (block) State(std::forward<Args>(args)...);
  } catch (...) {
    FreeFrame(block, bytes);
    throw;
  }
  if (!name.empty()) state->SetName(name);
  return state;
}

// Adds what needs the most derived class: its size, for the name behind it and for giving the block back, and its callable
// (`void DestroyCallable() noexcept`, called once, when the task is done).
template <class Derived, class T>
class TaskBlock : public TaskState<T> {
 public:
  void SetName(std::string_view name) {
    char* text = const_cast<char*>(NameText());
    std::memcpy(text, name.data(), name.size());
    text[name.size()] = '\0';
    this->has_name_ = true;
  }

 protected:
  bool Finish() noexcept final {
    this->TakeOutcome();
    static_cast<Derived*>(this)->DestroyCallable();
    return this->HasFailedOutcome();
  }
  void Destroy() noexcept final {
    auto* self = static_cast<Derived*>(this);
    const size_t bytes = sizeof(Derived) + (this->has_name_ ? std::strlen(NameText()) + 1 : 0);
    std::destroy_at(self);
    FreeFrame(self, bytes);
  }
  const char* NameText() const final {
    return reinterpret_cast<const char*>(static_cast<const Derived*>(this)) + sizeof(Derived);
  }
};

inline void JoinLeafBase::OnStop() noexcept {
  task_.joiners().Remove(*this);
  CompleteStopped();
}

}  // namespace internal
}  // namespace gyre

#endif  // GYRE_RUNTIME_INTERNAL_TASK_CORE_H_
