// Loop: one thread's event loop: ready coroutines, callbacks, timers, and a backend for the world outside.
//
// Thread-safety: Post, metrics and number from any thread, and only these; everything else on the loop's thread.
// Lifetime:      made by gyre::Run, a Runtime or a simulation, and gone when their Run returns; or by StartEmbedded, and gone
//                with the EmbeddedLoop.
// Cancellation:  callbacks can't be stopped by scopes; a Timer can be cancelled through its handle.
// Errors:        an exception out of a callback goes to the unhandled-error hook, and the loop goes on.
// Units:         nanoseconds of the steady clock, virtual ones in simulation. A timer is never early and at most one
//                tick (65.5 us) late; exact in simulation.
// Cost:          CallSoon, CallLater and Post allocate one node each; an Alarm is a timer that allocates none.
//
// A turn: take the inbox; run what was ready when the turn began (at most 64, or about 800 us); fire due timers; then sleep
// in the backend if nothing is ready, or ask it for completions if about 800 us have passed since it was last asked. What
// becomes ready in a turn runs in the next, but for what the running task wakes: that may run at once, 3 times in a row; and
// for a task that is next in line and is joined.
#ifndef GYRE_RUNTIME_LOOP_H_
#define GYRE_RUNTIME_LOOP_H_

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "gyre/runtime/backend.h"
#include "gyre/runtime/errors.h"
#include "gyre/runtime/internal/buffer_pool.h"
#include "gyre/runtime/internal/executor_source.h"
#include "gyre/runtime/internal/guests.h"
#include "gyre/runtime/internal/loop_bound.h"
#include "gyre/runtime/internal/loop_core.h"
#include "gyre/runtime/internal/message.h"
#include "gyre/runtime/internal/rng.h"
#include "gyre/runtime/internal/tick_histogram.h"
#include "gyre/runtime/internal/timer_wheel.h"
#include "gyre/runtime/metrics.h"
#include "gyre/runtime/time.h"

namespace gyre {

enum class PostResult {
  kAccepted,
  kClosed,  // the loop has ended; the callable was destroyed
};

namespace internal {

// A timer with something to do.
class TimerEvent : public TimerNode {
 public:
  virtual void OnTimer() = 0;
  // Instead, when the loop ends first; it is no longer armed. A coroutine's timer never meets this: tasks are always joined
  // before their loop ends.
  virtual void OnLoopEnd() noexcept;

 protected:
  using TimerNode::TimerNode;
  ~TimerEvent() = default;
};

// A callable in the ready queue or the inbox; runs once, then deletes itself.
template <class F>
class Callback final : public Runnable, public Message {
 public:
  explicit Callback(F&& callable) : Runnable(RunnableKind::kCallback), callable_(std::move(callable)) {}
  explicit Callback(const F& callable) : Runnable(RunnableKind::kCallback), callable_(callable) {}

  void Run() override;
  void Drop() noexcept override { delete this; }

 private:
  F callable_;
};

// What a Timer handle and the wheel share.
class TimerState : public TimerEvent {
 public:
  explicit TimerState(LoopCore& home) : home_(home) {}

  LoopCore& home() const { return home_; }
  void Unref() {
    if (--references_ == 0) delete this;
  }
  void Ref() { ++references_; }
  // What the program put into it dies when the timer does, however long a handle lives.
  virtual void DestroyCallable() noexcept = 0;
  void OnLoopEnd() noexcept override {
    DestroyCallable();
    Unref();
  }
  virtual ~TimerState() = default;

