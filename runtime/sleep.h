// SleepFor, SleepUntil and Yield: waiting for time, and letting others run.
//
// Thread-safety: in a coroutine of a loop.
// Cancellation:  stopped at once; a stop wins over an expiry that has not resumed the coroutine yet.
// Units:         never early, at most a tick (65.5 us) late; exact in simulation. Zero and less: one turn of the loop.
// Cost:          SleepFor reads the clock (50 ns), so that it does not start from a stale time; nothing is allocated.
#ifndef GYRE_RUNTIME_SLEEP_H_
#define GYRE_RUNTIME_SLEEP_H_

#include <coroutine>
#include <cstdint>
#include <string>

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
  void Run() override { RunBehindReady(); }
};

enum class SleepKind : uint8_t {
  kFor,    // counts from the await
  kUntil,  // absolute
};

template <SleepKind kKind>
class [[nodiscard]] SleepAwaiter final : public Leaf, private TimerEvent {
 public:
  explicit SleepAwaiter(int64_t time_ns) : TimerEvent(time_ns) {}

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
    const Duration time(kept_ns());
    const TimePoint until = kKind == SleepKind::kUntil ? TimePoint(time) : After(now, time);
    if (until <= now) return Complete();
    loop().timers().Arm(*this, until);
  }
  void OnTimer() override { Complete(); }
  void OnStop() noexcept override {
    loop().timers().Disarm(*this);
    CompleteStopped();
  }
  std::string WaitsFor() const override { return "a timer"; }
};

template <SleepKind kKind>
class [[nodiscard]] SleepOperation {
 public:
  explicit SleepOperation(Duration time) : time_(time) {}
  SleepAwaiter<kKind> operator co_await() && { return SleepAwaiter<kKind>(time_.count()); }

 private:
  Duration time_;
};

class [[nodiscard]] YieldOperation {
 public:
  YieldOperation() {}
  YieldAwaiter operator co_await() && { return YieldAwaiter(); }
};

}  // namespace internal

inline auto SleepFor(Duration wait) {
  return internal::SleepOperation<internal::SleepKind::kFor>(wait < Duration::zero() ? Duration::zero() : wait);
}
inline auto SleepUntil(TimePoint when) {
  return internal::SleepOperation<internal::SleepKind::kUntil>(when.time_since_epoch());
}

// Goes behind everything that is ready now.
inline internal::YieldOperation Yield() { return internal::YieldOperation(); }

}  // namespace gyre

#endif  // GYRE_RUNTIME_SLEEP_H_
