#include "gyre/runtime/started.h"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/errors.h"
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
using testing::HookLog;
using testing::InEveryWorld;
using testing::InSimulation;
using testing::NotesStop;
using testing::Turns;

// --- the hand-over

TEST(Start, GivesWhatTheChildReportsAndLeavesItToTheScope) {
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

TEST(Start, ReturnsAtTheMomentOfTheReportThoughTheChildRunsOn) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = testing::Now();
    auto serve = [](Started<> started) -> Task<> {
      co_await SleepFor(5ms);
      started();
      co_await SleepFor(1h);
    };
    auto body = [&](Scope& scope) -> Task<> {
      co_await scope.Start(serve);
      EXPECT_EQ(testing::Now() - begin, 5ms);
      scope.RequestStop();
    };
    co_await WithScope(body);
    EXPECT_EQ(testing::Now() - begin, 5ms);
  });
}

TEST(Start, AChildThatReportsAndEndsAtOnceIsNotLost) {
  InEveryWorld([]() -> Task<> {
    auto serve = [](Started<std::unique_ptr<int>> started) -> Task<> {
      started(std::make_unique<int>(7));
      co_return;
    };
    auto body = [&](Scope& scope) -> Task<> {
      const std::unique_ptr<int> seven = co_await scope.Start<std::unique_ptr<int>>(serve);
      EXPECT_EQ(*seven, 7);
      co_await Turns(2);
      EXPECT_EQ(scope.live_children(), 0u);
    };
    co_await WithScope(body);
  });
}

TEST(Start, OnceHandedOverTheScopesStopReachesTheChildAndItsErrorIsTheScopes) {
  InEveryWorld([]() -> Task<> {
    Gate gate;
    auto serve = [&](Started<> started) -> Task<> {
      started();
      co_await gate.Wait();
      throw std::runtime_error("later");
    };
    auto body = [&](Scope& scope) -> Task<> {
      co_await scope.Start(serve);
      co_await Turns(2);
      gate.Open();
      co_await Turns(100);
      ADD_FAILURE() << "not stopped";
    };
    const Outcome<> outcome = co_await AsOutcome(WithScope(body));
    EXPECT_EQ(HookLog::What(outcome.exception()), "later");
  });
}

TEST(Start, OnceHandedOverAStopOfTheStarterLeavesTheChildAlone) {
  InEveryWorld([]() -> Task<> {
    Gate gate;
    std::string log;
    auto serve = [&](Started<> started) -> Task<> {
      started();
      co_await gate.Wait();
      log += "served ";
    };
    auto outer = [&](Scope& scope) -> Task<> {
      auto starter = [&]() -> Task<> {
        co_await scope.Start(serve);
        co_await Turns(100);
      };
      TaskHandle<> task = scope.Spawn(starter);
      co_await Turns(6);
      task.RequestStop();
      co_await task.Join();
      co_await Turns(2);
      EXPECT_EQ(scope.live_children(), 1u);
      gate.Open();
    };
    co_await WithScope(outer);
    EXPECT_EQ(log, "served ");
  });
}

TEST(Start, WhenTheScopeIsStoppedAsTheChildReportsTheChildIsStoppedThere) {
  InEveryWorld([]() -> Task<> {
    std::string log;
    auto serve = [&](Scope* scope, Started<> started) -> Task<> {
      const NotesStop end(log, "child ");
      co_await Yield();
      scope->RequestStop();
      started();  // moves into a scope that is stopped already
      co_await Turns(100);
    };
    auto inner = [&](Scope& scope) -> Task<> {
      auto bound = [&](Started<> started) -> Task<> { co_await serve(&scope, std::move(started)); };
      auto start = [&]() -> Task<> { co_await scope.Start(bound); };
      (void)co_await AsOutcome(start());
      co_await Turns(100);
      log += "went on ";
    };
    co_await WithScope(inner);
    EXPECT_EQ(log, "child stopped ");
  });
}

// --- the scope stays open

TEST(Start, APendingOneKeepsAnEmptyScopeOpenAfterItsBodyHasEnded) {
  InEveryWorld([]() -> Task<> {
    Gate gate;
    std::string log;
    auto serve = [&](Started<> started) -> Task<> {
      co_await gate.Wait();
      started();
      co_await Turns(2);
      log += "served ";
    };
    auto outer = [&](Scope& outer_scope) -> Task<> {
      auto inner = [&](Scope& scope) -> Task<> {
        auto starter = [&]() -> Task<> {
          co_await scope.Start(serve);
          log += "started ";
        };
        outer_scope.Spawn(starter);
        co_await Turns(3);
        EXPECT_EQ(scope.live_children(), 1u);
      };
      auto opener = [&]() -> Task<> {
        co_await Turns(8);
        EXPECT_EQ(log, "");
        gate.Open();
      };
      outer_scope.Spawn(opener);
      co_await WithScope(inner);
      log += "joined ";
    };
    co_await WithScope(outer);
    EXPECT_EQ(log, "started served joined ");
  });
}

