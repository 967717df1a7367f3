// Leaf: how to write an awaitable that waits for something of its own, can be stopped, and is completed once.
//
// gyre's own timers, sockets and primitives are built on it, and so is anything that a program adds. An awaitable has
// two parts: an operation (movable, does nothing yet), and the Leaf that its `operator co_await() &&` makes, which lives
// in the awaiting coroutine's frame while it waits:
//
//   class Ticket {                                      // the operation
//     auto operator co_await() && { return Waiter(*gate_); }
//   };
//   class Waiter : public gyre::Leaf {                  // the leaf
//    public:
//     explicit Waiter(Gate& gate) : gate_(gate) {}      // always a constructor: gcc 12 breaks aggregate awaiters
//     auto await_suspend(auto awaiting) { return Suspend(awaiting, [this] { return TryPassOrQueue(); }); }
//     int await_resume() { return number_; }
//    private:
//     void OnStop() noexcept override { gate_.Unqueue(*this); CompleteStopped(); }
//   };
//
// The contract:
//  1. Suspend first asks whether the scope is stopped: then nothing is tried. Otherwise it calls `start` once: true means
//     done already (no suspension), false means that exactly one of Complete, CompleteNext, CompleteStopped and
//     CompleteFromAnyThread will follow.
//  2. OnStop comes at most once, while waiting, from inside RequestStop: revoke the wait and CompleteStopped(), or, where
//     that takes time (an operation in the kernel, a job on a thread), ask for it and complete later. A completion that
//     had its effect stays a Complete(): the result is delivered, and the next await reports the stop.
//  3. Undo: the stop came after Complete() and before the coroutine ran. Return true after giving back what had been
//     handed over (a permit, a lock), or if there was nothing (a sleep): the await then ends stopped. Return false to
//     deliver it (data that would be lost).
//  4. What is under way before its await (a foreign call that will write into this very frame) uses SuspendEvenIfStopped: in a
//     stopped scope `start` is called all the same, and OnStop right after it.
//  5. After a completion the completer must not touch the leaf again: its frame may be gone.
//  6. WaitsFor, if overridden, says in reports what this is: "a Ticket of gate 4". It comes while the leaf waits, maybe
//     from outside of the loop while that stands still; it may allocate, and changes nothing.
//
// Thread-safety: the loop's thread only, but for CompleteFromAnyThread.
// Lifetime:      in the frame of the awaiting coroutine; the frame can't be destroyed before the leaf is completed.
// Cancellation:  as above; a leaf await is always a cancellation point, also when the result would be ready.
// Errors:        completing twice, or a leaf that does not wait, is a check failure; but nothing catches a second
//                CompleteFromAnyThread.
// Cost:          32 bytes; suspending links it into its scope and completing unlinks it: a few stores.
#ifndef GYRE_RUNTIME_LEAF_H_
#define GYRE_RUNTIME_LEAF_H_

#include <concepts>
#include <coroutine>
#include <cstdint>
#include <string>

#include "gyre/runtime/internal/promise.h"

namespace gyre {

class Leaf;
namespace internal {
std::string DescribeLeaf(const Leaf& leaf);
}

class Leaf : public internal::Runnable {
 public:
  Leaf(const Leaf&) = delete;
  Leaf& operator=(const Leaf&) = delete;

  bool await_ready() const noexcept { return false; }

 protected:
  Leaf() : Runnable(internal::RunnableKind::kTask) {}
  ~Leaf() = default;

  // Call from await_suspend. `start()` returns true if the operation is done already.
  template <std::derived_from<internal::PromiseBase> P, class Start>
  [[gnu::always_inline]] bool Suspend(std::coroutine_handle<P> awaiting, Start start) {
    waiter_ = &awaiting.promise();
    if (waiter_->scope()->attention() != 0 && IsStoppedBeforeStart()) [[unlikely]] return true;
    return BeginWait(start);
  }

  // As Suspend, for what has to be waited for in any case: see 4 of the contract.
  template <std::derived_from<internal::PromiseBase> P, class Start>
  bool SuspendEvenIfStopped(std::coroutine_handle<P> awaiting, Start start) {
    waiter_ = &awaiting.promise();
    if (waiter_->scope()->attention() != 0) [[unlikely]] TellAwait();
    return BeginWait(start);
  }