 private:
  LoopCore& home_;
  uint32_t references_ = 1;
};

}  // namespace internal

// Refers to a CallLater. Dropping it changes nothing; Cancel does.
class Timer {
 public:
  Timer() = default;
  Timer(Timer&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  Timer& operator=(Timer&& other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~Timer() {
    if (state_ != nullptr) state_->Unref();
  }

  // Neither fired nor cancelled yet.
  bool IsActive() const { return state_ != nullptr && state_->is_armed(); }
  // The callable is destroyed now, and never runs. No effect on one that is no longer active.
  void Cancel();

 private:
  friend class Loop;
  explicit Timer(internal::TimerState* state) : state_(state) { state_->Ref(); }

  internal::TimerState* state_ = nullptr;
};

class Loop {
 public:
  // The backend must outlive the loop. At most one loop runs on a thread at a time.
  explicit Loop(Backend& backend);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // The loop that runs the calling code; a check failure where there is none.
  static Loop& Current();
  // ... or null.
  static Loop* TryCurrent() noexcept;

  // The time at which this turn began, or a little later. Cheap.
  TimePoint Now();
  // The time now.
  TimePoint ReadClock() { return backend_.ReadClock(); }
  bool IsRunning() const { return is_running_; }
  // Which of its Runtime's loops it is; 0 for one that is alone. For reports.
  size_t number() const { return number_; }

  // Runs `f()` in the next turn, after what is ready already.
  template <std::invocable F>
  void CallSoon(F&& f) {
    CheckThread("a Loop");
    core_.PushReady(*new internal::Callback<std::decay_t<F>>(std::forward<F>(f)));
  }
  // Runs `f()` in a timer step, `wait` from now or at `when`.
  template <std::invocable F>
  Timer CallLater(Duration wait, F&& f) {
    return CallAt(After(ReadClock(), wait), std::forward<F>(f));
  }
  template <std::invocable F>
  Timer CallAt(TimePoint when, F&& f);

  // From any thread: runs `f()` on the loop; posts of one thread run in their order. Safe as long as the Loop object
  // lives, also after its end (kClosed).
  template <std::invocable F>
  PostResult Post(F&& f) {
    auto* callback = new internal::Callback<std::decay_t<F>>(std::forward<F>(f));
    return PushFromAnyThread(*callback) ? PostResult::kAccepted : (callback->Drop(), PostResult::kClosed);
  }

  // Where Offload and OffloadBlocking go: the pools of this loop's runtime, made at the first call. For offload/cpu_pool.h and
  // its like; in simulation, one that runs jobs in virtual time. Throws what making them throws.
  Executor& cpu_executor() { return executors().cpu_executor(); }
  Executor& blocking_executor() { return executors().blocking_executor(); }

  // From any thread, as long as the Loop object lives.
  LoopMetrics metrics() const;

  // Receives every error that no one else can; null restores the default, which logs it. What it throws is logged.
  void SetUnhandledErrorHook(UnhandledErrorHook hook) {
    unhandled_error_hook_ = std::make_shared<UnhandledErrorHook>(std::move(hook));
  }

  // --- for the parts of gyre; not for programs
  Backend& backend() { return backend_; }
  internal::LoopCore& core() { return core_; }
  internal::BufferPool& buffer_pool() { return buffer_pool_; }
  internal::TimerWheel& timers() { return timers_; }
  internal::Guests& guests() { return guests_; }
  void SetNumber(size_t number) { number_ = number; }
  // Before it runs: how long it looks for work, at most, before it sleeps.
  void SetSpin(Duration spin) {
    spin_max_ = is_simulated_ ? Duration::zero() : std::min<Duration>(spin, std::chrono::hours(1));
  }
  // On the loop's thread: `bound` hears of the loop's end, unless it leaves the list before.
  void AddBound(internal::LoopBound& bound) { bound_.PushBack(bound); }
  // Unless its backend has brought some.
  void SetExecutors(internal::ExecutorSource& source) {
    if (executors_ == nullptr) executors_ = &source;
  }
  void ReportUnhandledError(const UnhandledError& error) noexcept;
  // False if the loop has ended: the node stays the caller's. Also from a signal handler.
  bool PushFromAnyThread(internal::Runnable& node) noexcept;

  // Makes this the thread's current loop, runs turns until `*is_done`, and ends the loop: what is still posted or timed
  // is destroyed without running.
  void RunUntil(const bool& is_done);

  // RunUntil in parts, for loops that share a thread (in a simulation): one turn and, once `*is_done`, the end. Its
  // backend's Turn does not wait.
  void RunTurn(const bool& is_done);

  // RunUntil in parts, for a loop inside another's (EmbeddedLoop). Asks the backend once, waiting until `until` (the epoch: not at
  // all) if nothing is ready, then runs turns for as long as something is, but no longer than about 800 us. Ends the loop once
  // `*is_done`. True: there is more to run, and the backend was woken for it. False: it sleeps, or it has ended.
  bool PollOnce(const bool& is_done, TimePoint until);
  // From its own thread: Backend::Wake.
  void WakeItself();

  struct LeftOver {
    size_t callbacks = 0;    // CallSoon and Post
    size_t timers = 0;       // CallLater, CallAt, and Alarms
    size_t descriptors = 0;  // sockets whose handles outlived the loop: closed
  };
  const LeftOver& left_over() const { return left_over_; }

 private:
  friend class Timer;

  // A running loop's Post is for all threads, the rest for its own.
  void CheckThread(const char* what) const {
    const bool is_elsewhere = is_running_ ? internal::tls_loop != &core_ : core_.thread.IsAnother();
    if (is_elsewhere) [[unlikely]] internal::UsedOnWrongThread(core_, what);
  }
  internal::ExecutorSource& executors() const;
  void Enter();
  void Leave();
  void Begin();
  void Turn(const bool& is_done);
  void Collect(TimePoint until);
  bool HasReady() const { return !core_.ready.empty() || core_.run_next != nullptr; }
  bool TrySleep();
  void TakeInbox();
  void RunReady(const bool& is_done);
  bool BeginTurnInPlace();
  bool IsClockOld() const;
  void CountOwedWake(bool is_pushed_to);
  void Shuffle(internal::Rng& rng);
  uint64_t Ticks() const;
  bool BatchTimeIsUp();
  void FireTimers();
  void PollOrSleep();
  void Poll(TimePoint until);
  bool SpinForWork();
  void End();
  void RefreshClock();

  Backend& backend_;
  bool is_hosted_ = false;   // PollOnce runs it
  const bool is_simulated_;  // the processor's counter is left alone
  size_t number_ = 0;        // set before it runs
  internal::LoopCore core_{*this};
  internal::Guests guests_{core_};
  internal::IntrusiveList<internal::LoopBound> bound_;
  internal::BufferPool buffer_pool_;
  internal::TimerWheel timers_;
  internal::ExecutorSource* executors_;
  TimePoint now_;
  bool is_clock_stale_ = false;
  bool is_running_ = false;
  uint64_t clock_ticks_ = 0;  // the processor's counter when now_ was read
  uint64_t poll_ticks_ = 0;   // ... and when the backend was last asked
  uint64_t check_ticks_ = 0;  // ... and when BatchTimeIsUp last looked
  bool is_poll_due_ = false;  // it is time to ask it again, though tasks are ready
  int check_interval_ = 1;    // tasks between looks
  int until_check_ = 1;
  std::shared_ptr<UnhandledErrorHook> unhandled_error_hook_;
  bool is_asleep_ = false;    // TrySleep succeeded, and the inbox was not looked at since
  uint64_t owed_wakes_ = 0;   // pushes that found the loop asleep: each calls Backend::Wake, sooner or later
  Duration spin_max_ = Duration::zero();
  Duration spin_ = Duration::zero();  // what has been worth it lately
  LeftOver left_over_;
  internal::Counter turns_;
  internal::Counter runs_;
  internal::Counter messages_;
  internal::Counter wakes_;
  internal::Counter sleeps_;
  internal::TickHistogram busy_;
  const internal::TickScale tick_scale_;
  internal::Inbox inbox_;
};

// Implementation
namespace internal {

// Runs `f`; what it throws goes to the loop's hook.
template <class F>
void InvokeGuarded(Loop& loop, F&& f) noexcept {
  try {
    std::forward<F>(f)();
  } catch (...) {
    UnhandledError error;
    error.exception = std::current_exception();
    loop.ReportUnhandledError(error);
  }
}

template <class F>
void Callback<F>::Run() {
  const std::unique_ptr<Callback> self(this);
  InvokeGuarded(tls_loop->loop, callable_);
}

template <class F>
class TimerCallback final : public TimerState {
 public:
  template <class G>
  TimerCallback(LoopCore& home, G&& callable) : TimerState(home), callable_(std::forward<G>(callable)) {}

  void OnTimer() override {
    InvokeGuarded(tls_loop->loop, *callable_);
    callable_.reset();
    Unref();
  }
  void DestroyCallable() noexcept override { callable_.reset(); }

 private:
  std::optional<F> callable_;
};

}  // namespace internal

template <std::invocable F>
Timer Loop::CallAt(TimePoint when, F&& f) {
  CheckThread("a Loop");
  auto* state = new internal::TimerCallback<std::decay_t<F>>(core_, std::forward<F>(f));
  timers_.Arm(*state, when);
  return Timer(state);
}

}  // namespace gyre

#endif  // GYRE_RUNTIME_LOOP_H_
