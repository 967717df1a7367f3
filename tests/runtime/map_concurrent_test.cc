#include "gyre/runtime/map_concurrent.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <memory>
#include <ranges>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/counted.h"
#include "gyre/tests/support/tasks.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using namespace std::chrono_literals;
using testing::Counted;
using testing::HookLog;
using testing::InEveryWorld;
using testing::InSimulation;
using testing::Now;
using testing::Turns;

std::vector<int> UpTo(int count) {
  std::vector<int> items;
  for (int i = 0; i < count; ++i) items.push_back(i);
  return items;
}

Task<int> Twice(int item) {
  co_await Turns(item % 3);
  co_return 2 * item;
}

// --- plain use

TEST(MapConcurrent, RunsAtMostLimitAtOnceAndKeepsOrder) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Now();
    int running = 0;
    int most = 0;
    const std::vector<int> items = UpTo(20);
    auto twice = [&](int item) -> Task<int> {
      most = std::max(most, ++running);
      co_await SleepFor(1ms);
      --running;
      co_return 2 * item;
    };
    const std::vector<int> results = co_await MapConcurrent(items, 5, twice);
    EXPECT_EQ(results.size(), 20u);
    for (int i = 0; i < 20; ++i) EXPECT_EQ(results.at(i), 2 * i);
    EXPECT_EQ(most, 5);
    EXPECT_EQ(Now() - begin, 4ms);
  });
}

TEST(MapConcurrent, KeepsTheRangesOrderHoweverTheCallsEnd) {
  InSimulation([]() -> Task<> {
    const std::vector<int> items = UpTo(50);
    auto wait = [](int item) -> Task<std::string> {
      co_await SleepFor(std::chrono::milliseconds((item * 37) % 11));
      co_return std::to_string(item);
    };
    const std::vector<std::string> results = co_await MapConcurrent(items, 7, wait);
    for (int i = 0; i < 50; ++i) EXPECT_EQ(results.at(i), std::to_string(i));
  });
}

TEST(MapConcurrent, WithALimitOfOneRunsOneAfterTheOther) {
  InEveryWorld([]() -> Task<> {
    std::string log;
    auto note = [&](int item) -> Task<> {
      log += "(";
      co_await Turns(2);
      log += std::to_string(item) + ")";
    };
    co_await MapConcurrent(UpTo(4), 1, note);
    EXPECT_EQ(log, "(0)(1)(2)(3)");
  });
}

TEST(MapConcurrent, OfAnEmptyRangeGivesNothing) {
  InEveryWorld([]() -> Task<> {
    const std::vector<int> results = co_await MapConcurrent(std::vector<int>(), 5, Twice);
    EXPECT_TRUE(results.empty());
  });
}

TEST(MapConcurrent, ALimitFarAboveTheNumberOfItemsIsNoMoreThanThat) {
  InEveryWorld([]() -> Task<> {
    const std::vector<int> results = co_await MapConcurrent(UpTo(3), ~size_t{0}, Twice);
    EXPECT_EQ(results, (std::vector<int>{0, 2, 4}));
  });
}

TEST(MapConcurrentDeathTest, ALimitOfZeroIsAUsageError) {
  const std::vector<int> items = UpTo(3);
  EXPECT_DEATH((void)MapConcurrent(items, 0, Twice), "MapConcurrent needs a limit of at least 1");
}

// --- ranges

TEST(MapConcurrent, PassesItemsAsTheRangeGivesThem) {
  InEveryWorld([]() -> Task<> {
    std::vector<int> items = UpTo(5);
    auto grow = [](int& item) -> Task<> {
      co_await Yield();
      item += 100;
    };
    co_await MapConcurrent(items, 2, grow);
    EXPECT_EQ(items, (std::vector<int>{100, 101, 102, 103, 104})) << "an lvalue range is borrowed";
  });
}

TEST(MapConcurrent, TakesAViewWhoseItemsAreMadeOnTheWay) {
  InEveryWorld([]() -> Task<> {
    auto odd = std::views::iota(0, 10) | std::views::filter([](int i) { return i % 2 == 1; });
    const std::vector<int> results = co_await MapConcurrent(odd, 3, Twice);
    EXPECT_EQ(results, (std::vector<int>{2, 6, 10, 14, 18}));
  });
}