  // For a leaf that only goes behind everything that is ready; a stop is seen when its turn comes.
  template <std::derived_from<internal::PromiseBase> P>
  void SuspendBehindReady(std::coroutine_handle<P> awaiting) {
    waiter_ = &awaiting.promise();
    if (waiter_->scope()->attention() != 0 && IsStoppedBeforeStart()) [[unlikely]] return;
    state_ = State::kCompleted;
    internal::tls_loop->PushReady(*this);
  }

  // Ends the wait: the coroutine runs in the next turn. The result is in the derived class.
  void Complete() {
    EnterCompleted(State::kCompleted);
    internal::tls_loop->PushReady(*this);
  }
  // As Complete, but right after the running task: for a wake-up by that task.
  void CompleteNext() {
    EnterCompleted(State::kCompleted);
    internal::tls_loop->PushNext(*this);
  }
  // Ends the wait with nothing handed over: the coroutine unwinds.
  void CompleteStopped() {
    EnterCompleted(State::kStopped);
    internal::tls_loop->PushReady(*this);
  }
  // As Complete, from any thread, also from a signal handler. Only for a leaf whose OnStop leaves the completion to this
  // call: exactly one of them ends the wait.
  void CompleteFromAnyThread();

  // See the contract above.
  virtual void OnStop() noexcept = 0;
  virtual bool Undo() noexcept { return true; }
  // Ends "waits for ..."; empty: there is no more to say than where.
  virtual std::string WaitsFor() const { return std::string(); }

  // Valid from Suspend on.
  internal::LoopCore& loop_core() const { return *waiter_->scope()->loop(); }
  internal::ScopeCore& scope_core() const { return *waiter_->scope(); }
  Loop& loop() const { return loop_core().loop; }
  bool is_waiting() const { return state_ == State::kWaiting; }
  bool stop_delivered() const { return stop_delivered_; }

  // From the ready queue: resumes the coroutine, or unwinds it.
  void Run() override;
  void Drop() noexcept override;

  // The halves of Run. Settle: true if the wait ends stopped; whoever it waited for is not asked again.
  bool Settle();
  void GoOn(bool is_stopped) {
    if (is_stopped) [[unlikely]] return internal::UnwindStopped(*waiter_);
    internal::Resume(*waiter_);
  }

  // The Run of a leaf that used SuspendBehindReady: it never waited, and has nothing to undo.
  void RunBehindReady() {
    if (waiter_->scope()->StopRequested()) [[unlikely]] return internal::UnwindStopped(*waiter_);
    internal::Resume(*waiter_);
  }

  // For operations that are tried again from the ready queue while they still count as waiting (Op).
  void RunCompleted(bool is_stopped);

 private:
  friend class internal::ScopeCore;
  friend std::string internal::DescribeLeaf(const Leaf& leaf);

  enum class State : uint8_t {
    kIdle,       // left by Suspend
    kWaiting,    // left by one of the completions
    kCompleted,  // in the ready queue, with a result
    kStopped,    // in the ready queue, without one
  };

  // Inlined into each await, also where the compiler's own measure says that it is too long: what happens on every await
  // is short, and the rare ends are outside.
  template <class Start>
  [[gnu::always_inline]] bool BeginWait(Start& start) {
    if (start()) {
      if (--internal::tls_budget > 0) [[likely]] return false;
      QueueBehindOthers();
      return true;
    }
    if (state_ == State::kIdle) [[likely]] {
      state_ = State::kWaiting;
      internal::ScopeCore* scope = waiter_->scope();
      if (scope->StopRequested()) [[unlikely]] {
        DeliverStop();  // before, or by what `start` did
      } else {
        scope->SetLeaf(*this);
      }
    }
    return true;
  }
  // Done already, but others must have their turn first.
  void QueueBehindOthers();
  void EnterCompleted(State state, bool is_queued = true) {
    GYRE_CHECK(state_ <= State::kWaiting, "a leaf await was completed twice");
    waiter_->scope()->ClearLeaf();
    state_ = state;
    if (waiter_->scope()->attention() != 0) [[unlikely]] TellCompleted(is_queued);
  }
  // The scope is stopped, or becomes it now by a test that watches: queues the leaf as stopped.
  bool IsStoppedBeforeStart();
  // For a test that watches.
  void TellAwait() noexcept;
  void TellCompleted(bool is_queued) noexcept;
  void TellStopPending() noexcept;
  // The scope has unlinked this leaf.
  void DeliverStop();

  State state_ = State::kIdle;
  bool stop_delivered_ = false;
  internal::PromiseBase* waiter_ = nullptr;
};

}  // namespace gyre

#endif  // GYRE_RUNTIME_LEAF_H_
