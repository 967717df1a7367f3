// What a limiter has beyond other lock-likes: borrowers, and a size that changes.
#include "gyre/sync/capacity_limiter.h"

#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/refused_memory.h"
#include "gyre/tests/support/worlds.h"
#include "gyre/tests/sync/waits.h"

namespace gyre::testing {
namespace {

template <class Form>
class CapacityLimiterTest : public ::testing::Test {};
TYPED_TEST_SUITE(CapacityLimiterTest, Forms);

TYPED_TEST(CapacityLimiterTest, GrownWhileSomeWaitItLetsThemInAtOnce) {
  InEveryWorld([]() -> Task<> {
    BasicCapacityLimiter<TypeParam> limiter(0);
    std::string log;
    auto visit = [&]() -> Task<> {
      const auto token = co_await limiter.Acquire();
      co_await Yield();
    };
    auto body = [&](Scope& scope) -> Task<> {
      for (const char who : {'a', 'b', 'c'}) co_await Arrive(scope, limiter, log, who, visit);
      limiter.set_total(2);
      EXPECT_EQ(limiter.borrowed(), 2u);
      EXPECT_EQ(limiter.waiting(), 1u);
      EXPECT_EQ(limiter.available(), 0u);
    };
    co_await WithScope(body);
    EXPECT_EQ(log.size(), 3u);
    EXPECT_EQ(limiter.available(), 2u);
  });
}

TYPED_TEST(CapacityLimiterTest, ShrunkBelowWhatIsOutItLetsNobodyInUntilEnoughCameBack) {
  InEveryWorld([]() -> Task<> {
    BasicCapacityLimiter<TypeParam> limiter(3);
    auto first = limiter.TryAcquire();
    auto second = limiter.TryAcquire();
    auto third = limiter.TryAcquire();
    limiter.set_total(1);
    EXPECT_EQ(limiter.borrowed(), 3u);
    EXPECT_EQ(limiter.available(), 0u);
    first->Release();
    second->Release();
    EXPECT_FALSE(limiter.TryAcquire().has_value());
    third->Release();
    EXPECT_EQ(limiter.available(), 1u);
    EXPECT_TRUE(limiter.TryAcquire().has_value());
    co_return;
  });
}

TYPED_TEST(CapacityLimiterTest, KnowsForWhomItsTokensAre) {
  InEveryWorld([]() -> Task<> {
    BasicCapacityLimiter<TypeParam> limiter(2);
    const int session = 0;
    BasicLimiterToken<TypeParam> token = co_await limiter.AcquireFor(&session);
    EXPECT_EQ(token.borrower(), &session);
    EXPECT_TRUE(limiter.Knows(&session));
    BasicLimiterToken<TypeParam> moved = std::move(token);
    EXPECT_TRUE(limiter.Knows(&session));
    moved.Release();
    EXPECT_FALSE(limiter.Knows(&session));
    EXPECT_FALSE(limiter.Knows(nullptr));
    const auto again = limiter.TryAcquireFor(&session);
    EXPECT_TRUE(again.has_value());
  });
}

// [F22]
TYPED_TEST(CapacityLimiterTest, OfAStoppedWaiterNoTraceRemains) {
  InEveryWorld([]() -> Task<> {
    for (const bool is_handed_over : {false, true}) {
      BasicCapacityLimiter<TypeParam> limiter(1);
      const int session = 0;
      std::string log;
      auto mine = limiter.TryAcquire();
      auto visit = [&]() -> Task<> { const auto token = co_await limiter.AcquireFor(&session); };
      auto body = [&](Scope& scope) -> Task<> {
        TaskHandle<> a = co_await Arrive(scope, limiter, log, 'a', visit);
        EXPECT_TRUE(limiter.Knows(&session));
        if (is_handed_over) mine->Release();
        a.RequestStop();
        co_await Noted(log, 2);
        EXPECT_FALSE(limiter.Knows(&session));
        EXPECT_EQ(limiter.waiting(), 0u);
        mine->Release();
        EXPECT_EQ(limiter.borrowed(), 0u);
      };
      co_await WithScope(body);
      EXPECT_EQ(log, "!a");
    }
  });
}

TYPED_TEST(CapacityLimiterTest, ASecondTokenForOneBorrowerIsACheckFailure) {
  auto acquire_twice = [] {
    InCalmSimulation([]() -> Task<> {
      BasicCapacityLimiter<TypeParam> limiter(2);
      const int session = 0;
      const auto token = co_await limiter.AcquireFor(&session);
      const auto second = co_await limiter.AcquireFor(&session);
    });
  };
  EXPECT_DEATH(acquire_twice(), "this borrower has a token already, or waits for one");
  auto without_memory = [] {
    InCalmSimulation([]() -> Task<> {
      BasicCapacityLimiter<TypeParam> limiter(2);
      const int session = 0;
      const auto token = co_await limiter.AcquireFor(&session);
      const RefusedMemory refused;
      const auto second = limiter.TryAcquireFor(&session);
    });
  };
  EXPECT_DEATH(without_memory(), "this borrower has a token already, or waits for one");
  auto where_none_is_left = [] {
    InCalmSimulation([]() -> Task<> {
      BasicCapacityLimiter<TypeParam> limiter(1);
      const int session = 0;
      const auto token = co_await limiter.AcquireFor(&session);
      const auto second = limiter.TryAcquireFor(&session);
    });
  };
  EXPECT_DEATH(where_none_is_left(), "this borrower has a token already, or waits for one");
}

}  // namespace
}  // namespace gyre::testing
