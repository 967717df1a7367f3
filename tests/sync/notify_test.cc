#include "gyre/sync/notify.h"

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
class NotifyTest : public ::testing::Test {};
TYPED_TEST_SUITE(NotifyTest, Forms);

TYPED_TEST(NotifyTest, OneIsKeptForWhoeverComesNext) {
  InEveryWorld([]() -> Task<> {
    BasicNotify<TypeParam> notify;
    std::string log;
    notify.NotifyAll();  // keeps nothing
    notify.NotifyOne();
    notify.NotifyOne();  // of two, one is kept
    co_await notify.Wait();
    auto body = [&](Scope& scope) -> Task<> {
      co_await Arrive(scope, notify, log, 'a', [&] { return notify.Wait(); });
      EXPECT_EQ(log, "");
      notify.NotifyOne();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "a");
  });
}

TYPED_TEST(NotifyTest, WakesOneAtATimeInOrderOfArrivalOrAll) {
  InEveryWorld([]() -> Task<> {
    BasicNotify<TypeParam> notify;
    std::string log;
    auto body = [&](Scope& scope) -> Task<> {
      for (const char who : {'a', 'b', 'c', 'd'}) co_await Arrive(scope, notify, log, who, [&] { return notify.Wait(); });
      notify.NotifyOne();
      co_await Noted(log, 1);
      EXPECT_EQ(log, "a");
      notify.NotifyOne();
      co_await Noted(log, 2);
      EXPECT_EQ(log, "ab");
      notify.NotifyAll();
      EXPECT_EQ(notify.waiting(), 0u);
    };
    co_await WithScope(body);
    EXPECT_EQ(log.size(), 4u);
  });
}

// [G07]
TYPED_TEST(NotifyTest, ANotificationOfOneThatIsStoppedBeforeItRunsWakesTheNext) {
  InEveryWorld([]() -> Task<> {
    BasicNotify<TypeParam> notify;
    std::string log;
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> a = co_await Arrive(scope, notify, log, 'a', [&] { return notify.Wait(); });
      co_await Arrive(scope, notify, log, 'b', [&] { return notify.Wait(); });
      notify.NotifyOne();
      a.RequestStop();
    };
    co_await WithScope(body);
    EXPECT_EQ(log.size(), 3u) << log;
    EXPECT_NE(log.find("!a"), std::string::npos) << log;
  });
}

// [G07]
TYPED_TEST(NotifyTest, ANotificationOfTheOnlyOneThatIsStoppedIsKept) {
  InEveryWorld([]() -> Task<> {
    BasicNotify<TypeParam> notify;
    std::string log;
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> a = co_await Arrive(scope, notify, log, 'a', [&] { return notify.Wait(); });
      notify.NotifyOne();
      a.RequestStop();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "!a");
    co_await notify.Wait();  // does not wait
  });
}

TYPED_TEST(NotifyTest, OneThatIsStoppedAfterNotifyAllPassesNothingOn) {
  InEveryWorld([]() -> Task<> {
    BasicNotify<TypeParam> notify;
    std::string log;
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> a = co_await Arrive(scope, notify, log, 'a', [&] { return notify.Wait(); });
      notify.NotifyAll();
      a.RequestStop();
      co_await Noted(log, 2);
      TaskHandle<> b = co_await Arrive(scope, notify, log, 'b', [&] { return notify.Wait(); });
      b.RequestStop();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "!a!b") << "b had to wait";
  });
}

TYPED_TEST(NotifyTest, ToDestroyItWhileOneWaitsIsACheckFailure) {
  auto destroy_awaited = [] {
    InCalmSimulation([]() -> Task<> {
      auto notify = std::make_unique<BasicNotify<TypeParam>>();
      std::string log;
      auto body = [&](Scope& scope) -> Task<> {
        co_await Arrive(scope, *notify, log, 'a', [&] { return notify->Wait(); });
        notify.reset();
      };
      co_await WithScope(body);
    });
  };
  EXPECT_DEATH(destroy_awaited(), "a Notify was destroyed while a task waits for it");
}

TYPED_TEST(NotifyTest, LeavesNothingBehindWhereverATaskIsStopped) {
  ExplorerOptions options;
  options.AddPass(ExplorerPass::kStopTaskDuring).AddPass(ExplorerPass::kStopTaskAfter).set_seeds(3);
  const ExplorerReport report = StopAtEveryAwait(options, [](Scope& scope) -> Task<> {
    BasicNotify<TypeParam> notify;
    auto wait = [&]() -> Task<> {
      co_await notify.Wait();
      co_await Yield();
    };
    auto inner = [&](Scope& children) -> Task<> {
      TaskHandle<> first = children.Spawn(wait);
      TaskHandle<> second = children.Spawn(wait);
      while (!first.Done() || !second.Done()) {
        co_await Yield();
        notify.NotifyOne();
      }
    };
    static_cast<void>(scope);
    co_await WithScope(inner);
    EXPECT_EQ(notify.waiting(), 0u);
  });
  EXPECT_TRUE(report.ok()) << report;
  EXPECT_GE(report.points().size(), 6u);
}

}  // namespace
}  // namespace gyre::testing
