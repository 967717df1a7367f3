#include "gyre/sync/barrier.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/sim/explorer.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/worlds.h"
#include "gyre/tests/sync/waits.h"

namespace gyre::testing {
namespace {

template <class Form>
class BarrierTest : public ::testing::Test {};
TYPED_TEST_SUITE(BarrierTest, Forms);

// Waits at the barrier, and notes how that ended: 0, 1 ... or u(navailable), a(borted).
template <class Form>
auto WaitAt(BasicBarrier<Form>& barrier, std::string& ends) {
  return [&barrier, &ends]() -> Task<> {
    const absl::StatusOr<size_t> place = co_await barrier.ArriveAndWait();
    if (place.ok()) {
      ends += static_cast<char>('0' + *place);
    } else {
      ends += absl::IsUnavailable(place.status()) ? 'u' : absl::IsAborted(place.status()) ? 'a' : '?';
    }
  };
}

TYPED_TEST(BarrierTest, LetsThemGoOnTogetherRoundAfterRound) {
  InEveryWorld([]() -> Task<> {
    constexpr int kRounds = 5;
    BasicBarrier<TypeParam> barrier(3);
    std::vector<int> rounds(3);
    std::vector<size_t> places(3);
    auto run = [&](size_t who) -> Task<> {
      for (int round = 0; round < kRounds; ++round) {
        for (const int theirs : rounds) EXPECT_LE(theirs - round, 1);
        ++rounds[who];
        const absl::StatusOr<size_t> place = co_await barrier.ArriveAndWait();
        for (const int theirs : rounds) EXPECT_GT(theirs, round) << "all had arrived";
        places[*place] += 1;
      }
    };
    auto body = [&](Scope& scope) -> Task<> {
      for (size_t i = 0; i < 3; ++i) scope.Spawn(run, i);
      co_return;
    };
    co_await WithScope(body);
    EXPECT_EQ(places, std::vector<size_t>(3, kRounds)) << "each place once in every round";
  });
}

TYPED_TEST(BarrierTest, OfOneNeverWaits) {
  InEveryWorld([]() -> Task<> {
    BasicBarrier<TypeParam> barrier(1);
    const absl::StatusOr<size_t> place = co_await barrier.ArriveAndWait();
    EXPECT_EQ(*place, 0u);
  });
}

// [G09]
TYPED_TEST(BarrierTest, OneThatIsStoppedHasNotArrived) {
  InEveryWorld([]() -> Task<> {
    BasicBarrier<TypeParam> barrier(3);
    std::string log;
    std::string ends;
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> a = co_await Arrive(scope, barrier, log, 'a', WaitAt(barrier, ends));
      co_await Arrive(scope, barrier, log, 'b', WaitAt(barrier, ends));
      a.RequestStop();
      co_await Noted(log, 2);
      EXPECT_EQ(barrier.waiting(), 1u);
      co_await Arrive(scope, barrier, log, 'c', WaitAt(barrier, ends));
      for (int i = 0; i < 3; ++i) co_await Yield();
      EXPECT_EQ(ends, "") << "two more were needed";
      co_await WaitAt(barrier, ends)();
    };
    co_await WithScope(body);
    std::sort(ends.begin(), ends.end());
    EXPECT_EQ(ends, "012");
  });
}

TYPED_TEST(BarrierTest, StoppedAfterTheLastArrivedItHasCounted) {
  InEveryWorld([]() -> Task<> {
    BasicBarrier<TypeParam> barrier(3);
    std::string log;
    std::string ends;
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> a = co_await Arrive(scope, barrier, log, 'a', WaitAt(barrier, ends));
      co_await Arrive(scope, barrier, log, 'b', WaitAt(barrier, ends));
      auto last = [&]() -> Task<> {
        static_cast<void>(co_await barrier.ArriveAndWait());
        a.RequestStop();
      };
      co_await last();
    };
    co_await WithScope(body);
    EXPECT_EQ(barrier.waiting(), 0u);
    EXPECT_NE(ends.find('1'), std::string::npos);
  });
}

// [G09]
TYPED_TEST(BarrierTest, AbortBreaksItForAllUntilItIsReset) {
  InEveryWorld([]() -> Task<> {
    BasicBarrier<TypeParam> barrier(3);
    std::string log;
    std::string ends;
    auto body = [&](Scope& scope) -> Task<> {
      for (const char who : {'a', 'b'}) co_await Arrive(scope, barrier, log, who, WaitAt(barrier, ends));
      barrier.Abort();
      EXPECT_TRUE(barrier.is_broken());
      co_await Noted(log, 2);
      co_await WaitAt(barrier, ends)();
      EXPECT_EQ(ends, "uuu");
      barrier.Reset();
      EXPECT_FALSE(barrier.is_broken());
      for (const char who : {'c', 'd'}) co_await Arrive(scope, barrier, log, who, WaitAt(barrier, ends));
      co_await WaitAt(barrier, ends)();
    };
    co_await WithScope(body);
    EXPECT_EQ(ends.size(), 6u);
    EXPECT_EQ(ends.find_first_of("a?"), std::string::npos);
  });
}

// [G09]
TYPED_TEST(BarrierTest, ResetBreaksItForThoseWhoWaitOnly) {
  InEveryWorld([]() -> Task<> {
    BasicBarrier<TypeParam> barrier(2);
    std::string log;
    std::string ends;
    auto body = [&](Scope& scope) -> Task<> {
      co_await Arrive(scope, barrier, log, 'a', WaitAt(barrier, ends));
      barrier.Reset();
      co_await Noted(log, 1);
      EXPECT_EQ(ends, "a");
      co_await Arrive(scope, barrier, log, 'b', WaitAt(barrier, ends));
      co_await WaitAt(barrier, ends)();
    };
    co_await WithScope(body);
    EXPECT_EQ(ends.find_first_of("u?"), std::string::npos);
    EXPECT_EQ(ends.size(), 3u);
  });
}

TYPED_TEST(BarrierTest, MisuseIsACheckFailure) {
  EXPECT_DEATH(BasicBarrier<TypeParam>(0), "for one party at least");
  auto destroy_awaited = [] {
    InCalmSimulation([]() -> Task<> {
      auto barrier = std::make_unique<BasicBarrier<TypeParam>>(2);
      std::string log;
      std::string ends;
      auto body = [&](Scope& scope) -> Task<> {
        co_await Arrive(scope, *barrier, log, 'a', WaitAt(*barrier, ends));
        barrier.reset();
      };
      co_await WithScope(body);
    });
  };
  EXPECT_DEATH(destroy_awaited(), "a Barrier was destroyed while a task waits for it");
}

TYPED_TEST(BarrierTest, LeavesNothingBehindWhereverItIsStopped) {
  const ExplorerReport report = StopAtEveryAwait(ExplorerOptions().set_seeds(3), [](Scope& scope) -> Task<> {
    BasicBarrier<TypeParam> barrier(3);
    std::string ends;
    auto inner = [&](Scope& children) -> Task<> {
      for (int i = 0; i < 2; ++i) children.Spawn(WaitAt(barrier, ends));
      co_await WaitAt(barrier, ends)();
    };
    static_cast<void>(scope);
    co_await WithScope(inner);
  });
  EXPECT_TRUE(report.ok()) << report;
  EXPECT_GE(report.points().size(), 3u);
}

}  // namespace
}  // namespace gyre::testing
