// PromiseBase: what every coroutine frame of gyre carries, and how frames hand over to one another.
//
// A frame has one word that says where to go when it ends: either the awaiting frame (low bit clear), or a Boundary (low
// bit set): a scope, a combinator, a spawned task. So a chain of awaits costs no virtual call, and a stop can walk it
// upwards, destroying frames innermost first, without recursion. A started frame is destroyed in two places only: when
// its awaiter has its result, and by UnwindStopped. So an awaiter needs no destructor, and a frame no word that leads to
// its awaiter.
//
// Thread-safety: a frame runs, ends and is destroyed on its home loop; one made outside any loop adopts the loop that
//                first awaits it. Anything else is a check failure.
// Cost:          two words and a state byte per frame, beside the result.
#ifndef GYRE_RUNTIME_INTERNAL_PROMISE_H_
#define GYRE_RUNTIME_INTERNAL_PROMISE_H_

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <source_location>
#include <type_traits>
#include <utility>

#include "gyre/runtime/check.h"
#include "gyre/runtime/internal/loop_core.h"
#include "gyre/runtime/internal/scope_core.h"
#include "gyre/runtime/internal/source_place.h"

#if defined(__clang__) && __clang_major__ < 17
#error "gyre needs clang 17 or later: earlier ones miscompile coroutines (llvm #56301)"
#elif !defined(__clang__) && defined(__GNUC__) && (__GNUC__ < 12)
#error "gyre needs gcc 12.2 or later"
#endif

// gcc before 13 miscompiles common coroutine idioms; the defences below exist only there.
#if !defined(__clang__) && defined(__GNUC__) && __GNUC__ < 13
#define GYRE_INTERNAL_GCC12 1
#endif

namespace gyre::internal {

class PromiseBase;

// A descent into a child is a tail call with clang at every level; gcc keeps a stack frame for it at -O0, -O1 and under
// sanitizers, so there it spends budget too, as every ascent does with both.
#ifdef __clang__
inline constexpr bool kDescentCosts = false;
#else
inline constexpr bool kDescentCosts = true;
#endif

// The end of a chain of frames. As a Runnable it does whatever its owner has to do before, between and after.
class Boundary : public Runnable {
 public:
  // The topmost frame has its result and is suspended at its end; called from within its final await, so the frame
  // must not be destroyed here. Returns the coroutine to run next, or a no-op coroutine.
  virtual std::coroutine_handle<> OnDone(PromiseBase& frame) noexcept = 0;

  // The chain was stopped; all its frames are destroyed already. No coroutine is on the stack.
  virtual void OnStopped() noexcept = 0;

  // The frame that awaits the chain's end; null for a spawned task and the root. For reports.
  virtual const PromiseBase* awaiter() const { return nullptr; }

  void Drop() noexcept override { GYRE_CHECK(false, "internal: a loop ended with a coroutine ready to run"); }

 protected:
  Boundary() : Runnable(RunnableKind::kTask) {}
  ~Boundary() = default;
};

#ifdef GYRE_INTERNAL_GCC12
// gcc 12 copies what await_transform gives into the frame, also from a reference; leaves can't be copied, this can.
template <class A>
class AwaiterReference {
 public:
  explicit AwaiterReference(A& awaiter) : awaiter_(awaiter) {}
  bool await_ready() { return awaiter_.await_ready(); }
  template <class P>
  decltype(auto) await_suspend(std::coroutine_handle<P> awaiting) {
    return awaiter_.await_suspend(awaiting);
  }
  decltype(auto) await_resume() { return awaiter_.await_resume(); }

 private:
  A& awaiter_;  // lives to the end of the full expression
};
#endif

enum class FrameState : uint32_t {
  kUnfinished,  // left by return, exception, Try
  kValue,
  kException,
  kTried,  // has its value (a bad status), but is suspended at a Try with its locals alive
};


// Queues `frame` behind everything that is ready: its budget is spent. Gives it back if there is no memory for that.
std::coroutine_handle<> Defer(LoopCore& loop, PromiseBase& frame) noexcept;
// The same from the loop.
void Requeue(PromiseBase& frame) noexcept;

// Destroys the frames from `innermost` up to its boundary, then tells the boundary.
void UnwindStopped(PromiseBase& innermost) noexcept;

// Logs that an unstarted frame is about to be destroyed unseen.
void ReportNeverAwaited(const PromiseBase& frame) noexcept;

// Destroys one frame whose locals are still alive, with IsUnwinding() true.
void DestroyUnwinding(PromiseBase& frame) noexcept;

class PromiseBase {
 public:
  PromiseBase() noexcept : continuation_(reinterpret_cast<uintptr_t>(tls_loop)) {}
  PromiseBase(const PromiseBase&) = delete;
  PromiseBase& operator=(const PromiseBase&) = delete;

  std::suspend_always initial_suspend() noexcept { return {}; }

  struct FinalAwaiter {
    FinalAwaiter() noexcept {}
    bool await_ready() noexcept { return false; }
    template <class P>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<P> frame) noexcept {
      return frame.promise().TransferUp();
    }
    void await_resume() noexcept {}
  };
  FinalAwaiter final_suspend() noexcept { return FinalAwaiter(); }

