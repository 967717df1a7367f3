#include "gyre/runtime/map_as_completed.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/deadline.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/tasks.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using namespace std::chrono_literals;
using testing::HookLog;
using testing::InEveryWorld;
using testing::InSimulation;
using testing::Now;
using testing::Turns;

Task<int> SleepMs(int item) {
  co_await SleepFor(std::chrono::milliseconds(item));
  co_return item;
}

// A body that takes results to the end and keeps their values.
auto TakeAll(std::vector<int>& values) {
  return [&values](Completed<int>& results) -> Task<> {
    for (;;) {
      auto next = co_await results.Next();
      if (!next.has_value()) co_return;
      values.push_back(next->value);
    }
  };
}

TEST(MapAsCompleted, GivesResultsAsTheyComeWithTheirPlaceAndThenNothing) {
  InSimulation([]() -> Task<> {
    const std::vector<int> items = {30, 10, 20};
    std::vector<size_t> order;
    auto body = [&](Completed<int>& results) -> Task<> {
      for (;;) {
        auto next = co_await results.Next();
        if (!next.has_value()) break;
        order.push_back(next->index);
        EXPECT_EQ(next->value, items.at(next->index));
      }
      auto again = co_await results.Next();
      EXPECT_FALSE(again.has_value());
    };
    co_await MapAsCompleted(items, 3, SleepMs, body);
    EXPECT_EQ(order, (std::vector<size_t>{1, 2, 0}));
  });
}

TEST(MapAsCompleted, LeftEarlyTheRestIsStoppedAndAwaited) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Now();
    int stops = 0;
    const std::vector<int> items = {30, 10, 20, 1000};
    auto work = [&](int item) -> Task<int> {
      if (item == 1000) co_await testing::StubbornWait(40ms, stops);
      co_await SleepFor(std::chrono::milliseconds(item));
      co_return item;
    };
    auto body = [](Completed<int>& results) -> Task<absl::StatusOr<int>> {
      auto first = co_await results.Next();
      co_return first->value;
    };
    const absl::StatusOr<int> first = co_await MapAsCompleted(items, 4, work, body);
    EXPECT_EQ(*first, 10);
    EXPECT_EQ(stops, 1);
    EXPECT_EQ(Now() - begin, 40ms);
    co_await Yield();  // no stop is pending
  });
}

TEST(MapAsCompleted, LeftByAnExceptionOfTheBodyTheRestIsStoppedAndTheExceptionRethrown) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Now();
    const std::vector<int> items = {5, 3600000};
    auto body = [](Completed<int>& results) -> Task<> {
      (void)co_await results.Next();
      throw std::runtime_error("body");
    };
    const auto outcome = co_await AsOutcome(MapAsCompleted(items, 2, SleepMs, body));
    EXPECT_EQ(HookLog::What(outcome.exception()), "body");
    EXPECT_EQ(Now() - begin, 5ms);
  });
}

TEST(MapAsCompleted, OfAnEmptyRangeGivesNothingAtOnce) {
  InEveryWorld([]() -> Task<> {
    std::vector<int> values;
    auto body = TakeAll(values);
    co_await MapAsCompleted(std::vector<int>(), 4, SleepMs, body);
    EXPECT_TRUE(values.empty());
  });
}

TEST(MapAsCompletedDeathTest, ALimitOfZeroIsAUsageError) {
  const std::vector<int> items = {1};
  std::vector<int> values;
  auto body = TakeAll(values);
  EXPECT_DEATH((void)MapAsCompleted(items, 0, SleepMs, body), "MapAsCompleted needs a limit of at least 1");
}

TEST(MapAsCompleted, RunsAtMostLimitAtOnce) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Now();
    int running = 0;
    int most = 0;
    auto work = [&](int item) -> Task<int> {
      most = std::max(most, ++running);
      co_await SleepFor(1ms);
      --running;
      co_return item;
    };
    std::vector<int> values;
    auto body = TakeAll(values);
    co_await MapAsCompleted(std::vector<int>(20, 1), 5, work, body);
    EXPECT_EQ(values.size(), 20u);
    EXPECT_EQ(most, 5);
    EXPECT_EQ(Now() - begin, 4ms);
  });
}