TEST(MapConcurrent, ARangeThatCanBeWalkedOnceGivesEachItemOnce) {
  InEveryWorld([]() -> Task<> {
    std::istringstream text("alpha beta gamma delta epsilon");
    auto words = std::ranges::subrange(std::istream_iterator<std::string>(text), std::istream_iterator<std::string>());
    auto measure = [](std::string word) -> Task<std::string> {
      co_await Turns(static_cast<int>(word.size()) % 3);
      co_return word + std::to_string(word.size());
    };
    const std::vector<std::string> results = co_await MapConcurrent(words, 2, measure);
    EXPECT_EQ(results, (std::vector<std::string>{"alpha5", "beta4", "gamma5", "delta5", "epsilon7"}));
  });
}

// --- results

TEST(MapConcurrent, KeepsMoveOnlyAndNonDefaultConstructibleResultsWithoutCopying) {
  Counted::Reset();
  InEveryWorld([]() -> Task<> {
    const std::vector<int> items = UpTo(6);
    const std::vector<std::unique_ptr<int>> unique = co_await MapConcurrent(items, 2, testing::GiveUnique);
    EXPECT_EQ(*unique.at(5), 5);
    const std::vector<testing::Fixed> fixed = co_await MapConcurrent(items, 2, testing::GiveFixed);
    EXPECT_EQ(fixed.at(4).number, 4);
    auto count = [](int) -> Task<Counted> { co_return Counted(); };
    const std::vector<Counted> counted = co_await MapConcurrent(items, 2, count);
    EXPECT_EQ(counted.size(), 6u);
    auto is_odd = [](int item) -> Task<bool> { co_return item % 2 == 1; };
    const std::vector<bool> odd = co_await MapConcurrent(items, 2, is_odd);
    EXPECT_EQ(odd, (std::vector<bool>{false, true, false, true, false, true}));
  });
  EXPECT_EQ(Counted::copies(), 0);
  EXPECT_EQ(Counted::live(), 0);
}

TEST(MapConcurrent, OfStatusesGivesOneStatusAndOfStatusOrsAStatusOrOfAll) {
  InEveryWorld([]() -> Task<> {
    const std::vector<int> items = UpTo(4);
    auto check = [](int) -> Task<absl::Status> { co_return absl::OkStatus(); };
    const absl::Status status = co_await MapConcurrent(items, 2, check);
    EXPECT_TRUE(status.ok()) << status;
    auto twice = [](int item) -> Task<absl::StatusOr<int>> { co_return 2 * item; };
    const absl::StatusOr<std::vector<int>> all = co_await MapConcurrent(items, 2, twice);
    EXPECT_EQ(*all, (std::vector<int>{0, 2, 4, 6}));
  });
}

// --- errors

TEST(MapConcurrent, TheFirstExceptionStopsTheRestWhichIsWaitedForAndNoMoreStart) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Now();
    int started = 0;
    int stops = 0;
    const std::vector<int> items = UpTo(100);
    auto work = [&](int item) -> Task<int> {
      ++started;
      if (item == 0) co_await testing::StubbornWait(10ms, stops);
      co_await SleepFor(1ms);
      if (item == 2) throw std::runtime_error("boom");
      co_return item;
    };
    const auto outcome = co_await AsOutcome(MapConcurrent(items, 3, work));
    EXPECT_EQ(HookLog::What(outcome.exception()), "boom");
    EXPECT_EQ(stops, 1);
    EXPECT_LE(started, 5);
    EXPECT_EQ(Now() - begin, 10ms);
    co_await Yield();  // no stop is pending
  });
}

TEST(MapConcurrent, TheFirstBadStatusIsTheResultAndNoMoreStart) {
  InEveryWorld([]() -> Task<> {
    int started = 0;
    const std::vector<int> items = UpTo(100);
    auto work = [&](int item) -> Task<absl::StatusOr<int>> {
      ++started;
      co_await Turns(2);
      if (item == 1) co_return absl::DataLossError("rotten");
      co_return item;
    };
    const absl::StatusOr<std::vector<int>> all = co_await MapConcurrent(items, 3, work);
    EXPECT_EQ(all.status(), absl::DataLossError("rotten"));
    EXPECT_LE(started, 6);
  });
}

