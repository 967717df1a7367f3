// SleepFor, SleepUntil and Yield: waiting for time, and letting others run.
//
// Thread-safety: in a coroutine of a loop.
// Cancellation:  stopped at once; a stop wins over an expiry that has not resumed the coroutine yet.
// Units:         never early, at most a tick (65.5 us) late; exact in simulation. Zero and less: one turn of the loop.
// Cost:          SleepFor reads the clock (50 ns), so that it does not start from a stale time; nothing is allocated.
#ifndef GYRE_RUNTIME_SLEEP_H_
#define GYRE_RUNTIME_SLEEP_H_

#include <coroutine>
#include <optional>

#include "gyre/runtime/leaf.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/time.h"

namespace gyre {
namespace internal {

class [[nodiscard]] YieldAwaiter final : public Leaf {
 public:
  YieldAwaiter() {}

  template <class P>
  void await_suspend(std::coroutine_handle<P> awaiting) {
    SuspendBehindReady(awaiting);
  }
  void await_resume() const noexcept {}

 private:
  void OnStop() noexcept override {}  // it never waits
};

class [[nodiscard]] SleepAwaiter final : public Leaf, private TimerEvent {
 public:
  // `wait` counts from the await; `until` is absolute. Exactly one of them.
  explicit SleepAwaiter(Duration wait) : wait_(wait) {}
  explicit SleepAwaiter(TimePoint until) : wait_(Duration::min()), until_(until) {}

  template <class P>
  bool await_suspend(std::coroutine_handle<P> awaiting) {
    return Suspend(awaiting, [this] {
      Begin();
      return false;
    });
  }
  void await_resume() const noexcept {}

 private:
  void Begin() {
    const TimePoint now = loop().ReadClock();
    if (wait_ != Duration::min()) until_ = After(now, wait_);
    if (until_ <= now) return Complete();
    loop().timers().Arm(*this, until_);
  }
  void OnTimer() override { Complete(); }
  void OnStop() noexcept override {
    loop().timers().Disarm(*this);
    CompleteStopped();
  }

  Duration wait_;
  TimePoint until_;
};

class [[nodiscard]] SleepOperation {
 public:
  explicit SleepOperation(Duration wait) : wait_(wait) {}
  explicit SleepOperation(TimePoint until) : until_(until) {}
  SleepAwaiter operator co_await() && { return until_.has_value() ? SleepAwaiter(*until_) : SleepAwaiter(wait_); }

 private:
  Duration wait_{};
  std::optional<TimePoint> until_;
};

class [[nodiscard]] YieldOperation {
 public:
  YieldOperation() {}
  YieldAwaiter operator co_await() && { return YieldAwaiter(); }
};

}  // namespace internal

inline internal::SleepOperation SleepFor(Duration wait) {
  return internal::SleepOperation(wait < Duration::zero() ? Duration::zero() : wait);
}
inline internal::SleepOperation SleepUntil(TimePoint when) { return internal::SleepOperation(when); }

// Goes behind everything that is ready now.
inline internal::YieldOperation Yield() { return internal::YieldOperation(); }

}  // namespace gyre

#endif  // GYRE_RUNTIME_SLEEP_H_
