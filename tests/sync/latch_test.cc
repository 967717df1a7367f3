#include "gyre/sync/latch.h"

#include <memory>
#include <string>

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
class LatchTest : public ::testing::Test {};
TYPED_TEST_SUITE(LatchTest, Forms);

TYPED_TEST(LatchTest, OpensWhenAllHaveCountedAndStaysOpen) {
  InEveryWorld([]() -> Task<> {
    BasicLatch<TypeParam> latch(4);
    std::string log;
    auto body = [&](Scope& scope) -> Task<> {
      co_await Arrive(scope, latch, log, 'a', [&] { return latch.Wait(); });
      co_await Arrive(scope, latch, log, 'b', [&] { return latch.ArriveAndWait(); });
      latch.CountDown(2);
      for (int i = 0; i < 3; ++i) co_await Yield();
      EXPECT_EQ(log, "");
      EXPECT_EQ(latch.count(), 1u);
      latch.CountDown();
      EXPECT_EQ(latch.waiting(), 0u);
      co_await latch.Wait();
    };
    co_await WithScope(body);
    EXPECT_EQ(log.size(), 2u);
    latch.CountDown(0);
    co_await latch.Wait();
  });
}

TYPED_TEST(LatchTest, BegunAtZeroItIsOpen) {
  InEveryWorld([]() -> Task<> {
    BasicLatch<TypeParam> latch(0);
    co_await latch.Wait();
  });
}

TYPED_TEST(LatchTest, AStoppedWaiterLeavesAndWhatItCountedStays) {
  InEveryWorld([]() -> Task<> {
    BasicLatch<TypeParam> latch(2);
    std::string log;
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> a = co_await Arrive(scope, latch, log, 'a', [&] { return latch.ArriveAndWait(); });
      a.RequestStop();
      co_await Noted(log, 2);
      EXPECT_EQ(latch.waiting(), 0u);
      EXPECT_EQ(latch.count(), 1u);
      auto stopped_before = [&](Scope& inner) -> Task<> {
        inner.RequestStop();
        co_await latch.ArriveAndWait();
      };
      co_await WithScope(stopped_before);
      EXPECT_EQ(latch.count(), 1u) << "nothing is tried";
      TaskHandle<> b = co_await Arrive(scope, latch, log, 'b', [&] { return latch.Wait(); });
      latch.CountDown();
      b.RequestStop();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "!a!b");
  });
}

TYPED_TEST(LatchTest, MisuseIsACheckFailure) {
  auto count_too_far = [] {
    BasicLatch<TypeParam> latch(1);
    latch.CountDown(2);
  };
  EXPECT_DEATH(count_too_far(), "it is not that far from 0; was something counted twice");
  auto destroy_awaited = [] {
    InCalmSimulation([]() -> Task<> {
      auto latch = std::make_unique<BasicLatch<TypeParam>>(1);
      std::string log;
      auto body = [&](Scope& scope) -> Task<> {
        co_await Arrive(scope, *latch, log, 'a', [&] { return latch->Wait(); });
        latch.reset();
      };
      co_await WithScope(body);
    });
  };
  EXPECT_DEATH(destroy_awaited(), "a Latch was destroyed while a task waits for it");
}

TYPED_TEST(LatchTest, LeavesNothingBehindWhereverItIsStopped) {
  const ExplorerReport report = StopAtEveryAwait(ExplorerOptions().set_seeds(3), [](Scope& scope) -> Task<> {
    BasicLatch<TypeParam> latch(3);
    auto arrive = [&]() -> Task<> { co_await latch.ArriveAndWait(); };
    auto inner = [&](Scope& children) -> Task<> {
      for (int i = 0; i < 2; ++i) children.Spawn(arrive);
      co_await arrive();
    };
    static_cast<void>(scope);
    co_await WithScope(inner);
  });
  EXPECT_TRUE(report.ok()) << report;
  EXPECT_GE(report.points().size(), 3u);
}

}  // namespace
}  // namespace gyre::testing
