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
#include <string>
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

  // Children that have not ended, and pending Starts.
  size_t live_children() const { return live_children_; }

  void AddChild() { ++live_children_; }
  void RemoveChild() noexcept {
    if (--live_children_ == 0) [[unlikely]] OnAllEnded();
  }

  // A child has ended stopped, or (`failed`) with an exception or a bad status. Its outcome is in place.
  virtual void OnChildLost(TaskCore& child, bool failed) noexcept = 0;
  virtual void OnAllEnded() noexcept = 0;

 protected:
  ~TaskOwner() = default;

 private:
  size_t live_children_ = 0;
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
  std::string WaitsFor() const override;

  TaskCore& task_;
};

class TaskCore : public Boundary, public ScopeCore {
 public:
  bool done() const { return phase_ >= Phase::kDone; }
  uint64_t id() const { return id_; }
  std::string_view name() const { return has_name() ? std::string_view(NameText()) : std::string_view(); }
  TaskInfo info() const { return TaskInfo(name(), id_); }

  // With a StopReason, or only a std::source_location.
  template <class Reason>
  void RequestStop(Reason reason) {
    if (done()) return;
    CheckHome(loop(), "a TaskHandle");
    ScopeCore::RequestStop(std::move(reason));
  }
  IntrusiveRing<JoinLeafBase>& joiners() { return joiners_; }

  void Ref() { references_ += kReference; }
  void Unref() {
    references_ -= kReference;
    if (references_ < kReference) Destroy();
  }

  bool has_name() const { return (references_ & kHasName) != 0; }
  // Queues the task as a child of `owner`, with the values of `context`.
  void Launch(TaskOwner& owner, ContextRef context);
  void Launch(TaskOwner& owner) noexcept {
    owner.AddChild();
    Attach(owner);
    LoopCore& core = *loop();
    id_ = core.last_task_id.Add(1);
    core.PushReady(*this);
  }
  // Ends the task unstarted: done and stopped.
  void Refuse() noexcept;
  // For who is about to wait for the task: starts it now, if it would be the next to run anyway. That spends budget, as an
  // await does. Not if others wait already: they have to go on first.
  void StartIfNext() {
    CheckHome(loop(), "a TaskHandle");
    if (phase_ == Phase::kQueued && joiners_.empty() && tls_budget > 1 && loop()->IsNext(*this)) StartNow();
  }
  // The owner; until the task is done.
  TaskOwner& owner() const { return static_cast<TaskOwner&>(*parent()); }
  bool was_stopped() const { return phase_ == Phase::kDoneStopped; }

  // What failed, after the task is done; a bad status as a StatusFailure.
  virtual std::exception_ptr Failure() const = 0;

 protected:
  enum class Phase : uint8_t {
    kQueued,    // left by Run, which starts it
    kStarting,  // its first resumption: left by OnDone, or when that comes back
    kRunning,   // left by OnDone, OnStopped
    kFinished,  // in the reap queue, or seen by who started it; left by Settle
    kThrown,    // ended before there was a coroutine, with its outcome; left by Settle
    kStopped,   // its frames are gone, and the outcome is there; left by SettleStopped
    kDone,
    kDoneStopped,
  };

  TaskCore() : ScopeCore(Kind::kTask) {}
  ~TaskCore() = default;

  // The outcome, after the task has been stopped, or its callable has thrown.
  virtual void SetStopped(SharedStopReason reason) noexcept = 0;
  // When it is done in another way than Run's.
  virtual void DropCallable() noexcept = 0;
  virtual void Destroy() noexcept = 0;
  // Behind the object, if has_name().
  virtual const char* NameText() const = 0;

  // The end of Run: the outcome is in place. Tells the owner and the joiners, and lets the owner's reference go.
  void Settle() noexcept {
    phase_ = Phase::kDone;
    Leave();
    if (!joiners_.empty()) WakeJoiners();
    Unref();
  }
  void SettleFailed() noexcept;  // an exception or a bad status
  // From the owner's group. Without more, for a task that ended with a good value which nobody can ask for: no outcome is
  // made of it, and there is no joiner.
  void Leave() noexcept {
    loop()->current = nullptr;
    TaskOwner& the_owner = owner();
    Detach();
    the_owner.RemoveChild();
  }
  bool HasHandles() const { return references_ >= 2 * kReference; }

  void SetHasName() { references_ |= kHasName; }
  void EnterFinished() {
    if (phase_ != Phase::kStarting) loop()->PushReap(*this);
    phase_ = Phase::kFinished;
  }
  bool has_outcome() const { return phase_ > Phase::kFinished; }

  // One byte, so that references_ fits behind it into what ScopeCore leaves.
  Phase phase_ = Phase::kQueued;

 private:
  void OnStopped() noexcept override;
  void StartNow();
  void SettleStopped() noexcept;
  void SettleLost(bool failed) noexcept;
  void WakeJoiners() noexcept;