  // Every co_await passes here: it leaves its place in the source, for reports.
  template <class A>
  decltype(auto) await_transform(A&& awaitable,
                                 std::source_location where = std::source_location::current()) noexcept {
    static_assert(!requires { awaitable.Join(); }, "gyre: to wait for a spawned task, co_await handle.Join()");
    place_ = SourcePlace(where);
#ifdef GYRE_INTERNAL_GCC12
    if constexpr (requires { awaitable.await_ready(); }) {
      return AwaiterReference<std::remove_reference_t<A>>(awaitable);
    } else {
      return static_cast<A&&>(awaitable);
    }
#else
    return static_cast<A&&>(awaitable);
#endif
  }
  // Where the frame awaits, or awaited last; before that, with GYRE_DEBUG_CHECKS, where its coroutine is defined.
  SourcePlace place() const { return place_; }
  // The frame that awaits this one, also across operations like WithScope; null at the top of a spawned task and of the
  // root, and before Start. For reports.
  const PromiseBase* awaiter() const {
    if (scope_ == nullptr) return nullptr;
    return has_boundary() ? boundary()->awaiter() : &parent();
  }

  static void* operator new(size_t size) {
    void* block = AllocateFrame(size);
#ifdef GYRE_INTERNAL_GCC12
    last_block_ = block;
#endif
    return block;
  }
  static void operator delete(void* address, size_t size) noexcept { FreeFrame(address, size); }

  std::coroutine_handle<PromiseBase> handle() noexcept {
    return std::coroutine_handle<PromiseBase>::from_promise(*this);
  }
  ScopeCore* scope() const { return scope_; }
  FrameState state() const { return state_; }
  bool is_started() const { return scope_ != nullptr; }

  // Gives the frame its place in the world, once. It still has to be resumed.
  void Start(ScopeCore& scope, PromiseBase& parent) noexcept {
    Start(scope, reinterpret_cast<uintptr_t>(parent.handle().address()));
  }
  void Start(ScopeCore& scope, Boundary& boundary) noexcept {
    Start(scope, reinterpret_cast<uintptr_t>(&boundary) | kBoundaryBit);
  }

  // Where control goes when this frame has its result.
  std::coroutine_handle<> TransferUp() noexcept {
    if ((continuation_ & kBoundaryBit) != 0) [[unlikely]] return boundary()->OnDone(*this);
    if (--tls_budget <= 0) [[unlikely]] return Defer(*scope_->loop(), parent());
    return std::coroutine_handle<>::from_address(reinterpret_cast<void*>(continuation_));
  }

  bool has_boundary() const { return (continuation_ & kBoundaryBit) != 0; }
  Boundary* boundary() const { return reinterpret_cast<Boundary*>(continuation_ & ~kBoundaryBit); }
  PromiseBase& parent() const {
    return std::coroutine_handle<PromiseBase>::from_address(reinterpret_cast<void*>(continuation_)).promise();
  }

  // Try ended this frame: its value is set, its locals are alive.
  void MarkTried() { state_ = FrameState::kTried; }

 protected:
  void SetState(FrameState state) { state_ = state; }
  void SetPlace(std::source_location where) { place_ = SourcePlace(where); }

#ifdef GYRE_INTERNAL_GCC12
  // gcc 12 can place the promise 8 bytes off (PR 106188): everything after that jumps to garbage. Caught here instead.
  void CheckLayout() {
    GYRE_CHECK(handle().address() == last_block_,
               "gcc 12 laid out a coroutine frame wrongly (PR 106188): a coroutine without local variables has "
               "co_await inside the condition of an if, while, do or switch; bind the result to a named local first");
  }
#else
  void CheckLayout() {}
#endif

 private:
  static constexpr uintptr_t kBoundaryBit = 1;

  void Start(ScopeCore& scope, uintptr_t continuation) noexcept {
    GYRE_DCHECK(scope_ == nullptr, "internal: a frame was started twice");
    if (continuation_ != reinterpret_cast<uintptr_t>(scope.loop())) [[unlikely]] CheckMadeOutside();
    continuation_ = continuation;
    scope_ = &scope;
  }
  void CheckMadeOutside() const noexcept;

  // Before Start: the LoopCore the frame was made on, or 0. After: the parent's address, or Boundary* | 1.
  uintptr_t continuation_;
  ScopeCore* scope_ = nullptr;  // null until Start
  FrameState state_ = FrameState::kUnfinished;
  SourcePlace place_;  // beside state_, so that one store makes both

#ifdef GYRE_INTERNAL_GCC12
  static inline constinit thread_local void* last_block_ = nullptr;
#endif
};

// Resumes `frame` from the ready queue; the loop has set a fresh budget.
inline void Resume(PromiseBase& frame) {
  tls_loop->current = frame.scope();
  frame.handle().resume();
}

// Resumes `frame` within what the ready queue runs now: from the reap queue, or as one of several.
inline void Continue(PromiseBase& frame) {
  if (--tls_budget <= 0) [[unlikely]] return Requeue(frame);
  tls_loop->current = frame.scope();
  frame.handle().resume();
}

// Goes on in `frame`, which awaits, from within the final await of what it awaits.
inline std::coroutine_handle<> TransferBack(PromiseBase& frame) {
  LoopCore& loop = *frame.scope()->loop();
  if (--tls_budget <= 0) [[unlikely]] return Defer(loop, frame);
  loop.current = frame.scope();
  return frame.handle();
}

// Enters a child from within its parent's await_suspend.
inline std::coroutine_handle<> TransferDown(PromiseBase& child) noexcept {
  if constexpr (kDescentCosts) {
    if (--tls_budget <= 0) [[unlikely]] return Defer(*child.scope()->loop(), child);
  }
  return child.handle();
}

// Enters an operation's own strand from within the await_suspend of the frame that awaits it.
inline std::coroutine_handle<> TransferInto(PromiseBase& child) noexcept {
  child.scope()->loop()->current = child.scope();
  return TransferDown(child);
}

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_PROMISE_H_
