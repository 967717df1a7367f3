#include "gyre/runtime/with_cleanup.h"

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
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
using testing::Give;
using testing::HookLog;
using testing::InEveryWorld;
using testing::InSimulation;
using testing::NotesStop;
using testing::Now;
using testing::Throw;
using testing::Turns;
using testing::WaitAt;

Task<> FailLate(std::string text) {
  co_await Yield();
  throw std::runtime_error(text);
}
Task<absl::Status> BadStatus(std::string text) {
  co_await Yield();
  co_return absl::DataLossError(text);
}
Task<absl::Status> GoodStatus() { co_return absl::OkStatus(); }

// --- when it runs

TEST(WithCleanup, RunsAfterAValueWhichIsThenGiven) {
  InEveryWorld([]() -> Task<> {
    std::string log;
    auto body = [&]() -> Task<int> {
      co_await Yield();
      log += "body ";
      co_return 42;
    };
    auto cleanup = [&]() -> Task<> {
      co_await Yield();
      log += "cleanup ";
    };
    const int value = co_await WithCleanup(body, cleanup);
    EXPECT_EQ(value, 42);
    EXPECT_EQ(log, "body cleanup ");
  });
}

TEST(WithCleanup, RunsAfterAnExceptionWhichIsThenRethrown) {
  InEveryWorld([]() -> Task<> {
    std::string log;
    auto cleanup = [&]() -> Task<> {
      co_await Yield();
      log += "cleanup ";
    };
    try {
      (void)co_await WithCleanup(Throw(1, "boom"), cleanup);
    } catch (const std::runtime_error& error) {
      log += error.what();
    }
    EXPECT_EQ(log, "cleanup boom");
  });
}

TEST(WithCleanup, RunsAfterAStopAndPassesItOnWithItsReason) {
  InSimulation([]() -> Task<> {
    std::string log;
    auto cleanup = [&]() -> Task<> {
      co_await SleepFor(1ms);
      log += "cleanup ";
    };
    auto work = [&]() -> Task<> {
      co_await WithCleanup(SleepFor(1h), cleanup);
      log += "not reached";
    };
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> task = scope.Spawn(work);
      co_await SleepFor(1ms);
      task.RequestStop("enough");
      const Outcome<>& outcome = co_await task.Join();
      EXPECT_TRUE(outcome.stopped());
      EXPECT_EQ(outcome.stop_reason().message(), "enough");
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "cleanup ");
  });
}

TEST(WithCleanup, NestedOnesRunInReverseOrderToTheirEndsWhenStopped) {
  InSimulation([]() -> Task<> {
    std::string log;
    auto first = [&]() -> Task<> {
      co_await SleepFor(1ms);
      log += "first ";
    };
    auto second = [&]() -> Task<> {
      co_await SleepFor(1ms);
      log += "second ";
    };
    auto work = [&]() -> Task<> { co_await WithCleanup(WithCleanup(SleepFor(1h), second), first); };
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(work);
      co_await SleepFor(1ms);
      scope.RequestStop();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "second first ");
  });
}

TEST(WithCleanup, ABodyThatEndsStoppedByItselfIsCleanedUpAndPassedOnToo) {
  InEveryWorld([]() -> Task<> {
    bool was_cleaned = false;
    auto cleanup = [&]() -> Task<> {
      co_await Yield();
      was_cleaned = true;
    };
    const Outcome<int> outcome = co_await AsOutcome(WithCleanup(testing::EndStoppedByItself(), cleanup));
    EXPECT_TRUE(outcome.stopped());
    EXPECT_TRUE(was_cleaned);
  });
}

TEST(WithCleanup, InAStoppedScopeBodyAndCleanUpBothRunAsFarAsTheyMay) {
  InEveryWorld([]() -> Task<> {
    Gate open;
    open.Open();
    std::string log;
    auto cleanup = [&]() -> Task<> {
      co_await open.Wait();
      log += "cleanup ";
    };
    auto body = [&](Scope& scope) -> Task<> {
      scope.RequestStop();
      co_await WithCleanup(WaitAt(open), cleanup);
      log += "went on ";
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "cleanup ");
    EXPECT_EQ(open.asked(), 1u) << "by the clean-up alone";
  });
}

TEST(WithCleanup, NotAwaitedNeitherBodyNorCleanUpRuns) {
  InEveryWorld([]() -> Task<> {
    bool has_run = false;
    auto run = [&]() -> Task<> {
      has_run = true;
      co_return;
    };
    { [[maybe_unused]] auto unused = WithCleanup(run, run); }
    co_await Yield();
    EXPECT_FALSE(has_run);
  });
}

// --- the grace time

