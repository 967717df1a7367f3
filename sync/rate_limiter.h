// RateLimiter: lets so many through in a given time: a token bucket in loop time.
//
//   gyre::RateLimiter limiter(100, 1s, /*burst=*/10);   // one every 10 ms; after a pause, up to 10 at once
//   co_await limiter.Acquire();
//
// It begins full. Tokens come evenly, and are kept up to `burst`. Fair: they go to whoever has waited longest, and
// nobody overtakes, also not TryAcquire, and not one that asks for fewer.
//
// Thread-safety: one loop: for several, give each its share.
// Lifetime:      outlives its waiters; to destroy it before is a check failure.
//                It also outlives the waits that it has ended, until they resume; that is not checked.
// Cancellation:  a stopped Acquire has taken nothing: tokens that had been handed over go to the next.
// Errors:        to ask for more than `burst` is a check failure: they would never be there.
// Units:         `tokens` in `per`, exactly: fractions add up, until it is full. Waits end as those of SleepFor.
// Cost:          free, an await that does not suspend; while some wait, one timer for all of them. Nothing is allocated.
#ifndef GYRE_SYNC_RATE_LIMITER_H_
#define GYRE_SYNC_RATE_LIMITER_H_

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <string>

#include "gyre/runtime/alarm.h"
#include "gyre/runtime/check.h"
#include "gyre/runtime/time.h"
#include "gyre/sync/internal/form.h"

namespace gyre {

class RateLimiter final : private Alarm {  // armed while some wait, for the first of them
 public:
  // `burst`: at most so many are kept; `tokens` unless told.
  RateLimiter(size_t tokens, Duration per) : RateLimiter(tokens, per, tokens) {}
  RateLimiter(size_t tokens, Duration per, size_t burst);
  RateLimiter(const RateLimiter&) = delete;
  RateLimiter& operator=(const RateLimiter&) = delete;
  ~RateLimiter() { GYRE_CHECK(waiters_.empty(), "a RateLimiter was destroyed while a task waits for it"); }

  auto Acquire(size_t tokens = 1) {
    CheckAsked(tokens);
    return AcquireOperation(*this, tokens);
  }
  // False where Acquire would wait.
  bool TryAcquire(size_t tokens = 1);

  // Now: what TryAcquire could take if nobody waited.
  size_t available();
  size_t waiting() const { return waiters_.size(); }

 private:
  using Section = internal::Section<internal::OneLoop>;

  class [[nodiscard]] AcquireWaiter final : public internal::Waiter<internal::OneLoop> {
   public:
    AcquireWaiter(RateLimiter& limiter, size_t tokens) : limiter_(limiter), tokens_(tokens) {}

    template <class P>
    bool await_suspend(std::coroutine_handle<P> awaiting) {
      return Suspend(awaiting, [this] { return limiter_.TakeOrQueue(*this); });
    }
    void await_resume() const {}

   private:
    friend RateLimiter;
    void OnStop() noexcept override {
      limiter_.Withdraw(*this);
      CompleteStopped();
    }
    std::string WaitsFor() const override { return "tokens of a RateLimiter"; }
    bool Undo() noexcept override {
      limiter_.PutBack(tokens_);
      return true;
    }

    RateLimiter& limiter_;
    const size_t tokens_;
  };

  class [[nodiscard]] AcquireOperation {
   public:
    AcquireOperation(RateLimiter& limiter, size_t tokens) : limiter_(limiter), tokens_(tokens) {}
    AcquireWaiter operator co_await() && { return AcquireWaiter(limiter_, tokens_); }

   private:
    RateLimiter& limiter_;
    const size_t tokens_;
  };

  void CheckAsked(size_t tokens) const {
    GYRE_CHECK(tokens <= burst_, "RateLimiter::Acquire: there are never that many tokens: its burst is smaller");
  }
  int64_t Price(size_t tokens) const { return static_cast<int64_t>(tokens) * per_ns_; }
  void Refill();
  bool CanTake(size_t tokens) const { return waiters_.empty() && Price(tokens) <= credit_; }
  bool TakeOrQueue(AcquireWaiter& waiter);
  void PutBack(size_t tokens);
  void HandOut();
  void ArmFor(size_t tokens);
  void OnAlarm() override { HandOut(); }
  void Withdraw(AcquireWaiter& waiter);

  internal::OneLoop home_;
  const int64_t rate_;    // what a nanosecond adds to credit_
  const int64_t per_ns_;  // what a token costs of it
  const size_t burst_;
  int64_t credit_;
  TimePoint refilled_ = TimePoint::min();
  internal::WaitQueue<internal::OneLoop> waiters_;
};

}  // namespace gyre

#endif  // GYRE_SYNC_RATE_LIMITER_H_