TEST(MapConcurrent, FurtherErrorsReachTheHook) {
  InEveryWorld([]() -> Task<> {
    HookLog hook;
    hook.Attach();
    const std::vector<int> items = UpTo(3);
    auto work = [](int item) -> Task<> {
      if (item == 0) {
        co_await Turns(2);
        throw std::runtime_error("first");
      }
      (void)co_await AsOutcome(Turns(100));
      throw std::runtime_error("further");
    };
    const auto outcome = co_await AsOutcome(MapConcurrent(items, 3, work));
    EXPECT_EQ(HookLog::What(outcome.exception()), "first");
    EXPECT_EQ(hook.Texts(), (std::vector<std::string>{"further", "further"}));
    Loop::Current().SetUnhandledErrorHook(nullptr);
  });
}

TEST(MapConcurrent, ACallThatThrowsBeforeItIsACoroutineIsAnErrorLikeAnyOther) {
  InEveryWorld([]() -> Task<> {
    const std::vector<int> items = UpTo(3);
    auto work = [](int) -> Task<int> { throw std::runtime_error("early"); };
    const auto outcome = co_await AsOutcome(MapConcurrent(items, 1, work));
    EXPECT_EQ(HookLog::What(outcome.exception()), "early");
  });
}

TEST(MapConcurrent, ACallThatEndsStoppedByItselfStopsTheAwaitingTask) {
  InEveryWorld([]() -> Task<> {
    const std::vector<int> items = UpTo(6);
    auto work = [](int item) -> Task<std::string> {
      if (item == 3) co_await testing::EndsStopped();
      co_await Yield();
      co_return std::string("a text too long for the small string buffer");
    };
    const auto outcome = co_await AsOutcome(MapConcurrent(items, 2, work));
    EXPECT_TRUE(outcome.stopped()) << "a result is missing";
    co_await Yield();  // no stop is pending
  });
}

// --- stops

TEST(MapConcurrent, StoppedFromOutsideItStopsWhatRunsStartsNoMoreWaitsAndPassesTheStopOn) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Now();
    int started = 0;
    int stops = 0;
    bool went_on = false;
    const std::vector<int> items = UpTo(100);
    auto work = [&](int item) -> Task<> {
      ++started;
      if (item == 1) co_await testing::StubbornWait(20ms, stops);
      co_await SleepFor(1h);
    };
    auto owner = [&]() -> Task<> {
      co_await MapConcurrent(items, 3, work);
      went_on = true;
    };
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> task = scope.Spawn(owner);
      co_await SleepFor(5ms);
      task.RequestStop();
      const Outcome<>& outcome = co_await task.Join();
      EXPECT_TRUE(outcome.stopped());
    };
    co_await WithScope(body);
    EXPECT_EQ(started, 3);
    EXPECT_EQ(stops, 1);
    EXPECT_FALSE(went_on);
    EXPECT_EQ(Now() - begin, 20ms);
  });
}

TEST(MapConcurrent, InATaskThatIsStoppedNoCallIsStartedEvenIfNoneWouldSuspend) {
  InEveryWorld([]() -> Task<> {
    int calls = 0;
    bool went_on = false;
    auto work = [&](int item) -> Task<int> {
      ++calls;
      co_return item;
    };
    auto body = [&](Scope& scope) -> Task<> {
      scope.RequestStop();
      (void)co_await MapConcurrent(UpTo(5), 2, work);
      went_on = true;
    };
    co_await WithScope(body);
    EXPECT_EQ(calls, 0);
    EXPECT_FALSE(went_on);
  });
}

TEST(MapConcurrent, AfterAnErrorNoCallIsStartedEvenIfNoneWouldSuspend) {
  InEveryWorld([]() -> Task<> {
    int calls = 0;
    auto work = [&](int item) -> Task<int> {
      if (++calls == 1) throw std::runtime_error("boom");
      co_return item;
    };
    const auto outcome = co_await AsOutcome(MapConcurrent(UpTo(100), 2, work));
    EXPECT_EQ(HookLog::What(outcome.exception()), "boom");
    EXPECT_EQ(calls, 1);
  });
}

TEST(MapConcurrent, NotAwaitedItCallsNothing) {
  InEveryWorld([]() -> Task<> {
    int calls = 0;
    auto work = [&](int) -> Task<> {
      ++calls;
      co_return;
    };
    { [[maybe_unused]] auto unused = MapConcurrent(UpTo(5), 2, work); }
    co_await Yield();
    EXPECT_EQ(calls, 0);
  });
}

}  // namespace
}  // namespace gyre