TEST(WithCleanup, ACleanUpThatOutstaysItsGraceIsStoppedAndThatReachesTheHookWithTheTasksName) {
  InSimulation([]() -> Task<> {
    HookLog hook;
    hook.Attach();
    const TimePoint begin = Now();
    std::string log;
    auto cleanup = [&]() -> Task<> {
      const NotesStop end(log, "cleanup ");
      co_await SleepFor(1h);
    };
    auto work = [&]() -> Task<> { co_await WithCleanup(SleepFor(1h), cleanup, 20ms); };
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> task = scope.SpawnNamed("worker", work);
      co_await SleepFor(5ms);
      task.RequestStop();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "cleanup stopped ");
    EXPECT_EQ(Now() - begin, 25ms);
    EXPECT_EQ(hook.errors.size(), 1u);
    if (!hook.errors.empty()) {
      EXPECT_EQ(hook.errors[0].task_name, "worker");
      EXPECT_NE(hook.Texts()[0].find("DEADLINE_EXCEEDED"), std::string::npos) << hook.Texts()[0];
    }
    Loop::Current().SetUnhandledErrorHook(nullptr);
  });
}

TEST(WithCleanup, AStopDuringTheCleanUpLeavesItItsGraceAndTheValueIsGiven) {
  InSimulation([]() -> Task<> {
    std::string log;
    auto cleanup = [&]() -> Task<> {
      co_await SleepFor(10ms);
      log += "cleanup ";
    };
    auto work = [&]() -> Task<> {
      const int value = co_await WithCleanup(Give(42), cleanup, 20ms);
      log += std::to_string(value) + " ";
      co_await Yield();
      log += "went on ";
    };
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(work);
      co_await SleepFor(5ms);
      scope.RequestStop();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "cleanup 42 ");
  });
}

TEST(WithCleanup, WithoutAStopACleanUpMayTakeAsLongAsItLikes) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Now();
    auto cleanup = []() -> Task<> { co_await SleepFor(10h); };
    const int value = co_await WithCleanup(Give(42), cleanup, 20ms);
    EXPECT_EQ(value, 42);
    EXPECT_EQ(Now() - begin, 10h);
  });
}

TEST(WithCleanup, TheGraceOfAnOuterOneBeginsWithItsOwnCleanUp) {
  InSimulation([]() -> Task<> {
    HookLog hook;
    hook.Attach();
    std::string log;
    auto slow = [&]() -> Task<> {
      co_await SleepFor(15ms);
      log += "cleanup ";
    };
    auto work = [&]() -> Task<> { co_await WithCleanup(WithCleanup(SleepFor(1h), slow, 20ms), slow, 20ms); };
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(work);
      co_await SleepFor(5ms);
      scope.RequestStop();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "cleanup cleanup ") << "30 ms after the stop";
    EXPECT_TRUE(hook.errors.empty());
    Loop::Current().SetUnhandledErrorHook(nullptr);
  });
}

TEST(WithCleanup, ACleanUpMayUseATimeoutOfItsOwnInATaskThatIsStopped) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Now();
    absl::Status status;
    auto cleanup = [&]() -> Task<> { status = co_await Timeout(3ms, SleepFor(1h)); };
    auto body = [&](Scope& scope) -> Task<> {
      scope.RequestStop();
      co_await WithCleanup(SleepFor(1h), cleanup);
    };
    co_await WithScope(body);
    EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
    EXPECT_EQ(Now() - begin, 3ms);
  });
}

TEST(WithCleanup, ACleanUpMaySpawnInATaskThatIsStopped) {
  InEveryWorld([]() -> Task<> {
    int ended = 0;
    auto child = [&]() -> Task<> {
      co_await Turns(2);
      ++ended;
    };
    auto crew = [&](Scope& scope) -> Task<> {
      for (int i = 0; i < 3; ++i) scope.Spawn(child);
      co_return;
    };
    auto cleanup = [&]() -> Task<> { co_await WithScope(crew); };
    auto body = [&](Scope& scope) -> Task<> {
      scope.RequestStop();
      co_await WithCleanup(Turns(1), cleanup);
    };
    co_await WithScope(body);
    EXPECT_EQ(ended, 3);
  });
}

// --- errors

TEST(WithCleanup, AnErrorOfTheCleanUpIsGivenIfTheBodyEndedWell) {
  InEveryWorld([]() -> Task<> {
    auto fail = []() -> Task<> { co_await FailLate("cleanup"); };
    const Outcome<int> thrown = co_await AsOutcome(WithCleanup(Give(1), fail));
    EXPECT_EQ(HookLog::What(thrown.exception()), "cleanup");
    auto bad = []() -> Task<absl::Status> { co_return co_await BadStatus("cleanup"); };
    const absl::Status status = co_await WithCleanup(GoodStatus(), bad);
    EXPECT_EQ(status, absl::DataLossError("cleanup"));
    const Outcome<int> as_error = co_await AsOutcome(WithCleanup(Give(1), bad));
    EXPECT_EQ(as_error.status(), absl::DataLossError("cleanup")) << "as StatusError, where there is no place for one";
  });
}

