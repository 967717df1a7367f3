// LoopCore: the part of a loop that every await touches, kept small and inline.
//
// Thread-safety: the loop's thread only; `tls_loop` says which loop, if any, runs on this thread right now. It is set
//                around a run (in simulation around each turn), so it is not bound to the thread.
#ifndef GYRE_RUNTIME_INTERNAL_LOOP_CORE_H_
#define GYRE_RUNTIME_INTERNAL_LOOP_CORE_H_

#include <cstdint>

#include "gyre/runtime/internal/counter.h"
#include "gyre/runtime/internal/frame_pool.h"
#include "gyre/runtime/internal/loop_root.h"
#include "gyre/runtime/internal/owner_thread.h"
#include "gyre/runtime/internal/runnable.h"

namespace gyre {
class Leaf;
class Loop;
}  // namespace gyre

namespace gyre::internal {

class PromiseBase;
class Rng;
class ScopeCore;

// Hears of every leaf await of a loop: for tests that stop a program at each of them.
class AwaitObserver {
 public:
  // Before the leaf starts. May request stops. `scope` is where `frame` runs.
  virtual void OnAwait(Leaf& leaf, ScopeCore& scope, PromiseBase& frame) noexcept = 0;
  // The leaf that `frame` waits for has completed, stopped or not; from inside whatever completed it, so queue what shall
  // happen then. `is_queued`: before the frame goes on, others may run.
  virtual void OnCompleted(PromiseBase& frame, bool is_queued) noexcept = 0;
  // The leaf was asked to stop and completes later.
  virtual void OnStopPending(PromiseBase& frame) noexcept = 0;

 protected:
  ~AwaitObserver() = default;
};

// Transfers between coroutines (back from a child; with gcc also into it) that one resumption may make before it must go
// through the ready queue: fairness, and the bound of the stack where symmetric transfer is no tail call (gcc at -O0,
// -O1 and under sanitizers keeps up to 704 B of stack for each).
inline constexpr int32_t kTransferBudget = 256;

// Resumptions from the run-next slot that may follow one another.
inline constexpr int32_t kRunNextMax = 3;

struct LoopCore {
  explicit LoopCore(Loop& owner) : loop(owner) {}

  // The tail of the ready queue: it runs in the next turn.
  void PushReady(Runnable& node) { ready.Push(node); }

  // Next after the running task: for a wake-up by the running task, whose data is still in the cache. The one that
  // held the slot goes to the tail.
  void PushNext(Runnable& node) {
    if (run_next != nullptr) ready.Push(*run_next);
    run_next = &node;
  }

  // `node` runs after the running task.
  bool IsNext(const Runnable& node) const { return ready.IsFront(node) && run_next == nullptr; }
  // The front of the ready queue, which is not empty.
  Runnable& TakeFront() {
    InboxNode* front = ready.PopNode();
    if (front == last_of_turn) last_of_turn = nullptr;
    return static_cast<Runnable&>(*front);
  }

  // Runs as soon as no coroutine of this loop is on the stack: to destroy frames that have just finished.
  void PushReap(Runnable& node) { reap.Push(node); }

  // From the reap queue only: `node` runs whenever that is empty, and before those that were here first, until it leaves.
  void PushStarting(Runnable& node) {
    node.next = starting;
    starting = &node;
  }
  // The one that is running.
  void PopStarting() { starting = starting->next; }

  // After everything that may have resumed a coroutine.
  void RunFinished() {
    if (!reap.empty()) [[unlikely]] RunAllFinished();
  }
  void RunAllFinished();

  ScopeCore* current = nullptr;  // the strand whose code runs; null in callbacks and between tasks
  int32_t unwinding = 0;  // depth of frame destruction by stop or Try: what IsUnwinding() tells
  FramePool pool;
  ReadyQueue ready;
  Runnable* run_next = nullptr;
  const InboxNode* last_of_turn = nullptr;  // in `ready`; null when nothing of this turn is left there
  ReadyQueue reap;
  InboxNode* starting = nullptr;  // combinators that have branches to start, the innermost first
  IntrusiveList<LoopRoot> roots;    // what runs here is below one of these
  AwaitObserver* observer = nullptr;  // set before the first scope is made
  Rng* scheduling_rng = nullptr;      // of a simulation that chooses among orders
  Counter last_task_id;  // also how many were spawned
  bool has_context = false;           // some task has set a context value
  OwnerThread thread;
  Loop& loop;
};

inline void LoopCore::RunAllFinished() {
  for (;;) {
    while (Runnable* finished = reap.Pop()) finished->Run();
    if (starting == nullptr) return;
    static_cast<Runnable&>(*starting).Run();
  }
}

inline constinit thread_local LoopCore* tls_loop = nullptr;

// Stops a program that uses `what` ("a TaskHandle") outside of the loop it belongs to.
[[noreturn, gnu::cold, gnu::noinline]] void UsedOnWrongThread(const LoopCore& home, const char* what);
inline void CheckHome(const LoopCore* home, const char* what) {
  if (tls_loop != home) [[unlikely]] UsedOnWrongThread(*home, what);
}

// Transfers left in the present resumption. The thread's, not the loop's: it means nothing between resumptions, and this
// way it is one instruction.
inline constinit thread_local int32_t tls_budget = kTransferBudget;

// Outside() where no loop runs, or where a test watches every allocation.
inline constinit thread_local FramePool* tls_pool = FramePool::Outside();

inline void* AllocateFrame(size_t size) { return tls_pool->Allocate(size); }

inline void FreeFrame(void* address, size_t size) { FramePool::Free(tls_pool, address, size); }

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_LOOP_CORE_H_
