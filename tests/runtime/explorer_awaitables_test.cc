// Every awaitable of runtime/, stopped at every await in every way: nothing leaks, nothing hangs.
#include <chrono>
#include <cstddef>
#include <optional>
#include <stop_token>
#include <string>
#include <tuple>
#include <utility>
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
#include "gyre/runtime/offload/offload.h"
#include "gyre/runtime/offload/parallel.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/shielded.h"
#include "gyre/runtime/shutdown.h"
#include "gyre/runtime/sim/explorer.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/when_all.h"
#include "gyre/runtime/when_any.h"
#include "gyre/runtime/with_cleanup.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/runtime/with_stop_token.h"
#include "gyre/tests/support/counted.h"
#include "gyre/tests/support/gate.h"
#include "gyre/tests/support/permits.h"

namespace gyre::testing {
namespace {

using namespace std::chrono_literals;

constexpr uint64_t kSeeds = 4;

ExplorerOptions WithSingleTasks() {
  return ExplorerOptions().AddPass(ExplorerPass::kStopTaskDuring).AddPass(ExplorerPass::kStopTaskAfter);
}

// Objects of the body are counted, so a frame that is not unwound once shows.
template <class Body>
void ExpectNothingFound(size_t points_min, Body body, ExplorerOptions options = WithSingleTasks()) {
  options.Track("objects", [] { return Counted::live(); }).set_seeds(kSeeds);
  const ExplorerReport report = StopAtEveryAwait(options, body);
  EXPECT_TRUE(report.ok()) << report;
  EXPECT_GE(report.points().size(), points_min);
  EXPECT_GT(report.disturbed(), 2 * points_min) << "before and during each of them, at least";
}

Task<int> Nap(Duration wait, int value = 7) {
  const Counted counted;
  co_await SleepFor(wait);
  co_return value;
}

Task<absl::Status> FailAfter(Duration wait) {
  const Counted counted;
  co_await SleepFor(wait);
  co_return absl::DataLossError("planned");
}

TEST(ExploreAwaitables, SleepsAndYields) {
  ExpectNothingFound(5, []() -> Task<> {
    const Counted counted;
    co_await SleepFor(1ms);
    co_await SleepFor(0ms);
    co_await SleepUntil(Loop::Current().Now() + 1s);
    co_await Yield();
    EXPECT_EQ(co_await Nap(1h), 7);
  });
}

TEST(ExploreAwaitables, AsOutcomeInALoopThatAsksWhetherItIsStopped) {
  ExpectNothingFound(4, []() -> Task<> {
    const Counted counted;
    for (int tries = 0; tries < 4; ++tries) {
      const Outcome<int> nap = co_await AsOutcome(Nap(1ms));
      if (nap.stopped()) break;
    }
  });
}

TEST(ExploreAwaitables, AShutdownAndThoseWhoWaitForIt) {
  ExpectNothingFound(8, [](Scope& scope) -> Task<> {
    const Counted counted;
    const Shutdown shutdown(5ms);
    scope.Spawn(shutdown.Requested());
    scope.Spawn(shutdown.GraceOver());
    Shutdown::Intake intake(shutdown);
    co_await SleepFor(1ms);
    shutdown.Request();
    co_await shutdown.Requested();
    intake.Close();
    auto race = co_await WhenAny(Nap(1h), shutdown.GraceOver());
    EXPECT_EQ(race.index, 1u);
  });
}

TEST(ExploreAwaitables, ScopesInScopesAndJoins) {
  ExpectNothingFound(7, [](Scope& outer) -> Task<> {
    const Counted counted;
    TaskHandle<int> slow = outer.Spawn(Nap, 5ms, 1);
    co_await WithScope([&](Scope& inner) -> Task<> {
      TaskHandle<int> quick = inner.Spawn(Nap, 1ms, 2);
      inner.Spawn([&]() -> Task<> { static_cast<void>(co_await slow.Join()); });
      static_cast<void>(co_await quick.Join());
      co_await SleepFor(2ms);
    });
    static_cast<void>(co_await slow.Join());
    outer.Spawn(Nap, 1h, 3).RequestStop();
    co_await Yield();
  });
}

TEST(ExploreAwaitables, AScopeThatStopsItself) {
  ExpectNothingFound(3, []() -> Task<absl::Status> {
    const Counted counted;
    co_await WithScope([](Scope& scope) -> Task<> {
      scope.Spawn(Nap, 1h, 1);
      co_await SleepFor(1ms);
      scope.RequestStop("enough");
      co_await SleepFor(1h);
    });
    co_return absl::OkStatus();
  });
}

TEST(ExploreAwaitables, SuperviseWithAChildThatFails) {
  ExpectNothingFound(3, []() -> Task<> {
    const Counted counted;
    int errors = 0;
    auto body = [](Scope& scope) -> Task<> {
      scope.Spawn(FailAfter, 1ms);
      scope.Spawn(Nap, 3ms, 1);
      co_await SleepFor(2ms);
    };
    co_await Supervise([&errors](const TaskInfo&, const Outcome<>&) { ++errors; }, body);
  });
}

Task<> Serve(Started<int> started, Duration until_up) {
  const Counted counted;
  co_await SleepFor(until_up);
  started(80);
  co_await SleepFor(5ms);
}

TEST(ExploreAwaitables, StartHandsAChildOver) {
  ExpectNothingFound(3, [](Scope& scope) -> Task<> {
    const Counted counted;
    const int port = co_await scope.Start<int>(Serve, Duration(2ms));
    EXPECT_EQ(port, 80);
    co_await SleepFor(1ms);
  });
}

TEST(ExploreAwaitables, WhenAllAndWhenAllOutcomes) {
  ExpectNothingFound(8, []() -> Task<> {
    const Counted counted;
    auto pair = co_await WhenAll(Nap(1ms, 1), Nap(3ms, 2), SleepFor(2ms));
    EXPECT_EQ(std::get<1>(pair), 2);
    std::vector<Task<int>> tasks;
    for (int i = 0; i < 3; ++i) tasks.push_back(Nap(1ms * i, i));
    const std::vector<int> all = co_await WhenAll(std::move(tasks));
    EXPECT_EQ(all.size(), 3u);
    auto ends = co_await WhenAllOutcomes(FailAfter(1ms), Nap(2ms));
    EXPECT_TRUE(std::get<1>(ends).ok());
  });
}

TEST(ExploreAwaitables, WhenAnyAndWhenAnyOk) {
  ExpectNothingFound(5, []() -> Task<> {
    const Counted counted;
    auto race = co_await WhenAny(Nap(2ms, 1), Nap(1h, 2), Nap(5ms, 3));
    EXPECT_EQ(race.index, 0u);
    auto first_ok = co_await WhenAnyOk(FailAfter(1ms), Nap(2ms));
    EXPECT_EQ(first_ok.index, 1u);
  });
}

TEST(ExploreAwaitables, TimeoutsThatExpireAndThatDoNot) {
  ExpectNothingFound(5, []() -> Task<> {
    const Counted counted;
    absl::StatusOr<int> late = co_await Timeout(1ms, Nap(1h));
    absl::StatusOr<int> in_time = co_await Timeout(1h, Nap(1ms));
    auto nested = co_await Timeout(3ms, Timeout(3ms, Nap(1h)));
    const auto moved_on = co_await MoveOnAfter(1ms, Nap(1h));
    EXPECT_FALSE(moved_on.has_value());
    absl::StatusOr<int> past = co_await Deadline(Loop::Current().Now() - 1ms, Nap(1h));
  });
}

TEST(ExploreAwaitables, ShieldsWithAndWithoutALimit) {
  ExpectNothingFound(3, []() -> Task<> {
    const Counted counted;
    static_cast<void>(co_await Shielded(1ms, Nap(5ms)));
    static_cast<void>(co_await Shielded(kForever, Nap(5ms)));
    auto inside = co_await Shielded(1h, Timeout(2ms, Nap(1h)));
  });
}

TEST(ExploreAwaitables, OffloadedJobs) {
  ExpectNothingFound(4, []() -> Task<> {
    const Counted counted;
    auto count = [](const Counted&) { return 1; };
    const int one = co_await Offload(count, Counted());
    EXPECT_EQ(one, 1);
    static_cast<void>(co_await OffloadBlocking(count, Counted()));
    static_cast<void>(co_await Timeout(1us, Offload(count, Counted())));
    co_await WhenAll(Nap(1ms, 1), ParallelFor(0, 10, [](int) {}));
  });
}

TEST(ExploreAwaitables, CleanUpsNestAndRunOnce) {
  int begun = 0;
  int cleaned = 0;
  ExplorerOptions options = WithSingleTasks();
  options.AddInvariant("what was begun is cleaned up",
                       [&](const ExploredRun&) { return std::exchange(begun, 0) == std::exchange(cleaned, 0); });
  ExpectNothingFound(
      5,
      [&]() -> Task<> {
        const Counted counted;
        auto clean_up = [&]() -> Task<> {
          ++cleaned;
          co_await SleepFor(2ms);
        };
        auto work = [&]() -> Task<> {
          ++begun;
          co_await SleepFor(1ms);
        };
        auto both = [&]() -> Task<> {
          co_await WithCleanup(work, clean_up, 1ms);
          co_await WithCleanup(work, clean_up, 1h);
        };
        co_await WithCleanup(both, [] { return SleepFor(1ms); });
      },
      options);
}

TEST(ExploreAwaitables, MapConcurrentWithALimit) {
  ExpectNothingFound(6, []() -> Task<> {
    const Counted counted;
    const std::vector<int> items{1, 2, 3, 4, 5, 6};
    auto nap = [](int item) { return Nap(1ms * item, item); };
    const std::vector<int> results = co_await MapConcurrent(items, 2, nap);
    EXPECT_EQ(results, items);
  });
}

TEST(ExploreAwaitables, MapAsCompletedToTheEndAndLeftEarly) {
  ExpectNothingFound(10, []() -> Task<> {
    const Counted counted;
    const std::vector<int> items{3, 1, 2, 4};
    auto nap = [](int item) { return Nap(1ms * item, item); };
    auto take_all = [](Completed<int>& naps) -> Task<> {
      for (;;) {
        const auto nap = co_await naps.Next();
        if (!nap) break;
        co_await SleepFor(1ms);
      }
    };
    co_await MapAsCompleted(items, 2, nap, take_all);
    auto take_one = [](Completed<int>& naps) -> Task<> { static_cast<void>(co_await naps.Next()); };
    co_await MapAsCompleted(items, 3, nap, take_one);
  });
}

TEST(ExploreAwaitables, StopTokensThatAreSetAndThatAreNot) {
  ExpectNothingFound(
      3,
      [](Scope& scope) -> Task<> {
        const Counted counted;
        std::stop_source source;
        const absl::StatusOr<int> in_time = co_await WithStopToken(source.get_token(), Nap(1ms));
        scope.Spawn(
            [](std::stop_source stop) -> Task<> {
              co_await SleepFor(1ms);
              stop.request_stop();
            },
            source);
        const absl::StatusOr<int> cut_short = co_await WithStopToken(source.get_token(), Nap(1h));
        EXPECT_TRUE(in_time.ok());
        EXPECT_EQ(cut_short.status().code(), absl::StatusCode::kCancelled);
      },
      ExplorerOptions());  // without whom sets the token, the nap takes its hour
}

ContextVar<Counted> g_request;

TEST(ExploreAwaitables, ContextValuesDieWithTheirTasks) {
  ExpectNothingFound(3, [](Scope& scope) -> Task<> {
    g_request.Set(Counted());
    scope.Spawn([]() -> Task<> {
      co_await Yield();
      g_request.Set(Counted());
      co_await SleepFor(1ms);
    });
    co_await SleepFor(2ms);
  });
}

TEST(ExploreAwaitables, ALeafOfOnesOwn) {
  ExpectNothingFound(5, []() -> Task<> {
    const Counted counted;
    Gate gate;
    co_await WithScope([&](Scope& scope) -> Task<> {
      for (int i = 0; i < 3; ++i) {
        scope.Spawn([&]() -> Task<> { co_await gate.Wait(); });
      }
      co_await SleepFor(1ms);
      gate.Open();
      co_await gate.Wait();
    });
    EXPECT_EQ(gate.waiting(), 0u);
  });
}

TEST(ExploreAwaitables, PermitsPassOnWhateverIsStopped) {
  ExpectNothingFound(10, []() -> Task<> {
    const Counted counted;
    Permits permits(2);
    auto work = [&permits]() -> Task<> {
      const Permits::Permit permit = co_await permits.Acquire();
      co_await SleepFor(1ms);
    };
    co_await WithScope([&](Scope& scope) -> Task<> {
      for (int i = 0; i < 5; ++i) scope.Spawn(work);
      co_return;
    });
    EXPECT_EQ(permits.free(), 2u);
  });
}

}  // namespace
}  // namespace gyre::testing
