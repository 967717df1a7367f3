#include "gyre/runtime/shielded.h"

#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/deadline.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/counted.h"
#include "gyre/tests/support/gate.h"
#include "gyre/tests/support/tasks.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using namespace std::chrono_literals;
using testing::Counted;
using testing::Gate;
using testing::GiveAfter;
using testing::GiveStubbornly;
using testing::HookLog;
using testing::InEveryWorld;
using testing::InSimulation;
using testing::NotesStop;
using testing::Now;
using testing::Turns;
using testing::WaitAt;
using testing::Watch;

// Runs `owner` as a child and stops it after `wait`. Gives how long it took in all.
Task<Duration> StopAfter(Duration wait, std::function<Task<>()> owner) {
  const TimePoint begin = Now();
  auto body = [&](Scope& scope) -> Task<> {
    TaskHandle<> task = scope.Spawn(std::ref(owner));
    co_await SleepFor(wait);
    task.RequestStop("from outside");
  };
  co_await WithScope(body);
  co_return Now() - begin;
}

// --- the limit

TEST(Shielded, AnOperationThatEndsWithinTheLimitGivesItsResultAndTheNextAwaitIsStopped) {
  InSimulation([]() -> Task<> {
    std::string log;
    auto owner = [&]() -> Task<> {
      const NotesStop end(log, "then ");
      const int value = co_await Shielded(10ms, GiveAfter(7ms, 42));
      log += std::to_string(value) + " ";
      co_await Yield();
      log += "went on ";
    };
    const Duration took = co_await StopAfter(5ms, owner);
    EXPECT_EQ(log, "42 then stopped ");
    EXPECT_EQ(took, 7ms);
    EXPECT_TRUE(Loop::Current().timers().empty());
  });
}

TEST(Shielded, TheLimitCountsFromTheArrivingStopAndThenTheStopPassesIn) {
  InSimulation([]() -> Task<> {
    std::string log;
    auto owner = [&]() -> Task<> {
      const NotesStop end(log, "");
      co_await Shielded(10ms, SleepFor(1h));
      log += "went on ";
    };
    const Duration took = co_await StopAfter(5ms, owner);
    EXPECT_EQ(log, "stopped ");
    EXPECT_EQ(took, 15ms);
  });
}

TEST(Shielded, WithoutAStopTheLimitDoesNothing) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Now();
    const int value = co_await Shielded(1ms, GiveAfter(1h, 42));
    EXPECT_EQ(value, 42);
    EXPECT_EQ(Now() - begin, 1h);
  });
}

TEST(Shielded, AZeroLimitShieldsNothing) {
  InSimulation([]() -> Task<> {
    for (const Duration limit : {Duration::zero(), Duration(-1s)}) {
      auto owner = [limit]() -> Task<> { co_await Shielded(limit, SleepFor(1h)); };
      const Duration took = co_await StopAfter(5ms, owner);
      EXPECT_EQ(took, 5ms);
    }
  });
}

TEST(Shielded, ForEverNoStopEverPassesIn) {
  InSimulation([]() -> Task<> {
    auto owner = []() -> Task<> { co_await Shielded(kForever, SleepFor(100h)); };
    const Duration took = co_await StopAfter(5ms, owner);
    EXPECT_EQ(took, 100h);
  });
}

TEST(Shielded, AStopThatWasThereBeforeCountsFromTheAwait) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Now();
    auto body = [&](Scope& scope) -> Task<> {
      scope.RequestStop();
      co_await Shielded(10ms, SleepFor(3ms));
      EXPECT_EQ(Now() - begin, 3ms);
      co_await Shielded(10ms, SleepFor(1h));
      ADD_FAILURE() << "went on";
    };
    co_await WithScope(body);
    EXPECT_EQ(Now() - begin, 13ms);
  });
}

TEST(Shielded, AFurtherStopDoesNotProlongTheLimit) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Now();
    auto shield = []() -> Task<> { co_await Shielded(10ms, SleepFor(1h)); };
    auto inner = [&](Scope& scope) -> Task<> {
      TaskHandle<> task = scope.Spawn(shield);
      for (int i = 0; i < 3; ++i) {
        co_await SleepFor(2ms);
        task.RequestStop();
      }
      scope.RequestStop();
    };
    co_await WithScope(inner);
    EXPECT_EQ(Now() - begin, 12ms);
  });
}