TEST(Start, APendingOneThatFailsLetsTheScopeEnd) {
  InEveryWorld([]() -> Task<> {
    Gate gate;
    std::string seen;
    auto serve = [&](Started<>) -> Task<> {
      co_await gate.Wait();
      throw std::runtime_error("no port");
    };
    auto outer = [&](Scope& outer_scope) -> Task<> {
      auto inner = [&](Scope& scope) -> Task<> {
        auto starter = [&]() -> Task<> {
          auto start = [&]() -> Task<> { co_await scope.Start(serve); };
          const Outcome<> outcome = co_await AsOutcome(start());
          seen = HookLog::What(outcome.exception());
        };
        outer_scope.Spawn(starter);
        co_await Turns(3);
      };
      auto opener = [&]() -> Task<> {
        co_await Turns(8);
        gate.Open();
      };
      outer_scope.Spawn(opener);
      co_await WithScope(inner);  // the error is the starter's, not this scope's
    };
    co_await WithScope(outer);
    EXPECT_EQ(seen, "no port");
  });
}

// --- a stop before the hand-over

TEST(Start, StoppedBeforeTheReportTheChildStaysIsStoppedOnceAndTheStartEndsStopped) {
  InSimulation([]() -> Task<> {
    int stops = 0;
    std::string log;
    auto serve = [&](Started<> started) -> Task<> {
      co_await testing::StubbornWait(10ms, stops);
      started();  // too late
      log += "reported ";
      const NotesStop end(log, "child ");
      co_await Yield();
      log += "went on ";
    };
    auto body = [&](Scope& scope) -> Task<> {
      auto starter = [&]() -> Task<> {
        co_await scope.Start(serve);
        log += "start returned ";
      };
      TaskHandle<> task = scope.Spawn(starter);
      co_await SleepFor(5ms);
      task.RequestStop("changed my mind");
      const Outcome<>& outcome = co_await task.Join();
      EXPECT_TRUE(outcome.stopped());
      EXPECT_EQ(outcome.stop_reason().message(), "changed my mind");
      EXPECT_FALSE(scope.StopRequested());
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "reported child stopped ");
    EXPECT_EQ(stops, 1);
  });
}

TEST(Start, StoppedBeforeTheReportAChildsErrorStillWins) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    std::string seen;
    auto serve = [&](Started<>) -> Task<> {
      (void)co_await AsOutcome(testing::WaitAt(never));
      throw std::runtime_error("clean-up");
    };
    auto body = [&](Scope& scope) -> Task<> {
      auto starter = [&]() -> Task<> {
        auto start = [&]() -> Task<> { co_await scope.Start(serve); };
        const Outcome<> outcome = co_await AsOutcome(start());
        seen = HookLog::What(outcome.exception());
      };
      TaskHandle<> task = scope.Spawn(starter);
      co_await Turns(4);
      task.RequestStop();
    };
    co_await WithScope(body);
    EXPECT_EQ(seen, "clean-up");
  });
}

TEST(Start, StoppedInTheTurnOfTheReportTheValueIsDeliveredAndTheNextAwaitIsStopped) {
  InEveryWorld([]() -> Task<> {
    std::string log;
    TaskHandle<> task;
    auto serve = [&](Started<int> started) -> Task<> {
      co_await Turns(2);
      started(7);
      task.RequestStop();  // handed over, and the starter has not run yet
      co_await Turns(2);
      log += "served ";
    };
    auto body = [&](Scope& scope) -> Task<> {
      auto starter = [&]() -> Task<> {
        const int value = co_await scope.Start<int>(serve);
        log += std::to_string(value) + " ";
        co_await Yield();
        log += "went on ";
      };
      task = scope.Spawn(starter);
      co_await Turns(1);
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "7 served ");
    task = TaskHandle<>();
  });
}

TEST(Start, InAStoppedScopeTheChildStartsAndIsStoppedAtItsFirstSuspension) {
  InEveryWorld([]() -> Task<> {
    std::string log;
    auto serve = [&](Started<> started) -> Task<> {
      const NotesStop end(log, "child ");
      log += "begun ";
      co_await Yield();
      started();
    };
    auto body = [&](Scope& scope) -> Task<> {
      scope.RequestStop();
      co_await scope.Start(serve);
      log += "went on ";
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "begun child stopped ");
  });
}

// --- a child that does not report

TEST(Start, AChildThatEndsWithoutTheReportIsAFailedPrecondition) {
  InEveryWorld([]() -> Task<> {
    auto silent = [](Started<>) -> Task<> { co_await Yield(); };
    auto silent_status = [](Started<int>) -> Task<absl::Status> { co_return absl::OkStatus(); };
    auto body = [&](Scope& scope) -> Task<> {
      auto start = [&]() -> Task<> { co_await scope.Start(silent); };
      const Outcome<> thrown = co_await AsOutcome(start());
      EXPECT_EQ(thrown.status().code(), absl::StatusCode::kFailedPrecondition);
      const absl::StatusOr<int> returned = co_await scope.Start<int>(silent_status);
      EXPECT_EQ(returned.status().code(), absl::StatusCode::kFailedPrecondition);
      EXPECT_FALSE(scope.StopRequested());
    };
    co_await WithScope(body);
  });
}

