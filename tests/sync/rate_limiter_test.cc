#include "gyre/sync/rate_limiter.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

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

TEST(RateLimiter, ToDestroyItWhileOneWaitsIsACheckFailure) {
  auto destroy_awaited = [] {
    InCalmSimulation([]() -> Task<> {
      auto limiter = std::make_unique<RateLimiter>(1, 1s);
      std::string log;
      EXPECT_TRUE(limiter->TryAcquire());
      auto body = [&](Scope& scope) -> Task<> {
        co_await Arrive(scope, *limiter, log, 'a', [&] { return limiter->Acquire(); });
        limiter.reset();
      };
      co_await WithScope(body);
    });
  };
  EXPECT_DEATH(destroy_awaited(), "a RateLimiter was destroyed while a task waits for it");
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

// 100 000 operations of one task beside a plain model: who waits is let in when the sum of what all before it took has come in.
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

// What a limiter promises to those that wait: in order of arrival, each as soon as all before it and it itself can have theirs.
class LimiterModel {
 public:
  static constexpr int64_t kPerNs = 1000;
  static constexpr int64_t kRate = 3;
  static constexpr int64_t kBurst = 7;
  // Who went on, and when: in nanoseconds since the beginning.
  using Served = std::vector<std::pair<int, int64_t>>;

  void Arrive(int task, int64_t tokens) {
    queue.emplace_back(task, tokens);
    tokens_of_[task] = tokens;
    Advance(at_);
  }
  bool TryTake(int64_t tokens) {
    if (!queue.empty() || credit_ < tokens * kPerNs) return false;
    credit_ -= tokens * kPerNs;
    return true;
  }
  // True if it had been served, and has not gone on: that is undone.
  bool Stop(int task) {
    const bool is_undone = std::erase_if(queue, [task](const auto& waiter) { return waiter.first == task; }) == 0;
    if (is_undone) {
      std::erase_if(served, [task](const auto& other) { return other.first == task; });
      credit_ += tokens_of_.at(task) * kPerNs;
    }
    Advance(at_);
    return is_undone;
  }
  void Advance(int64_t now) {
    while (!queue.empty() && Next() <= now) {
      Refill(Next());
      const auto [task, tokens] = queue.front();
      queue.pop_front();
      credit_ -= tokens * kPerNs;
      served.emplace_back(task, at_);
    }
    Refill(now);
  }
  // When the first of those that wait goes on.
  int64_t Next() const {
    const int64_t missing = std::max<int64_t>(0, queue.front().second * kPerNs - credit_);
    return at_ + (missing + kRate - 1) / kRate;
  }
  size_t available() const { return static_cast<size_t>(credit_ / kPerNs); }

  std::deque<std::pair<int, int64_t>> queue;
  Served served;  // since the last look

 private:
  void Refill(int64_t now) {
    credit_ = std::min(credit_ + (now - at_) * kRate, kBurst * kPerNs);
    at_ = now;
  }

  int64_t credit_ = kBurst * kPerNs;
  int64_t at_ = 0;
  std::map<int, int64_t> tokens_of_;
};

// Up to eight tasks wait, and some are stopped: while they wait, when one before them was, and right at their time.
class LimiterWalk {
 public:
  explicit LimiterWalk(uint64_t seed) : rng_(seed) {}

  Task<> Run() {
    auto body = [this](Scope& scope) -> Task<> {
      while (operations_ < 20'000 && !::testing::Test::HasFailure()) {
        co_await Act(scope);
        for (size_t i = 0; i < kTasks + 4; ++i) co_await Yield();
        Check();
      }
      scope.RequestStop();
    };
    co_await WithScope(body);
    EXPECT_EQ(limiter_.waiting(), 0u);
    EXPECT_GT(served_, 2000u);
    EXPECT_GT(stopped_, 1000u) << "that waited";
    EXPECT_GT(undone_, 50u) << "stops that met one that had been made way for";
    EXPECT_GT(undone_at_their_time_, 200u);
  }

 private:
  static constexpr size_t kTasks = 8;

  int64_t NowNs() const { return (Now() - begin_).count(); }
  int64_t Tokens() { return static_cast<int64_t>(rng_.Below(LimiterModel::kBurst + 1)); }

  Task<> Act(Scope& scope) {
    ++operations_;
    switch (rng_.Below(8)) {
      case 0:
      case 1:
      case 2:
        for (uint64_t i = rng_.Below(3) + 1; i != 0; --i) Arrive(scope);
        co_return;
      case 3:
        StopSome();
        co_return;
      case 4:
        Try();
        co_return;
      case 5:
        co_await SleepFor(Duration(1 + rng_.Below(2000)));
        break;
      default:
        co_await SleepUntilNext();
    }
    model_.Advance(NowNs());
  }
  void Arrive(Scope& scope) {
    if (tasks_.size() == kTasks) return;
    const int task = ++last_;
    const int64_t tokens = Tokens();
    auto visit = [this, task, tokens]() -> Task<> {
      co_await limiter_.Acquire(static_cast<size_t>(tokens));
      log_.emplace_back(task, NowNs());
    };
    tasks_.emplace(task, scope.Spawn(visit));
    model_.Arrive(task, tokens);
  }
  // Any; or the first, and of those that it made way for each second.
  void StopSome() {
    if (model_.queue.empty() || rng_.Below(3) == 0) return StopAny(undone_);
    Stop(model_.queue.front().first, undone_);
    const LimiterModel::Served served = model_.served;
    for (const auto& [task, at] : served) {
      if (rng_.Below(2) == 0) Stop(task, undone_);
    }
  }
  void StopAny(size_t& undone) {
    if (tasks_.empty()) return;
    const auto chosen = std::next(tasks_.begin(), static_cast<long>(rng_.Below(tasks_.size())));
    if (!chosen->second.Done()) Stop(chosen->first, undone);
  }
  void Stop(int task, size_t& undone) {
    tasks_.at(task).RequestStop();
    tasks_.erase(task);
    ++(model_.Stop(task) ? undone : stopped_);
  }
  void Try() {
    const int64_t tokens = Tokens();
    EXPECT_EQ(limiter_.TryAcquire(static_cast<size_t>(tokens)), model_.TryTake(tokens)) << "operation " << operations_;
  }
  // Until the next goes on; which is stopped, maybe, when it has been served and has not run.
  Task<> SleepUntilNext() {
    if (model_.queue.empty()) co_return;
    const TimePoint next = begin_ + Duration(model_.Next());
    const bool stops = rng_.Below(2) == 0;
    const Timer at_its_time = Loop::Current().CallAt(next, [this, stops] {
      model_.Advance(NowNs());
      if (stops) StopAny(undone_at_their_time_);
    });
    co_await SleepUntil(next);
  }
  void Check() {
    EXPECT_EQ(log_, model_.served) << "operation " << operations_;
    EXPECT_EQ(limiter_.waiting(), model_.queue.size()) << "operation " << operations_;
    EXPECT_EQ(limiter_.available(), model_.available()) << "operation " << operations_;
    served_ += log_.size();
    for (const auto& [task, at] : log_) tasks_.erase(task);
    log_.clear();
    model_.served.clear();
  }

  gyre::internal::Rng rng_;
  const TimePoint begin_ = Now();
  RateLimiter limiter_{LimiterModel::kRate, Duration(LimiterModel::kPerNs), LimiterModel::kBurst};
  LimiterModel model_;
  std::map<int, TaskHandle<>> tasks_;
  LimiterModel::Served log_;
  int last_ = 0;
  int operations_ = 0;
  size_t served_ = 0;
  size_t stopped_ = 0;
  size_t undone_ = 0;
  size_t undone_at_their_time_ = 0;
};

TEST(RateLimiter, RandomWalkOfSeveralThatWaitAndAreStoppedBesideAModel) {
  for (const uint64_t seed : {1u, 2u}) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    InCalmSimulation([seed]() -> Task<> {
      LimiterWalk walk(seed);
      co_await walk.Run();
    });
  }
}

}  // namespace
}  // namespace gyre::testing