  static constexpr uint32_t kHasName = 1;
  static constexpr uint32_t kReference = 2;

  uint32_t references_ = kReference;  // the owner's, until the task is done; and kHasName
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

 protected:
  TaskState() {}
  ~TaskState() {}  // of one whose callable could not be kept: there is no outcome yet
  void DestroyOutcome() noexcept { std::destroy_at(&outcome_); }

  // Moves the result of the finished frame, if there is one, into the outcome and destroys the frame.
  void TakeOutcome() noexcept {
    if (!has_outcome()) [[likely]] ::new (static_cast<void*>(&outcome_)) Outcome<T>(TakeOutcomeAndDestroy(frame_));
  }
  // With an exception or a bad status.
  bool HasFailedOutcome() const { return HasFailed(outcome_); }
  bool EndsUnseen() const {
    if (this->HasHandles() || this->has_outcome() || frame_->state() != FrameState::kValue) return false;
    if constexpr (kIsStatusLike<T>) return StatusOf(frame_->value()).ok();
    return true;
  }
  void DestroyFrame() noexcept { frame_->handle().destroy(); }
  void SetException(std::exception_ptr exception) noexcept {
    phase_ = Phase::kThrown;
    std::construct_at(&outcome_, Outcome<T>::FromException(std::move(exception)));
  }

 private:
  std::coroutine_handle<> OnDone(PromiseBase& frame) noexcept final {
    frame_ = static_cast<Promise<T>*>(&frame);
    EnterFinished();
    return std::noop_coroutine();
  }
  void SetStopped(SharedStopReason reason) noexcept final {
    phase_ = Phase::kStopped;
    std::construct_at(&outcome_, Outcome<T>::FromStop(std::move(reason)));
  }
  union {
    Promise<T>* frame_;   // from its end until Finish
    Outcome<T> outcome_;  // from then on, or has_outcome()
  };
};

// The block of a task of type `State`, with its name behind it; a name ends at a null character.
template <class State, class... Args>
State* MakeTaskState(std::string_view name, Args&&... args) {
  static_assert(alignof(State) <= FramePool::kGranuleBytes,
                "gyre: a spawned callable and its arguments must not be aligned to more than 64 bytes: use a pointer");
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

// Adds what needs the most derived class: its size, for the name behind it and for giving the block back, and its callable:
// `PromiseBase* Begin()` makes the coroutine, and may throw what the callable throws; `void DestroyCallable() noexcept` is
// called once, when the task is done. All the steps of a task's life in one function: they are too short for calls.
template <class Derived, class T>
class TaskBlock : public TaskState<T> {
 public:
  void SetName(std::string_view name) {
    char* text = const_cast<char*>(NameText());
    std::memcpy(text, name.data(), name.size());
    text[name.size()] = '\0';
    this->SetHasName();
  }

 protected:
  void Run() final {
    if (this->phase_ != TaskCore::Phase::kQueued) {
      this->loop()->current = this;
    } else if (!Start()) {
      return;
    }
    if (this->EndsUnseen()) {
      this->DestroyFrame();
      self().DestroyCallable();
      this->Leave();
      return Free();
    }
    this->TakeOutcome();
    self().DestroyCallable();
    if (this->HasFailedOutcome()) [[unlikely]] return this->SettleFailed();
    this->Settle();
  }
  void DropCallable() noexcept final { self().DestroyCallable(); }
  void Destroy() noexcept final {
    this->DestroyOutcome();
    Free();
  }
  const char* NameText() const final {
    return reinterpret_cast<const char*>(static_cast<const Derived*>(this)) + sizeof(Derived);
  }

 private:
  Derived& self() { return *static_cast<Derived*>(this); }

  // Instead of the destructor: a task that has left the tree keeps nothing but its outcome. Two calls, because the size
  // without a name is known to the compiler.
  void Free() noexcept {
    GYRE_DCHECK(this->IsOutOfTree(), "internal: a task's memory was freed while it was still in use");
    if (this->has_name()) return FreeFrame(this, sizeof(Derived) + std::strlen(NameText()) + 1);
    FreeFrame(this, sizeof(Derived));
  }

  // True if the task has ended already.
  [[gnu::always_inline]] bool Start() {
    PromiseBase* frame;
    this->loop()->current = this;
    try {
      frame = self().Begin();
    } catch (...) {
      this->SetException(std::current_exception());
      return true;
    }
    this->phase_ = TaskCore::Phase::kStarting;
    frame->Start(*this, *this);
    frame->handle().resume();
    if (this->phase_ == TaskCore::Phase::kFinished) return true;
    this->phase_ = TaskCore::Phase::kRunning;
    return false;
  }
};

inline void JoinLeafBase::OnStop() noexcept {
  task_.joiners().Remove(*this);
  CompleteStopped();
}

}  // namespace internal
}  // namespace gyre

#endif  // GYRE_RUNTIME_INTERNAL_TASK_CORE_H_
