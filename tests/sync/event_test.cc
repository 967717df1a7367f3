#include "gyre/sync/event.h"

#include <cstdint>
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
class EventTest : public ::testing::Test {};
TYPED_TEST_SUITE(EventTest, Forms);

TYPED_TEST(EventTest, OnceSetNobodyWaitsUntilItIsReset) {
  InEveryWorld([]() -> Task<> {
    BasicEvent<TypeParam> event;
    std::string log;
    EXPECT_FALSE(event.is_set());
    event.Set();
    event.Set();
    EXPECT_TRUE(event.is_set());
    co_await event.Wait();
    co_await event.Wait();
    event.Reset();
    event.Reset();
    EXPECT_FALSE(event.is_set());
    auto body = [&](Scope& scope) -> Task<> {
      co_await Arrive(scope, event, log, 'a', [&] { return event.Wait(); });
      EXPECT_EQ(log, "");
      event.Set();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "a");
  });
}

// [G01]
TYPED_TEST(EventTest, SetAndResetInOneStepItReleasesAllThatWereThere) {
  InEveryWorld([]() -> Task<> {
    BasicEvent<TypeParam> event;
    std::string log;
    auto wait = [&] { return event.Wait(); };
    auto body = [&](Scope& scope) -> Task<> {
      for (const char who : {'a', 'b', 'c'}) co_await Arrive(scope, event, log, who, wait);
      event.Set();
      event.Reset();
      EXPECT_EQ(event.waiting(), 0u);
      co_await Noted(log, 3);
      co_await Arrive(scope, event, log, 'd', wait);
      EXPECT_EQ(log.size(), 3u);
      event.Set();
    };
    co_await WithScope(body);
  });
}

TYPED_TEST(EventTest, ReleasesInOrderOfArrival) {
  InCalmSimulation([]() -> Task<> {
    BasicEvent<TypeParam> event;
    std::string log;
    auto body = [&](Scope& scope) -> Task<> {
      for (const char who : {'a', 'b', 'c'}) co_await Arrive(scope, event, log, who, [&] { return event.Wait(); });
      event.Set();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "abc");
  });
}

TYPED_TEST(EventTest, AStopBeforeDuringAndAfterTheSetEndsOnlyTheOneThatIsStopped) {
  InEveryWorld([]() -> Task<> {
    BasicEvent<TypeParam> event;
    std::string log;
    auto wait = [&] { return event.Wait(); };
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> during = co_await Arrive(scope, event, log, 'a', wait);
      during.RequestStop();
      co_await Noted(log, 2);
      EXPECT_EQ(event.waiting(), 0u);
      TaskHandle<> after = co_await Arrive(scope, event, log, 'b', wait);
      event.Set();
      after.RequestStop();
      co_await Noted(log, 4);
      auto in_a_stopped_scope = [&](Scope& inner) -> Task<> {
        inner.RequestStop();
        const Notes notes(log, 'c');
        co_await event.Wait();
      };
      co_await WithScope(in_a_stopped_scope);
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "!a!b!c");
  });
}

TEST(Event, WhoeverItWakesMayDestroyIt) {
  InEveryWorld([]() -> Task<> {
    auto event = std::make_unique<Event>();
    std::string log;
    auto destroy = [&]() -> Task<> {
      co_await event->Wait();
      event.reset();
    };
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(destroy);
      while (event->waiting() == 0) co_await Yield();
      TaskHandle<> b = co_await Arrive(scope, *event, log, 'b', [&] { return event->Wait(); });
      event->Set();
      while (event != nullptr && log.empty()) co_await Yield();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "b");
  });
}

TYPED_TEST(EventTest, ToDestroyItWhileOneWaitsIsACheckFailure) {
  auto destroy_awaited = [] {
    InCalmSimulation([]() -> Task<> {
      auto event = std::make_unique<BasicEvent<TypeParam>>();
      std::string log;
      auto body = [&](Scope& scope) -> Task<> {
        co_await Arrive(scope, *event, log, 'a', [&] { return event->Wait(); });
        event.reset();
      };
      co_await WithScope(body);
    });
  };
  EXPECT_DEATH(destroy_awaited(), "an Event was destroyed while a task waits for it");
}

TYPED_TEST(EventTest, LeavesNothingBehindWhereverATaskIsStopped) {
  BasicEvent<TypeParam> event;
  ExplorerOptions options;
  options.AddPass(ExplorerPass::kStopTaskDuring).AddPass(ExplorerPass::kStopTaskAfter).set_seeds(3);
  options.Track("waiting", [&] { return static_cast<int64_t>(event.waiting()); });
  const ExplorerReport report = StopAtEveryAwait(options, [&](Scope& scope) -> Task<> {
    event.Reset();
    auto wait = [&]() -> Task<> {
      co_await event.Wait();
      co_await Yield();
    };
    for (int i = 0; i < 2; ++i) scope.Spawn(wait);
    co_await Yield();
    event.Set();
    co_await wait();
  });
  EXPECT_TRUE(report.ok()) << report;
  EXPECT_GE(report.points().size(), 4u);
}

#ifdef GYRE_DEBUG_CHECKS
TEST(SharedEvent, DestroyedBeforeOneThatItWokeHasGoneOnIsACheckFailure) {
  auto destroy = [] {
    InCalmSimulation([]() -> Task<> {
      auto event = std::make_unique<SharedEvent>();
      auto body = [&](Scope& scope) -> Task<> {
        auto wait = [&]() -> Task<> { co_await event->Wait(); };
        scope.Spawn(wait);
        co_await Yield();
        event->Set();
        event.reset();
      };
      co_await WithScope(body);
    });
  };
  EXPECT_DEATH(destroy(), "a Shared primitive was destroyed before a task that it had woken went on");
}
#endif

}  // namespace
}  // namespace gyre::testing
