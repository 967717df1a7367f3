// Plain use of the combinators that have no file of their own yet.
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/context_var.h"
#include "gyre/runtime/deadline.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/map_as_completed.h"
#include "gyre/runtime/map_concurrent.h"
#include "gyre/runtime/shielded.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/started.h"
#include "gyre/runtime/when_any.h"
#include "gyre/runtime/with_cleanup.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/runtime/with_stop_token.h"
#include "gyre/tests/support/gate.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using namespace std::chrono_literals;
using testing::Gate;
using testing::HookLog;
using testing::InEveryWorld;
using testing::InSimulation;
using testing::OnEpoll;

Task<int> AnswerAfter(Duration wait) {
  co_await SleepFor(wait);
  co_return 42;
}

TEST(WhenAny, TheFirstToEndWinsAndTheOthersAreStopped) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Loop::Current().Now();
    auto race = co_await WhenAny(AnswerAfter(20ms), AnswerAfter(10ms), SleepFor(1h));
    EXPECT_EQ(race.index, 1u);
    EXPECT_TRUE(std::get<0>(race.outcomes).stopped());
    EXPECT_EQ(std::get<1>(race.outcomes).value(), 42);
    EXPECT_TRUE(std::get<2>(race.outcomes).stopped());
    EXPECT_EQ(Loop::Current().Now() - begin, 10ms);
    EXPECT_TRUE(Loop::Current().timers().empty());
  });
}

TEST(Scope, StartGivesWhatTheChildReportsAndLeavesItToTheScope) {
  InSimulation([]() -> Task<> {
    std::string log;
    auto serve = [&](Started<int> started, int port) -> Task<> {
      co_await SleepFor(5ms);
      started(port);
      log += "started ";
      co_await SleepFor(5ms);
      log += "ended ";
    };
    auto body = [&](Scope& scope) -> Task<> {
      const int port = co_await scope.Start<int>(serve, 80);
      EXPECT_EQ(port, 80);
      EXPECT_EQ(scope.live_children(), 1u);
      log += "up ";
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "started up ended ");
  });
}

TEST(Shielded, KeepsAStopOutUntilItsLimit) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Loop::Current().Now();
    std::string log;
    auto body = [&](Scope& scope) -> Task<> {
      auto work = [&](Duration length) -> Task<> {
        co_await Shielded(10ms, SleepFor(length));
        log += "through ";
        co_await Yield();
        log += "not reached ";
      };
      scope.Spawn(work, 7ms);
      scope.Spawn(work, 20ms);
      co_await SleepFor(5ms);
      scope.RequestStop();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "through ");
    EXPECT_EQ(Loop::Current().Now() - begin, 15ms);
  });
}

TEST(WithCleanup, RunsAfterAStopAndPassesItOn) {
  InSimulation([]() -> Task<> {
    std::string log;
    auto body = [&](Scope& scope) -> Task<> {
      auto work = [&]() -> Task<> {
        auto outer = [&]() -> Task<> {
          co_await SleepFor(1ms);
          log += "outer ";
        };
        auto inner = [&]() -> Task<> {
          co_await SleepFor(1ms);
          log += "inner ";
        };
        co_await WithCleanup(WithCleanup(SleepFor(1h), inner), outer);
        log += "not reached";
      };
      TaskHandle<> task = scope.Spawn(work);
      co_await SleepFor(1ms);
      task.RequestStop("enough");
      const Outcome<>& outcome = co_await task.Join();
      EXPECT_TRUE(outcome.stopped());
      EXPECT_EQ(outcome.stop_reason().message(), "enough");
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "inner outer ");
  });
}

TEST(MapConcurrent, RunsAtMostLimitAtOnceAndKeepsOrder) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Loop::Current().Now();
    int running = 0;
    int most = 0;
    std::vector<int> items;
    for (int i = 0; i < 20; ++i) items.push_back(i);
    auto twice = [&](int item) -> Task<int> {
      most = std::max(most, ++running);
      co_await SleepFor(1ms);
      --running;
      co_return 2 * item;
    };
    const std::vector<int> results = co_await MapConcurrent(items, 5, twice);
    EXPECT_EQ(results.size(), 20u);
    for (int i = 0; i < 20; ++i) EXPECT_EQ(results[i], 2 * i);
    EXPECT_EQ(most, 5);
    EXPECT_EQ(Loop::Current().Now() - begin, 4ms);
  });
}

TEST(MapAsCompleted, GivesResultsAsTheyComeAndStopsTheRestWhenLeftEarly) {
  InSimulation([]() -> Task<> {
    std::vector<int> items = {30, 10, 20, 1000};
    std::vector<size_t> order;
    auto wait = [&](int item) -> Task<int> {
      co_await SleepFor(std::chrono::milliseconds(item));
      co_return item;
    };
    auto body = [&](Completed<int>& results) -> Task<> {
      for (int i = 0; i < 3; ++i) {
        auto next = co_await results.Next();
        order.push_back(next->index);
      }
    };
    const TimePoint begin = Loop::Current().Now();
    co_await MapAsCompleted(items, 4, wait, body);
    EXPECT_EQ(order, (std::vector<size_t>{1, 2, 0}));
    EXPECT_EQ(Loop::Current().Now() - begin, 30ms);
  });
}

ContextVar<std::string> request_id;

TEST(ContextVar, IsInheritedBySpawnedTasksAndTheirChangesStayTheirs) {
  InEveryWorld([]() -> Task<> {
    request_id.Set("parent");
    auto body = [&](Scope& scope) -> Task<> {
      auto child = []() -> Task<> {
        EXPECT_EQ(*request_id.Get(), "parent");
        request_id.Set("child");
        co_await Yield();
        EXPECT_EQ(*request_id.Get(), "child");
      };
      scope.Spawn(child);
      co_await Yield();
      co_await Yield();
      EXPECT_EQ(*request_id.Get(), "parent");
    };
    co_await WithScope(body);
    EXPECT_EQ(*request_id.Get(), "parent");
  });
}

TEST(WithStopToken, ATokenSetOnAnotherThreadStopsTheAwaitable) {
  OnEpoll([]() -> Task<> {
    std::stop_source source;
    std::thread thread([&] { source.request_stop(); });
    const absl::Status status = co_await WithStopToken(source.get_token(), SleepFor(kForever));
    thread.join();
    EXPECT_TRUE(absl::IsCancelled(status)) << status;
  });
}

TEST(StopHandle, StopsAScopeFromAnotherThreadAndMayOutliveIt) {
  OnEpoll([]() -> Task<> {
    StopHandle stop;
    auto body = [&](Scope& scope) -> Task<> {
      stop = scope.stop_handle();
      std::thread thread([stop] { stop.RequestStop("from outside"); });
      auto wait = []() -> Task<> { co_await SleepFor(kForever); };
      TaskHandle<> task = scope.Spawn(wait);
      thread.join();
      co_await task.Join();
    };
    co_await WithScope(body);
    stop.RequestStop();
  });
}

}  // namespace
}  // namespace gyre
