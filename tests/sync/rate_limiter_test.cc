#include "gyre/sync/rate_limiter.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "gyre/runtime/deadline.h"
#include "gyre/runtime/internal/rng.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/sim/explorer.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/refused_memory.h"
#include "gyre/tests/support/worlds.h"
#include "gyre/tests/sync/waits.h"

namespace gyre::testing {
namespace {

using namespace std::chrono_literals;

TimePoint Now() { return Loop::Current().Now(); }

TEST(RateLimiter, LetsABurstThroughAndThenTheRateExactly) {
  InSimulation([]() -> Task<> {
    RateLimiter limiter(3, 1s, 5);  // a third of a second each: no rounding may add up
    const TimePoint begin = Now();
    for (int i = 0; i < 5; ++i) co_await limiter.Acquire();
    EXPECT_EQ(Now(), begin);
    for (int i = 0; i < 300; ++i) co_await limiter.Acquire();
    EXPECT_EQ(Now() - begin, 100s);
  });
}

TEST(RateLimiter, KeepsUpToItsBurstWhileNobodyAsks) {
  InSimulation([]() -> Task<> {
    RateLimiter limiter(10, 1s, 4);
    EXPECT_EQ(limiter.available(), 4u);
    EXPECT_TRUE(limiter.TryAcquire(4));
    EXPECT_FALSE(limiter.TryAcquire());
    co_await SleepFor(250ms);
    EXPECT_EQ(limiter.available(), 2u);
    co_await SleepFor(1h);
    EXPECT_EQ(limiter.available(), 4u);
    EXPECT_TRUE(limiter.TryAcquire(4));
    EXPECT_FALSE(limiter.TryAcquire());
  });
}

TEST(RateLimiter, NobodyOvertakesAlsoNotOneThatAsksForFewer) {
  InSimulation([]() -> Task<> {
    RateLimiter limiter(1, 1s, 5);
    std::string log;
    const TimePoint begin = Now();
    EXPECT_TRUE(limiter.TryAcquire(4));
    auto body = [&](Scope& scope) -> Task<> {
      co_await Arrive(scope, limiter, log, 'L', [&] { return limiter.Acquire(5); });
      co_await Arrive(scope, limiter, log, 's', [&] { return limiter.Acquire(1); });
      EXPECT_FALSE(limiter.TryAcquire()) << "there is one, but it is not for who comes last";
      EXPECT_EQ(limiter.available(), 1u);
      co_await Noted(log, 2);
      EXPECT_EQ(Now() - begin, 5s);
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "Ls");
  });
}

TEST(RateLimiter, AStoppedHeadTakesNothingAndThoseBehindItMoveUp) {
  InSimulation([]() -> Task<> {
    RateLimiter limiter(1, 1s, 5);
    std::string log;
    const TimePoint begin = Now();
    EXPECT_TRUE(limiter.TryAcquire(5));
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> large = co_await Arrive(scope, limiter, log, 'L', [&] { return limiter.Acquire(5); });
      co_await Arrive(scope, limiter, log, 's', [&] { return limiter.Acquire(2); });
      co_await SleepUntil(begin + 1s);
      large.RequestStop();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "!Ls");
    EXPECT_EQ(Now() - begin, 2s);
    const absl::Status waited = co_await Timeout(500ms, limiter.Acquire());
    EXPECT_EQ(waited.code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_EQ(limiter.waiting(), 0u);
    co_await SleepFor(500ms);
    EXPECT_TRUE(limiter.TryAcquire());
  });
}

TEST(RateLimiter, WithoutMemoryAStoppedHeadStillLetsThoseBehindItMoveUp) {
  InCalmSimulation([]() -> Task<> {
    RateLimiter limiter(1, 1s, 5);
    std::string log;
    const TimePoint begin = Now();
    EXPECT_TRUE(limiter.TryAcquire(5));
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> large = co_await Arrive(scope, limiter, log, 'L', [&] { return limiter.Acquire(5); });
      co_await Arrive(scope, limiter, log, 's', [&] { return limiter.Acquire(2); });
      const RefusedMemory refused;
      large.RequestStop();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "!Ls");
    EXPECT_EQ(Now() - begin, 2s);
  });
}

TEST(RateLimiter, WithoutMemoryWhenItsTimeComesNobodyIsStranded) {
  InCalmSimulation([]() -> Task<> {
    RateLimiter limiter(1, 1s, 5);
    std::string log;
    std::optional<RefusedMemory> refused;
    const TimePoint begin = Now();
    EXPECT_TRUE(limiter.TryAcquire(5));
    auto body = [&](Scope& scope) -> Task<> {
      const Timer before = Loop::Current().CallAt(begin + 1s, [&] { refused.emplace(); });
      co_await Arrive(scope, limiter, log, 'a', [&] { return limiter.Acquire(1); });
      co_await Arrive(scope, limiter, log, 'b', [&] { return limiter.Acquire(1); });
      const Timer after = Loop::Current().CallAt(begin + 1s, [&] { refused.reset(); });
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "ab");
    EXPECT_EQ(Now() - begin, 2s);
  });
}

TEST(RateLimiter, OnEpollItEndsItsWaits) {
  OnEpoll([]() -> Task<> {
    RateLimiter limiter(1000, 1s, 1);
    for (int i = 0; i < 4; ++i) co_await limiter.Acquire();
  });
}

TEST(RateLimiter, MayOutliveALoop) {
  RateLimiter limiter(1, 1s, 1);
  for (int i = 0; i < 2; ++i) {
    InCalmSimulation([&]() -> Task<> {
      co_await SleepFor(1s);
      co_await limiter.Acquire();
      co_await limiter.Acquire();
    });
  }
}

TEST(RateLimiter, MisuseIsACheckFailure) {
  EXPECT_DEATH(RateLimiter(0, 1s), "needs tokens, a time and a burst above 0");
  EXPECT_DEATH(RateLimiter(1, 0s), "needs tokens, a time and a burst above 0");
  EXPECT_DEATH(RateLimiter(1, 1s, size_t{1} << 50), "must be below 4e18");
  RateLimiter limiter(1, 1s, 2);
  EXPECT_DEATH(static_cast<void>(limiter.Acquire(3)), "its burst is smaller");
}

TEST(RateLimiter, LeavesNothingBehindWhereverATaskIsStopped) {
  ExplorerOptions options;
  options.AddPass(ExplorerPass::kStopTaskDuring).AddPass(ExplorerPass::kStopTaskAfter).set_seeds(3);
  const ExplorerReport report = StopAtEveryAwait(options, [](Scope& scope) -> Task<> {
    RateLimiter limiter(1, 1s, 2);
    auto inner = [&](Scope& children) -> Task<> {
      auto take = [&](size_t tokens) -> Task<> {
        co_await limiter.Acquire(tokens);
        co_await Yield();
      };
      for (const size_t tokens : {2, 1, 2}) children.Spawn(take, tokens);
      co_await take(1);
    };
    static_cast<void>(scope);
    co_await WithScope(inner);
    EXPECT_EQ(limiter.waiting(), 0u);
  });
  EXPECT_TRUE(report.ok()) << report;
  EXPECT_GE(report.points().size(), 4u);
}

// 100 000 operations beside a plain model: who waits is let in when the sum of what all before it took has come in.
TEST(RateLimiter, RandomWalkBesideAModel) {
  InCalmSimulation([]() -> Task<> {
    constexpr int64_t kPerNs = 1000;
    constexpr int64_t kRate = 3;
    constexpr int64_t kBurst = 7;
    RateLimiter limiter(kRate, Duration(kPerNs), kBurst);
    gyre::internal::Rng rng(7);
    int64_t credit = kBurst * kPerNs;
    TimePoint at = Now();
    int tried = 0;
    for (int i = 0; i < 100'000 && !::testing::Test::HasFailure(); ++i) {
      const auto tokens = static_cast<int64_t>(rng.Below(kBurst + 1));
      if (rng.Below(2) == 0) {
        co_await limiter.Acquire(static_cast<size_t>(tokens));
        const int64_t missing = std::max<int64_t>(0, tokens * kPerNs - credit);
        const int64_t wait = (missing + kRate - 1) / kRate;
        at += Duration(wait);
        credit = std::min(credit + wait * kRate, kBurst * kPerNs) - tokens * kPerNs;
        EXPECT_EQ(Now(), at) << "operation " << i;
      } else if (rng.Below(2) == 0) {
        const bool is_there = credit >= tokens * kPerNs;
        if (is_there) credit -= tokens * kPerNs;
        tried += is_there;
        EXPECT_EQ(limiter.TryAcquire(static_cast<size_t>(tokens)), is_there) << "operation " << i;
      } else {
        const Duration nap(1 + rng.Below(2000));
        co_await SleepFor(nap);
        at += nap;
        credit = std::min(credit + nap.count() * kRate, kBurst * kPerNs);
      }
    }
    EXPECT_GT(tried, 1000);
  });
}

}  // namespace
}  // namespace gyre::testing