TEST(WithCleanup, TheBodysErrorWinsAndTheCleanUpsReachesTheHook) {
  InEveryWorld([]() -> Task<> {
    HookLog hook;
    hook.Attach();
    auto fail = []() -> Task<> { co_await FailLate("cleanup"); };
    const Outcome<int> thrown = co_await AsOutcome(WithCleanup(Throw(1, "body"), fail));
    EXPECT_EQ(HookLog::What(thrown.exception()), "body");
    const absl::Status status = co_await WithCleanup(BadStatus("body"), fail);
    EXPECT_EQ(status, absl::DataLossError("body"));
    EXPECT_EQ(hook.Texts(), (std::vector<std::string>{"cleanup", "cleanup"}));
    Loop::Current().SetUnhandledErrorHook(nullptr);
  });
}

TEST(WithCleanup, AnErrorOfTheCleanUpAfterAStopReachesTheHookAndTheStopGoesOn) {
  InEveryWorld([]() -> Task<> {
    HookLog hook;
    hook.Attach();
    Gate never;
    auto fail = []() -> Task<> { co_await FailLate("cleanup"); };
    auto work = [&]() -> Task<> { co_await WithCleanup(WaitAt(never), fail); };
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> task = scope.SpawnNamed("worker", work);
      co_await Turns(3);
      task.RequestStop();
      const Outcome<>& outcome = co_await task.Join();
      EXPECT_TRUE(outcome.stopped());
    };
    co_await WithScope(body);
    EXPECT_EQ(hook.Texts(), std::vector<std::string>{"cleanup"});
    EXPECT_EQ(hook.errors.at(0).task_name, "worker");
    Loop::Current().SetUnhandledErrorHook(nullptr);
  });
}

TEST(WithCleanup, ACleanUpThatThrowsBeforeItIsACoroutineIsAnErrorLikeAnyOther) {
  InEveryWorld([]() -> Task<> {
    auto fail = []() -> Task<> { throw std::runtime_error("early"); };
    const Outcome<int> thrown = co_await AsOutcome(WithCleanup(Give(1), fail));
    EXPECT_EQ(HookLog::What(thrown.exception()), "early");
    bool was_cleaned = false;
    auto clean = [&]() -> Task<> {
      was_cleaned = true;
      co_return;
    };
    const Outcome<> body = co_await AsOutcome(WithCleanup(fail, clean));
    EXPECT_EQ(HookLog::What(body.exception()), "early");
    EXPECT_TRUE(was_cleaned);
  });
}

// --- results

TEST(WithCleanup, KeepsResultsOfEveryKindWithoutCopying) {
  Counted::Reset();
  InEveryWorld([]() -> Task<> {
    int number = 5;
    auto clean = []() -> Task<> { co_await Yield(); };
    auto give_counted = []() -> Task<Counted> { co_return Counted(); };
    const testing::Fixed fixed = co_await WithCleanup(testing::GiveFixed(3), clean);
    EXPECT_EQ(fixed.number, 3);
    const std::unique_ptr<int> unique = co_await WithCleanup(testing::GiveUnique(4), clean);
    EXPECT_EQ(*unique, 4);
    int& lvalue = co_await WithCleanup(testing::Refer(number), clean);
    EXPECT_EQ(&lvalue, &number);
    int&& rvalue = co_await WithCleanup(testing::Move(number), clean);
    EXPECT_EQ(&rvalue, &number);
    const Counted counted = co_await WithCleanup(give_counted, clean);
    (void)counted;
  });
  EXPECT_EQ(Counted::copies(), 0);
  EXPECT_EQ(Counted::live(), 0);
}

TEST(WithCleanup, AnExceptionPointerHeldAcrossTheCleanUpIsStillTheSameOne) {
  InEveryWorld([]() -> Task<> {
    const auto error = std::make_exception_ptr(std::runtime_error("kept"));
    auto body = [error]() -> Task<> {
      co_await Yield();
      std::rethrow_exception(error);
    };
    auto clean = []() -> Task<> {
      try {
        throw std::logic_error("another one, handled");
      } catch (const std::logic_error&) {
      }
      co_await Yield();
    };
    const Outcome<> outcome = co_await AsOutcome(WithCleanup(body, clean));
    EXPECT_EQ(outcome.exception(), error);
  });
}

}  // namespace
}  // namespace gyre