TEST(MapAsCompleted, NoMoreResultsThanTheLimitWaitForABodyThatIsSlow) {
  InSimulation([]() -> Task<> {
    int ended = 0;
    int taken = 0;
    int most_waiting = 0;
    const std::vector<int> items = {9, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    auto work = [&](int item) -> Task<int> {
      co_await SleepFor(std::chrono::milliseconds(item));
      most_waiting = std::max(most_waiting, ++ended - taken);
      co_return item;
    };
    auto body = [&](Completed<int>& results) -> Task<> {
      for (;;) {
        co_await SleepFor(100ms);
        auto next = co_await results.Next();
        if (!next.has_value()) co_return;
        ++taken;
      }
    };
    co_await MapAsCompleted(items, 3, work, body);
    EXPECT_EQ(taken, 10);
    EXPECT_EQ(most_waiting, 3);
  });
}

TEST(MapAsCompleted, AStoppedNextTakesNothing) {
  InSimulation([]() -> Task<> {
    const std::vector<int> items = {10, 20, 30};
    std::vector<int> values;
    int timeouts = 0;
    auto body = [&](Completed<int>& results) -> Task<> {
      for (;;) {
        auto next = co_await Timeout(1ms, results.Next());
        if (!next.ok()) {
          ++timeouts;
          continue;
        }
        if (!next->has_value()) co_return;
        values.push_back((*next)->value);
      }
    };
    co_await MapAsCompleted(items, 3, SleepMs, body);
    EXPECT_EQ(values, (std::vector<int>{10, 20, 30}));
    EXPECT_GE(timeouts, 20);
  });
}

TEST(MapAsCompleted, AnErrorOfACallStopsTheRestAndTheBodyAndIsTheResult) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Now();
    const std::vector<int> items = {5, 1000, 1000};
    auto fail = [](int item) -> Task<int> {
      co_await SleepFor(std::chrono::milliseconds(item));
      throw std::runtime_error("boom");
    };
    std::vector<int> values;
    auto body = TakeAll(values);
    const auto thrown = co_await AsOutcome(MapAsCompleted(items, 3, fail, body));
    EXPECT_EQ(HookLog::What(thrown.exception()), "boom");
    EXPECT_TRUE(values.empty());
    EXPECT_EQ(Now() - begin, 5ms);
  });
}

TEST(MapAsCompleted, ABadStatusOfACallIsTheResult) {
  InEveryWorld([]() -> Task<> {
    const std::vector<int> items = {0, 1, 2};
    auto work = [](int item) -> Task<absl::StatusOr<int>> {
      co_await Turns(item);
      if (item == 1) co_return absl::DataLossError("rotten");
      co_return item;
    };
    auto body = [](Completed<int>& results) -> Task<absl::Status> {
      for (;;) {
        auto next = co_await results.Next();
        if (!next.has_value()) co_return absl::OkStatus();
      }
    };
    const absl::Status status = co_await MapAsCompleted(items, 3, work, body);
    EXPECT_EQ(status, absl::DataLossError("rotten"));
  });
}

TEST(MapAsCompleted, StoppedFromOutsideItStopsCallsAndBodyAndPassesTheStopOn) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Now();
    const std::vector<int> items = {5, 3600000};
    std::vector<int> values;
    bool went_on = false;
    auto body = TakeAll(values);
    auto owner = [&]() -> Task<> {
      co_await MapAsCompleted(items, 2, SleepMs, body);
      went_on = true;
    };
    auto outer = [&](Scope& scope) -> Task<> {
      TaskHandle<> task = scope.Spawn(owner);
      co_await SleepFor(10ms);
      task.RequestStop();
      const Outcome<>& outcome = co_await task.Join();
      EXPECT_TRUE(outcome.stopped());
    };
    co_await WithScope(outer);
    EXPECT_EQ(values, std::vector<int>{5});
    EXPECT_FALSE(went_on);
    EXPECT_EQ(Now() - begin, 10ms);
  });
}

TEST(MapAsCompleted, ACallThatEndsStoppedByItselfStopsTheAwaitingTask) {
  InEveryWorld([]() -> Task<> {
    const std::vector<int> items = {0, 1, 2, 3, 4, 5};
    auto work = [](int item) -> Task<int> {
      if (item == 3) co_await testing::EndsStopped();
      co_await Yield();
      co_return item;
    };
    std::vector<int> values;
    auto body = TakeAll(values);
    const auto outcome = co_await AsOutcome(MapAsCompleted(items, 1, work, body));
    EXPECT_TRUE(outcome.stopped()) << "a result is missing";
    EXPECT_EQ(values, (std::vector<int>{0, 1, 2}));
    co_await Yield();  // no stop is pending
  });
}

TEST(MapAsCompleted, AStopOfTheAwaitingTaskLetsNoMoreCallsStartEvenIfNoneSuspends) {
  InEveryWorld([]() -> Task<> {
    int calls = 0;
    auto work = [&](int item) -> Task<int> {
      ++calls;
      co_return item;
    };
    std::vector<int> values;
    auto take_all = TakeAll(values);
    auto body = [&](Scope& scope) -> Task<> {
      scope.RequestStop();
      co_await MapAsCompleted(std::vector<int>(5, 1), 2, work, take_all);
    };
    co_await WithScope(body);
    EXPECT_EQ(calls, 0);
  });
}

TEST(MapAsCompleted, GivesMoveOnlyResultsWithoutDefaultConstructor) {
  InEveryWorld([]() -> Task<> {
    const std::vector<int> items = {3, 4};
    int sum = 0;
    auto body = [&](Completed<testing::Fixed>& results) -> Task<> {
      for (;;) {
        auto next = co_await results.Next();
        if (!next.has_value()) co_return;
        sum += next->value.number;
      }
    };
    co_await MapAsCompleted(items, 2, testing::GiveFixed, body);
    EXPECT_EQ(sum, 7);
  });
}

}  // namespace
}  // namespace gyre