TEST(Start, AChildsBadStatusOrExceptionBeforeTheReportIsGivenHereAndIsNotTheScopes) {
  InEveryWorld([]() -> Task<> {
    auto bad = [](Started<>) -> Task<absl::Status> {
      co_await Yield();
      co_return absl::DataLossError("rotten");
    };
    auto fail = [](Started<>) -> Task<> { throw std::runtime_error("boom"); };
    auto body = [&](Scope& scope) -> Task<> {
      const absl::Status status = co_await scope.Start(bad);
      EXPECT_EQ(status, absl::DataLossError("rotten"));
      auto start = [&]() -> Task<> { co_await scope.Start(fail); };
      const Outcome<> outcome = co_await AsOutcome(start());
      EXPECT_EQ(HookLog::What(outcome.exception()), "boom");
      co_await Turns(2);
      EXPECT_FALSE(scope.StopRequested());
    };
    co_await WithScope(body);
  });
}

TEST(Start, GivesAStatusOrWhereTheChildsResultIsAStatus) {
  InEveryWorld([]() -> Task<> {
    auto serve = [](Started<int> started) -> Task<absl::Status> {
      started(80);
      co_await Yield();
      co_return absl::OkStatus();
    };
    auto body = [&](Scope& scope) -> Task<absl::Status> {
      const absl::StatusOr<int> port = co_await scope.Start<int>(serve);
      EXPECT_EQ(*port, 80);
      co_return absl::OkStatus();
    };
    const absl::Status status = co_await WithScope(body);
    EXPECT_TRUE(status.ok()) << status;
  });
}

TEST(Start, KeepsTheCallableAndItsArgumentsAsLongAsTheChild) {
  Counted::Reset();
  InEveryWorld([]() -> Task<> {
    std::string result;
    auto body = [&](Scope& scope) -> Task<> {
      {
        auto serve = [&result, text = std::string("a text too long for the small string buffer")](
                         Started<> started, std::unique_ptr<int> unique, Counted) -> Task<> {
          started();
          co_await Turns(3);
          result = text + std::to_string(*unique);
        };
        co_await scope.Start(std::move(serve), std::make_unique<int>(1), Counted());
      }
      EXPECT_EQ(Counted::live(), 2) << "the argument that was moved from, and the coroutine's parameter";
    };
    co_await WithScope(body);
    EXPECT_EQ(result, "a text too long for the small string buffer1");
  });
  EXPECT_EQ(Counted::copies(), 0);
  EXPECT_EQ(Counted::live(), 0);
}

// --- misuse

TEST(StartDeathTest, ReportingTwiceIsAUsageError) {
  EXPECT_DEATH(testing::OnEpoll([]() -> Task<> {
                 auto serve = [](Started<> started) -> Task<> {
                   started();
                   started();
                   co_return;
                 };
                 auto body = [&](Scope& scope) -> Task<> { co_await scope.Start(serve); };
                 co_await WithScope(body);
               }),
               "Started was called twice, or after its task had ended");
}

TEST(StartDeathTest, ReportingAfterTheChildHasEndedIsAUsageError) {
  EXPECT_DEATH(testing::OnEpoll([]() -> Task<> {
                 std::optional<Started<>> kept;
                 auto serve = [&](Started<> started) -> Task<> {
                   kept = std::move(started);
                   co_return;
                 };
                 auto body = [&](Scope& scope) -> Task<> {
                   auto start = [&]() -> Task<> { co_await scope.Start(serve); };
                   (void)co_await AsOutcome(start());
                   (*kept)();
                 };
                 co_await WithScope(body);
               }),
               "Started was called twice, or after its task had ended");
}

// The child has ended, and its starter has to wait for a turn because the budget of transfers is spent.
TEST(StartDeathTest, ReportingBetweenTheChildsEndAndTheStartersTurnIsAUsageError) {
  auto report_late = [](int awaits) {
    testing::InCalmSimulation([awaits]() -> Task<> {
      std::optional<Started<>> kept;
      Gate open;
      open.Open();
      auto serve = [&](Started<> started) -> Task<> {
        kept = std::move(started);
        co_await Yield();
        Loop::Current().CallSoon([&] { (*kept)(); });
        for (int i = 0; i < awaits; ++i) co_await open.Wait();
      };
      auto body = [&](Scope& scope) -> Task<> {
        auto start = [&]() -> Task<> { co_await scope.Start(serve); };
        (void)co_await AsOutcome(start());
        co_await Turns(3);
      };
      co_await WithScope(body);
    });
  };
  for (int awaits = internal::kTransferBudget - 4; awaits < internal::kTransferBudget; ++awaits) {
    EXPECT_DEATH(report_late(awaits), "Started was called twice, or after its task had ended") << awaits;
  }
}

}  // namespace
}  // namespace gyre