TEST(Shielded, AnOperationThatRefusesToStopIsWaitedForEvenPastTheLimitAndItsResultIsGiven) {
  InSimulation([]() -> Task<> {
    int stops = 0;
    int value = 0;
    auto owner = [&]() -> Task<> { value = co_await Shielded(10ms, GiveStubbornly(1s, stops, 42)); };
    const Duration took = co_await StopAfter(5ms, owner);
    EXPECT_EQ(took, 1s);
    EXPECT_EQ(value, 42);
    EXPECT_EQ(stops, 1);
  });
}

TEST(Shielded, EndingInTheTurnInWhichTheLimitExpiresItEndsOnceAndLeavesNoTimer) {
  InSimulation([]() -> Task<> {
    int ends = 0;
    auto owner = [&]() -> Task<> {
      (void)co_await AsOutcome(Shielded(10ms, SleepFor(15ms)));
      ++ends;
    };
    const Duration took = co_await StopAfter(5ms, owner);
    EXPECT_EQ(took, 15ms);
    EXPECT_EQ(ends, 1);
    EXPECT_TRUE(Loop::Current().timers().empty());
  });
}

// --- what is inside

TEST(Shielded, StopsOfScopesInsideReachTheirChildren) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    std::string log;
    auto inner = [&](Scope& scope) -> Task<> {
      scope.Spawn(Watch, std::ref(never), std::ref(log), std::string("child "));
      co_await Turns(2);
      scope.RequestStop();
    };
    auto outer = [&](Scope& scope) -> Task<> {
      scope.RequestStop();
      co_await Shielded(1h, WithScope(inner));
      log += "absorbed ";
      co_await Yield();
      log += "went on ";
    };
    co_await WithScope(outer);
    EXPECT_EQ(log, "child stopped absorbed ");
  });
}

TEST(Shielded, AStopFromOutsideReachesNoScopeInsideAndStopRequestedSaysSo) {
  InEveryWorld([]() -> Task<> {
    Gate gate;
    std::string log;
    auto inner = [&](Scope& scope) -> Task<> {
      scope.Spawn(Watch, std::ref(gate), std::ref(log), std::string());
      co_await Turns(4);
      EXPECT_FALSE(scope.StopRequested());
      gate.Open();
    };
    auto owner = [&]() -> Task<> { co_await Shielded(1h, WithScope(inner)); };
    auto outer = [&](Scope& scope) -> Task<> {
      scope.Spawn(owner);
      co_await Turns(2);
      scope.RequestStop();
    };
    co_await WithScope(outer);
    EXPECT_EQ(log, "passed ");
  });
}

TEST(Shielded, AfterTheLimitTheReasonInsideIsThatOfTheStopOutside) {
  InSimulation([]() -> Task<> {
    std::string reason;
    auto inner = [&]() -> Task<> {
      const Outcome<> outcome = co_await AsOutcome(SleepFor(1h));
      reason = outcome.stop_reason().message();
    };
    auto owner = [&]() -> Task<> { co_await Shielded(10ms, inner()); };
    (void)co_await StopAfter(5ms, owner);
    EXPECT_EQ(reason, "from outside");
  });
}

TEST(Shielded, OfTwoNestedTheInnerLimitCountsFromWhenTheStopHasPassedTheOuterOne) {
  InSimulation([]() -> Task<> {
    auto owner = []() -> Task<> { co_await Shielded(10ms, Shielded(20ms, SleepFor(1h))); };
    const Duration took = co_await StopAfter(5ms, owner);
    EXPECT_EQ(took, 35ms);
  });
}

TEST(Shielded, ATimeoutInsideWorksInATaskThatIsAlreadyStopped) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Now();
    absl::Status status;
    auto clean_up = [&]() -> Task<> { status = co_await Timeout(3ms, SleepFor(1h)); };
    auto body = [&](Scope& scope) -> Task<> {
      scope.RequestStop();
      co_await Shielded(1s, clean_up());
    };
    co_await WithScope(body);
    EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
    EXPECT_EQ(Now() - begin, 3ms);
  });
}

