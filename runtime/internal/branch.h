// BranchGroup and Branch: what WhenAll, WhenAny and their kin share. A group runs several awaitables side by side under one
// node of the scope tree, each in a strand of its own, and resumes the awaiting frame when the last of them has ended.
//
// Branches start in argument order, one after the other, as soon as the awaiting frame is suspended: one that ends without
// waiting for anything outside can so keep those behind it from starting, also from within scopes and combinators of its
// own. They spend the transfer budget of the task that started them; when it is gone,
// the rest starts in the next turn.
//
// Thread-safety: the loop's thread only.
// Lifetime:      both live in the awaiting frame, which can't go on, or away, before the last branch has ended.
#ifndef GYRE_RUNTIME_INTERNAL_BRANCH_H_
#define GYRE_RUNTIME_INTERNAL_BRANCH_H_

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <utility>
#include <vector>

#include "gyre/runtime/internal/finish.h"
#include "gyre/runtime/internal/promise.h"
#include "gyre/runtime/internal/scope_core.h"
#include "gyre/runtime/outcome.h"
#include "gyre/runtime/task.h"

namespace gyre::internal {

class BranchGroup;

// How a branch has ended.
enum class BranchEnd : uint8_t {
  kValue,
  kBadStatus,
  kException,
  kStopped,
};

class BranchBase : public Boundary, public ScopeCore {
 public:
  // After the end.
  virtual std::exception_ptr Failure() const = 0;

 protected:
  explicit BranchBase(PromiseBase* frame) : ScopeCore(Kind::kBranch), frame_(frame) {}
  ~BranchBase() = default;

  // Both make the outcome, once. This one moves the result out of the frame and destroys that.
  virtual BranchEnd TakeResult() noexcept = 0;
  virtual void SetStopped(SharedStopReason reason) noexcept = 0;

  PromiseBase* frame_;  // null once destroyed
  bool has_outcome_ = false;

 private:
  friend class BranchGroup;

  std::coroutine_handle<> OnDone(PromiseBase& frame) noexcept override;
  void OnStopped() noexcept override;
  void Run() override;  // from the reap queue
  const PromiseBase* awaiter() const override;

  BranchGroup* group_ = nullptr;
  BranchBase* next_branch_ = nullptr;
  uint32_t index_ = 0;
  bool is_starting_ = false;
  bool is_finished_ = false;  // suspended at its end
};

class BranchGroup : public ScopeCore, private Runnable {
 public:
  static constexpr size_t kNone = ~size_t{0};

 protected:
  // What OnBranchEnd is called for.
  enum class Hears : bool { kFailures, kEverything };
  explicit BranchGroup(Hears hears) : ScopeCore(Kind::kPlain), Runnable(RunnableKind::kTask), hears_(hears) {}
  ~BranchGroup() = default;

  // In argument order, before Open.
  void Add(BranchBase& branch);
  // From await_suspend: the branches start when the frame is suspended.
  void Open(PromiseBase& parent);
  // From await_resume: leaves the tree.
  void Close() {
    if (parent() != nullptr) Detach();
  }

  // Each time that a branch has ended, if the group hears of that.
  virtual void OnBranchEnd(BranchBase& branch, size_t index, BranchEnd end) = 0;
  // After the last: true if the stop that reached the awaiting frame shall pass on.
  virtual bool PassesStopOn() const = 0;

  // Stops the branches that run, and starts no more.
  void Decide(const char* why);
  size_t size() const { return size_; }
  // The awaiting frame itself is being stopped.
  bool IsParentStopped() const { return parent_frame_->scope()->StopRequested(); }

 private:
  friend class BranchBase;

  enum class Phase : uint8_t {
    kReady,     // in the ready queue, because the budget was spent; left by Run
    kOpen,      // in the reap queue; left by Run
    kStarting,  // among those that LoopCore::starting lists; left by StartMore
    kStarted,   // left by End, when all branches have ended
  };

  void Run() override;
  void Drop() noexcept override { GYRE_CHECK(false, "internal: a loop ended with a coroutine ready to run"); }
  void StartMore();
  void End();
  void StartBranch(BranchBase& branch);
  void EndBranch(BranchBase& branch, BranchEnd end);

  PromiseBase* parent_frame_ = nullptr;
  BranchBase* first_ = nullptr;
  BranchBase* last_ = nullptr;
  BranchBase* to_start_ = nullptr;
  size_t size_ = 0;
  size_t running_ = 0;
  const Hears hears_;
  Phase phase_ = Phase::kOpen;
  bool is_decided_ = false;
};

template <class T>
class Branch final : public BranchBase {
 public:
  explicit Branch(Task<T>&& task) : BranchBase(TaskAccess::Release(task)) {}
  ~Branch() {
    if (has_outcome_) [[likely]] std::destroy_at(&outcome_);
    if (frame_ != nullptr) frame_->handle().destroy();  // never started
  }

  // Once the group is done. Stopped for one that was never started.
  Outcome<T>& outcome() { return outcome_; }
  std::exception_ptr Failure() const override { return FailureOf(outcome_); }

 private:
  BranchEnd TakeResult() noexcept override {
    has_outcome_ = true;
    auto* frame = static_cast<Promise<T>*>(std::exchange(frame_, nullptr));
    ::new (static_cast<void*>(&outcome_)) Outcome<T>(TakeOutcomeAndDestroy(frame));
    if (outcome_.ok()) [[likely]] return BranchEnd::kValue;
    return outcome_.has_exception() ? BranchEnd::kException : BranchEnd::kBadStatus;
  }
  void SetStopped(SharedStopReason reason) noexcept override {
    has_outcome_ = true;
    std::construct_at(&outcome_, Outcome<T>::FromStop(std::move(reason)));
  }

  union {
    Outcome<T> outcome_;
  };
};

// Branches that stay where they are made.
template <class T>
class BranchArray {
 public:
  explicit BranchArray(std::vector<Task<T>>&& tasks) {
    if (tasks.empty()) return;
    memory_ = std::allocator<Branch<T>>().allocate(tasks.size());
    capacity_ = tasks.size();
    for (Task<T>& task : tasks) {
      try {
        std::construct_at(memory_ + size_, std::move(task));
      } catch (...) {
        Free();
        throw;
      }
      ++size_;
    }
  }
  BranchArray(const BranchArray&) = delete;
  BranchArray& operator=(const BranchArray&) = delete;
  ~BranchArray() { Free(); }

  Branch<T>* begin() { return memory_; }
  Branch<T>* end() { return memory_ + size_; }
  size_t size() const { return size_; }

 private:
  void Free() noexcept {
    if (memory_ == nullptr) return;
    std::destroy_n(memory_, size_);
    std::allocator<Branch<T>>().deallocate(memory_, capacity_);
  }

  Branch<T>* memory_ = nullptr;
  size_t capacity_ = 0;
  size_t size_ = 0;
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_BRANCH_H_
