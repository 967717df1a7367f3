#include "gyre/sync/rate_limiter.h"

#include <algorithm>
#include <limits>

#include "gyre/runtime/loop.h"

namespace gyre {

RateLimiter::RateLimiter(size_t tokens, Duration per, size_t burst)
    : rate_(static_cast<int64_t>(tokens)), per_ns_(per.count()), burst_(burst) {
  GYRE_CHECK(tokens > 0 && per > Duration::zero() && burst > 0, "a RateLimiter needs tokens, a time and a burst above 0");
  const auto max = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  GYRE_CHECK(tokens <= max / 2 && burst <= max / 2 / static_cast<uint64_t>(per_ns_),
             "a RateLimiter's burst, times its time in nanoseconds, must be below 4e18");
  credit_ = Price(burst);
}

void RateLimiter::Refill() {
  const TimePoint now = Loop::Current().Now();
  const int64_t missing = Price(burst_) - credit_;
  if (refilled_ == TimePoint::min() || now < refilled_) refilled_ = now;  // its first use, or another loop's clock
  const int64_t passed_ns = (now - refilled_).count();
  refilled_ = now;
  credit_ += passed_ns > missing / rate_ ? missing : passed_ns * rate_;
}

bool RateLimiter::TryAcquire(size_t tokens) {
  CheckAsked(tokens);
  home_.CheckHome("a RateLimiter", !waiters_.empty(), /*is_in_use=*/false);
  Refill();
  if (!CanTake(tokens)) return false;
  credit_ -= Price(tokens);
  return true;
}

size_t RateLimiter::available() {
  home_.CheckHome("a RateLimiter", !waiters_.empty(), /*is_in_use=*/false);
  Refill();
  return static_cast<size_t>(credit_ / per_ns_);
}

bool RateLimiter::TakeOrQueue(AcquireWaiter& waiter) {
  if (TryAcquire(waiter.tokens_)) return true;
  if (waiters_.empty()) ArmFor(waiter.tokens_);
  waiters_.PushBack(waiter);
  return false;
}

void RateLimiter::PutBack(size_t tokens) {
  credit_ = std::min(credit_ + Price(tokens), Price(burst_));
  HandOut();
}

// Whoever can go on goes on, and the alarm is for the next.
void RateLimiter::HandOut() {
  Refill();
  Section section(home_);
  while (internal::Waiter<internal::OneLoop>* const waiter = waiters_.front()) {
    const size_t tokens = static_cast<AcquireWaiter*>(waiter)->tokens_;
    if (Price(tokens) > credit_) return ArmFor(tokens);
    credit_ -= Price(tokens);
    waiters_.PopFront();
    section.Wake(*waiter);
  }
  Disarm();
}

void RateLimiter::ArmFor(size_t tokens) {
  const int64_t missing = Price(tokens) - credit_;
  const Duration wait((missing + rate_ - 1) / rate_);
  Arm(After(refilled_, wait));
}

void RateLimiter::Withdraw(AcquireWaiter& waiter) {
  waiters_.Withdraw(waiter);
  HandOut();
}

}  // namespace gyre
