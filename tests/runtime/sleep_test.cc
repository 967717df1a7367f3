#include "gyre/runtime/sleep.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/counted.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using namespace std::chrono_literals;
using testing::InCalmSimulation;
using testing::InEveryWorld;
using testing::InSimulation;

TimePoint Now() { return Loop::Current().Now(); }

TEST(Sleep, EndsExactlyAtItsTime) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Now();
    co_await SleepFor(10h);
    EXPECT_EQ(Now() - begin, 10h);
    co_await SleepUntil(begin + 11h);
    EXPECT_EQ(Now() - begin, 11h);
    co_await SleepUntil(begin);  // past
    EXPECT_EQ(Now() - begin, 11h);
  });
}

TEST(Sleep, OfZeroOrLessIsOneTurnOfTheLoop) {
  InCalmSimulation([]() -> Task<> {
    for (const Duration wait : {Duration(0), Duration(-5s), Duration::min()}) {
      const TimePoint begin = Now();
      std::string log;
      Loop::Current().CallSoon([&] { log += "callback "; });
      co_await SleepFor(wait);
      log += "awake";
      EXPECT_EQ(log, "callback awake");
      EXPECT_EQ(Now(), begin);
    }
  });
}

TEST(Sleep, OfZeroIsACancellationPoint) {
  InEveryWorld([]() -> Task<> {
    auto body = [](Scope& scope) -> Task<> {
      scope.RequestStop();
      co_await SleepFor(0s);
      ADD_FAILURE() << "went on";
    };
    co_await WithScope(body);
  });
}

TEST(Sleep, ThatIsStoppedEndsAtOnceAndLeavesNoTimer) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Now();
    auto sleeper = []() -> Task<> { co_await SleepFor(1h); };
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(sleeper);
      co_await SleepFor(1ms);
      EXPECT_EQ(Loop::Current().timers().size(), 1u);
      scope.RequestStop();
      EXPECT_EQ(Loop::Current().timers().size(), 0u);
    };
    co_await WithScope(body);
    EXPECT_EQ(Now() - begin, 1ms);
  });
}

TEST(Sleep, StoppedAfterItHasExpiredAndBeforeItsTaskRanTheStopWins) {
  InSimulation([]() -> Task<> {
    bool went_on = false;
    auto sleeper = [&]() -> Task<> {
      co_await SleepFor(5ms);
      went_on = true;
    };
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(sleeper);
      co_await SleepFor(1ms);
      Timer timer = Loop::Current().CallLater(4ms, [&] { scope.RequestStop(); });
      co_await SleepFor(10ms);
    };
    co_await WithScope(body);
    EXPECT_FALSE(went_on);
  });
}

TEST(Sleep, ForEverEndsByAStop) {
  InSimulation([]() -> Task<> {
    auto sleeper = []() -> Task<> { co_await SleepFor(kForever); };
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(sleeper);
      co_await SleepFor(10h);
      scope.RequestStop();
    };
    co_await WithScope(body);
  });
}

TEST(Sleep, EqualDeadlinesEndInOrderOfArrival) {
  InCalmSimulation([]() -> Task<> {
    std::string log;
    auto sleeper = [&](char name) -> Task<> {
      co_await SleepFor(5ms);
      log += name;
    };
    auto body = [&](Scope& scope) -> Task<> {
      for (char name : {'a', 'b', 'c', 'd'}) scope.Spawn(sleeper, name);
      co_return;
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "abcd");
  });
}

TEST(Yield, GoesBehindEverythingThatIsReady) {
  InCalmSimulation([]() -> Task<> {
    std::string log;
    auto yielder = [&](char name) -> Task<> {
      for (int i = 0; i < 3; ++i) {
        log += name;
        co_await Yield();
      }
    };
    auto body = [&](Scope& scope) -> Task<> {
      for (char name : {'a', 'b', 'c'}) scope.Spawn(yielder, name);
      co_return;
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "abcabcabc");
  });
}

}  // namespace
}  // namespace gyre