TEST(Shielded, ADeadlineOutsideReachesTheAwaitableOnlyAfterTheLimit) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Now();
    const absl::StatusOr<int> in_time = co_await Timeout(5ms, Shielded(10ms, GiveAfter(12ms, 42)));
    EXPECT_EQ(*in_time, 42) << "a result that was there all the same is given";
    const absl::Status late = co_await Timeout(5ms, Shielded(10ms, SleepFor(1h)));
    EXPECT_TRUE(absl::IsDeadlineExceeded(late)) << late;
    EXPECT_EQ(Now() - begin, 12ms + 15ms);
  });
}

TEST(Shielded, SwitchedOnWhileAStopIsPendingTheOuterScopeStillAbsorbsIt) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    std::string log;
    auto body = [&](Scope& scope) -> Task<> {
      scope.RequestStop();
      (void)co_await AsOutcome(WaitAt(never));
      co_await Shielded(1h, Turns(3));
      log += "cleaned up ";
      co_await never.Wait();
      log += "went on ";
    };
    co_await WithScope(body);
    co_await Yield();
    log += "after";
    EXPECT_EQ(log, "cleaned up after");
  });
}

TEST(Shielded, OneThatEndsStoppedByItselfStopsTheAwaitingTask) {
  InEveryWorld([]() -> Task<> {
    const Outcome<int> outcome = co_await AsOutcome(Shielded(1h, testing::EndStoppedByItself()));
    EXPECT_TRUE(outcome.stopped());
  });
}

// --- results

TEST(Shielded, RethrowsWhatTheAwaitableThrowsAlsoWhileStopped) {
  InEveryWorld([]() -> Task<> {
    std::string caught;
    auto body = [&](Scope& scope) -> Task<> {
      scope.RequestStop();
      try {
        (void)co_await Shielded(1h, testing::Throw(2, "boom"));
      } catch (const std::runtime_error& error) {
        caught = error.what();
      }
    };
    co_await WithScope(body);
    EXPECT_EQ(caught, "boom");
  });
}

TEST(Shielded, KeepsResultsOfEveryKindWithoutCopying) {
  Counted::Reset();
  InEveryWorld([]() -> Task<> {
    int number = 5;
    auto give_counted = []() -> Task<Counted> { co_return Counted(); };
    const testing::Fixed fixed = co_await Shielded(1s, testing::GiveFixed(3));
    EXPECT_EQ(fixed.number, 3);
    const std::unique_ptr<int> unique = co_await Shielded(1s, testing::GiveUnique(4));
    EXPECT_EQ(*unique, 4);
    int& lvalue = co_await Shielded(1s, testing::Refer(number));
    EXPECT_EQ(&lvalue, &number);
    int&& rvalue = co_await Shielded(1s, testing::Move(number));
    EXPECT_EQ(&rvalue, &number);
    const Counted counted = co_await Shielded(1s, give_counted());
    (void)counted;
  });
  EXPECT_EQ(Counted::copies(), 0);
  EXPECT_EQ(Counted::live(), 0);
}

// Where the end of the shielded task uses up the budget, its awaiter waits in the ready queue; a stop may come before it.
TEST(Shielded, AStopBetweenTheTasksEndAndItsAwaiterStartsNoTimer) {
  InEveryWorld([]() -> Task<> {
    auto nothing = []() -> Task<> { co_return; };
    auto shielded = [&](int awaits) -> Task<> {
      for (int i = 0; i < awaits; ++i) co_await nothing();
      co_await Shielded(1h, nothing());
    };
    auto stop = [](TaskHandle<> task) -> Task<> {
      task.RequestStop();
      co_return;
    };
    for (int awaits = 0; awaits <= internal::kTransferBudget; ++awaits) {
      auto body = [&](Scope& scope) -> Task<> {
        TaskHandle<> task = scope.Spawn(shielded, awaits);
        scope.Spawn(stop, task);
        co_return;
      };
      co_await WithScope(body);
    }
    co_await SleepFor(Duration(1));
  });
}

TEST(Shielded, NotAwaitedItDestroysItsTaskUnstarted) {
  Counted::Reset();
  InEveryWorld([]() -> Task<> {
    auto task = [](Counted) -> Task<> { co_return; };
    { [[maybe_unused]] auto unused = Shielded(1s, task(Counted())); }
    EXPECT_EQ(Counted::live(), 0);
    co_return;
  });
}

}  // namespace
}  // namespace gyre
