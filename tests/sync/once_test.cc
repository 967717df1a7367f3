// Once, Lazy and SingleFlight: one does it, the others wait, and where it fails or is stopped the next takes over.
#include "gyre/sync/once.h"

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/sim/explorer.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/sync/lazy.h"
#include "gyre/sync/single_flight.h"
#include "gyre/tests/support/gate.h"
#include "gyre/tests/support/worlds.h"
#include "gyre/tests/sync/waits.h"

namespace gyre::testing {
namespace {

template <class Form>
class OnceTest : public ::testing::Test {};
TYPED_TEST_SUITE(OnceTest, Forms);

TYPED_TEST(OnceTest, TheFirstDoesItAndTheOthersWaitUntilItIsDone) {
  InEveryWorld([]() -> Task<> {
    BasicOnce<TypeParam> once;
    Gate finish;
    int runs = 0;
    int ended = 0;
    auto work = [&]() -> Task<> {
      ++runs;
      co_await finish.Wait();
    };
    auto ask = [&]() -> Task<> {
      co_await once.Run(work);
      ++ended;
    };
    auto body = [&](Scope& scope) -> Task<> {
      for (int i = 0; i < 3; ++i) scope.Spawn(ask);
      while (finish.waiting() == 0) co_await Yield();
      for (int i = 0; i < 4; ++i) co_await Yield();
      EXPECT_EQ(ended, 0);
      EXPECT_FALSE(once.is_done());
      finish.Open();
    };
    co_await WithScope(body);
    EXPECT_EQ(ended, 3);
    EXPECT_EQ(runs, 1);
    EXPECT_TRUE(once.is_done());
    co_await once.Run(work);
    EXPECT_EQ(runs, 1);
  });
}

TYPED_TEST(OnceTest, WhereTheFirstFailsTheNextTakesOver) {
  InEveryWorld([]() -> Task<> {
    BasicOnce<TypeParam> once;
    int runs = 0;
    std::string log;
    auto work = [&]() -> Task<absl::Status> {
      const int run = ++runs;
      co_await Yield();
      if (run == 1) co_return absl::DataLossError("planned");
      if (run == 2) throw std::runtime_error("thrown");
      co_return absl::OkStatus();
    };
    auto ask = [&]() -> Task<> {
      auto outcome = co_await AsOutcome(once.Run(work));
      log += outcome.has_exception() ? 'x' : outcome.value().ok() ? 'v' : 's';
    };
    auto body = [&](Scope& scope) -> Task<> {
      for (int i = 0; i < 5; ++i) scope.Spawn(ask);
      co_return;
    };
    co_await WithScope(body);
    EXPECT_EQ(runs, 3);
    EXPECT_EQ(log, "sxvvv");
  });
}

TYPED_TEST(OnceTest, WhereTheFirstIsStoppedTheNextTakesOverAlsoIfThatIsStoppedBeforeItRuns) {
  InEveryWorld([]() -> Task<> {
    BasicOnce<TypeParam> once;
    Gate finish;
    int runs = 0;
    auto work = [&]() -> Task<> {
      ++runs;
      co_await finish.Wait();
    };
    std::vector<TaskHandle<>> tasks;
    auto body = [&](Scope& scope) -> Task<> {
      auto ask = [&]() -> Task<> { co_await once.Run(work); };
      tasks.push_back(scope.Spawn(ask));
      while (finish.waiting() == 0) co_await Yield();
      for (int i = 0; i < 2; ++i) tasks.push_back(scope.Spawn(ask));
      for (int i = 0; i < 4; ++i) co_await Yield();
      auto stop_second = [&]() -> Task<> {
        while (!tasks[0].Done()) co_await Yield();
        tasks[1].RequestStop();
      };
      tasks[0].RequestStop();
      co_await stop_second();
      while (finish.waiting() == 0) co_await Yield();
      finish.Open();
    };
    co_await WithScope(body);
    EXPECT_TRUE(once.is_done());
    EXPECT_GE(runs, 2);
  });
}

TYPED_TEST(OnceTest, LeavesNothingBehindWhereverATaskIsStopped) {
  ExplorerOptions options;
  options.AddPass(ExplorerPass::kStopTaskDuring).AddPass(ExplorerPass::kStopTaskAfter).set_seeds(3);
  const ExplorerReport report = StopAtEveryAwait(options, [](Scope& scope) -> Task<> {
    BasicOnce<TypeParam> once;
    auto work = []() -> Task<> {
      co_await Yield();
      co_await Yield();
    };
    auto inner = [&](Scope& children) -> Task<> {
      auto ask = [&]() -> Task<> { co_await once.Run(work); };
      for (int i = 0; i < 3; ++i) children.Spawn(ask);
      co_await Yield();
      co_await ask();
      EXPECT_TRUE(once.is_done());
    };
    static_cast<void>(scope);
    co_await WithScope(inner);
  });
  EXPECT_TRUE(report.ok()) << report;
  EXPECT_GE(report.points().size(), 6u);
}

TYPED_TEST(OnceTest, ToDestroyItWhileItRunsOrIsWaitedForIsACheckFailure) {
  auto destroy_asked = [](int tasks) {
    InCalmSimulation([tasks]() -> Task<> {
      auto once = std::make_unique<BasicOnce<TypeParam>>();
      Gate never;
      auto work = [&]() -> Task<> { co_await never.Wait(); };
      auto ask = [&]() -> Task<> { co_await once->Run(work); };
      auto body = [&](Scope& scope) -> Task<> {
        for (int i = 0; i < tasks; ++i) scope.Spawn(ask);
        for (int i = 0; i < 4; ++i) co_await Yield();
        once.reset();
      };
      co_await WithScope(body);
    });
  };
  EXPECT_DEATH(destroy_asked(1), "a Once, Lazy or SingleFlight was destroyed while it runs");
  EXPECT_DEATH(destroy_asked(2), "a Once, Lazy or SingleFlight was destroyed while a task waits for it");
}

TYPED_TEST(OnceTest, ALazyValueIsMadeWhenItIsFirstAskedForAndOnce) {
  InEveryWorld([]() -> Task<> {
    int made = 0;
    auto make = [&]() -> Task<std::unique_ptr<int>> {
      ++made;
      co_await Yield();
      if (made == 1) throw std::runtime_error("planned");
      co_return std::make_unique<int>(7);
    };
    BasicLazy<std::unique_ptr<int>, TypeParam> lazy(make);
    EXPECT_EQ(lazy.TryGet(), nullptr);
    std::string log;
    auto ask = [&]() -> Task<> {
      const Outcome<std::unique_ptr<int>&> outcome = co_await AsOutcome(lazy.Get());
      log += outcome.has_exception() ? 'x' : 'v';
    };
    auto body = [&](Scope& scope) -> Task<> {
      for (int i = 0; i < 4; ++i) scope.Spawn(ask);
      co_return;
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "xvvv");
    EXPECT_EQ(made, 2);
    std::unique_ptr<int>& value = co_await lazy.Get();
    EXPECT_EQ(*value, 7);
    EXPECT_EQ(lazy.TryGet(), &value);
  });
}

TYPED_TEST(OnceTest, ABadStatusOfALazyIsItsMakersAndTheNextMakesTheValueAnew) {
  InEveryWorld([]() -> Task<> {
    int made = 0;
    auto make = [&]() -> Task<absl::StatusOr<std::unique_ptr<int>>> {
      ++made;
      co_await Yield();
      if (made <= 2) co_return absl::UnavailableError("planned");
      co_return std::make_unique<int>(7);
    };
    BasicLazy<absl::StatusOr<std::unique_ptr<int>>, TypeParam> lazy(make);
    std::string log;
    auto ask = [&]() -> Task<> {
      const auto got = co_await lazy.Get();
      log += got.ok() ? 'v' : 's';
    };
    co_await ask();
    EXPECT_EQ(lazy.TryGet(), nullptr) << "a failure is not kept";
    auto body = [&](Scope& scope) -> Task<> {
      for (int i = 0; i < 3; ++i) scope.Spawn(ask);
      co_return;
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "ssvv");
    EXPECT_EQ(made, 3);
    const auto last = co_await lazy.Get();
    std::unique_ptr<int>& value = *last;
    EXPECT_EQ(*value, 7);
    EXPECT_EQ(lazy.TryGet(), &value);
  });
}

TYPED_TEST(OnceTest, ToDestroyALazyWhileItRunsOrIsWaitedForIsACheckFailure) {
  auto destroy_asked = [](int tasks) {
    InCalmSimulation([tasks]() -> Task<> {
      Gate never;
      auto make = [&]() -> Task<int> {
        co_await never.Wait();
        co_return 1;
      };
      auto lazy = std::make_unique<BasicLazy<int, TypeParam>>(make);
      auto ask = [&]() -> Task<> { static_cast<void>(co_await lazy->Get()); };
      auto body = [&](Scope& scope) -> Task<> {
        for (int i = 0; i < tasks; ++i) scope.Spawn(ask);
        for (int i = 0; i < 4; ++i) co_await Yield();
        lazy.reset();
      };
      co_await WithScope(body);
    });
  };
  EXPECT_DEATH(destroy_asked(1), "a Once, Lazy or SingleFlight was destroyed while it runs");
  EXPECT_DEATH(destroy_asked(2), "a Once, Lazy or SingleFlight was destroyed while a task waits for it");
}

TEST(SingleFlight, WhoAsksForTheSameAtTheSameTimeSharesOneFetch) {
  InEveryWorld([]() -> Task<> {
    SingleFlight<std::string, std::string> flights;
    Gate finish;
    std::vector<std::string> fetched;
    std::vector<std::string> got;
    auto ask = [&](std::string key) -> Task<> {
      auto fetch = [&, key]() -> Task<std::string> {
        fetched.push_back(key);
        co_await finish.Wait();
        co_return "page " + key;
      };
      got.push_back(co_await flights.Do(key, fetch));
    };
    auto body = [&](Scope& scope) -> Task<> {
      for (const char* key : {"a", "a", "b", "a"}) scope.Spawn(ask, std::string(key));
      while (finish.waiting() < 2) co_await Yield();
      for (int i = 0; i < 4; ++i) co_await Yield();
      EXPECT_EQ(flights.in_flight(), 2u);
      finish.Open();
    };
    co_await WithScope(body);
    EXPECT_EQ(fetched.size(), 2u);
    EXPECT_EQ(got.size(), 4u);
    EXPECT_EQ(flights.in_flight(), 0u);
    co_await ask("a");
    EXPECT_EQ(fetched.size(), 3u) << "it is no cache";
    EXPECT_EQ(got.back(), "page a");
  });
}

TEST(SingleFlight, WhereTheFetchFailsTheNextThatWaitsFetches) {
  InEveryWorld([]() -> Task<> {
    SingleFlight<int, absl::StatusOr<int>> flights;
    int runs = 0;
    std::string log;
    auto ask = [&]() -> Task<> {
      auto fetch = [&]() -> Task<absl::StatusOr<int>> {
        const int run = ++runs;
        for (int i = 0; i < 4; ++i) co_await Yield();
        if (run == 1) co_return absl::DataLossError("planned");
        co_return run;
      };
      const absl::StatusOr<int> got = co_await flights.Do(1, fetch);
      log += got.ok() ? static_cast<char>('0' + *got) : 's';
    };
    auto body = [&](Scope& scope) -> Task<> {
      for (int i = 0; i < 3; ++i) scope.Spawn(ask);
      co_return;
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "s22");
    EXPECT_EQ(flights.in_flight(), 0u);
  });
}

TEST(SingleFlight, ToDestroyItWhileOneFetchesOrWaitsIsACheckFailure) {
  auto destroy_asked = [](int tasks) {
    InCalmSimulation([tasks]() -> Task<> {
      auto flights = std::make_unique<SingleFlight<int, int>>();
      Gate never;
      auto fetch = [&]() -> Task<int> {
        co_await never.Wait();
        co_return 1;
      };
      auto ask = [&]() -> Task<> { static_cast<void>(co_await flights->Do(1, fetch)); };
      auto body = [&](Scope& scope) -> Task<> {
        for (int i = 0; i < tasks; ++i) scope.Spawn(ask);
        for (int i = 0; i < 4; ++i) co_await Yield();
        flights.reset();
      };
      co_await WithScope(body);
    });
  };
  for (const int tasks : {1, 2}) EXPECT_DEATH(destroy_asked(tasks), "a SingleFlight was destroyed while a task waits for it");
}

TEST(SingleFlight, LeavesNothingBehindWhereverATaskIsStopped) {
  SingleFlight<int, int> flights;
  ExplorerOptions options;
  options.AddPass(ExplorerPass::kStopTaskDuring).AddPass(ExplorerPass::kStopTaskAfter).set_seeds(3);
  options.Track("in flight", [&] { return static_cast<int64_t>(flights.in_flight()); });
  const ExplorerReport report = StopAtEveryAwait(options, [&](Scope& scope) -> Task<> {
    auto ask = [&]() -> Task<> {
      auto fetch = []() -> Task<int> {
        co_await Yield();
        co_await Yield();
        co_return 1;
      };
      const int got = co_await flights.Do(1, fetch);
      EXPECT_EQ(got, 1);
    };
    for (int i = 0; i < 3; ++i) scope.Spawn(ask);
    co_await Yield();
    co_await ask();
  });
  EXPECT_TRUE(report.ok()) << report;
  EXPECT_GE(report.points().size(), 6u);
}

}  // namespace
}  // namespace gyre::testing
