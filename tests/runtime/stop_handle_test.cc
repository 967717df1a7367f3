#include "gyre/runtime/stop_handle.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/stop_reason.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/gate.h"
#include "gyre/tests/support/tasks.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using namespace std::chrono_literals;
using testing::Gate;
using testing::InEveryWorld;
using testing::OnEpoll;
using testing::Turns;
using testing::WaitAt;
using testing::Watch;

TEST(StopHandle, StopsAScopeFromAnotherThreadAndMayOutliveIt) {
  OnEpoll([]() -> Task<> {
    StopHandle stop;
    auto body = [&](Scope& scope) -> Task<absl::Status> {
      stop = scope.stop_handle();
      std::thread thread([stop] { stop.RequestStop("from outside"); });
      const Outcome<> outcome = co_await AsOutcome(SleepFor(kForever));
      thread.join();
      EXPECT_EQ(outcome.stop_reason().message(), "from outside");
      co_await Yield();
      co_return absl::OkStatus();
    };
    const absl::Status status = co_await WithScope(body);
    EXPECT_NE(status.message().find("from outside"), std::string::npos) << status;
    stop.RequestStop();
    co_await Yield();
  });
}

TEST(StopHandle, StopsATaskFromAnotherThreadAndTheOthersGoOn) {
  OnEpoll([]() -> Task<> {
    Gate gate;
    std::string log;
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<int> task = scope.Spawn(Watch, std::ref(gate), std::ref(log), std::string("a "));
      scope.Spawn(Watch, std::ref(gate), std::ref(log), std::string("b "));
      std::thread thread([stop = task.stop_handle()] { stop.RequestStop(); });
      const Outcome<int>& outcome = co_await task.Join();
      thread.join();
      EXPECT_TRUE(outcome.stopped());
      EXPECT_FALSE(scope.StopRequested());
      gate.Open();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "a stopped b passed ");
  });
}

TEST(StopHandle, OnTheLoopsOwnThreadTakesEffectAtOnceAndResumesNobody) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    std::string log;
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(Watch, std::ref(never), std::ref(log), std::string());
      co_await Turns(2);
      scope.stop_handle().RequestStop();
      EXPECT_TRUE(scope.StopRequested());
      EXPECT_EQ(never.waiting(), 0u);
      EXPECT_EQ(log, "");
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "stopped ");
  });
}

TEST(StopHandle, TwiceIsOnceAndTheFirstReasonStays) {
  InEveryWorld([]() -> Task<> {
    auto body = [](Scope& scope) -> Task<absl::Status> {
      const StopHandle stop = scope.stop_handle();
      const StopHandle other = scope.stop_handle();
      stop.RequestStop("first");
      other.RequestStop("second");
      scope.RequestStop("third");
      co_await Yield();
      co_return absl::OkStatus();
    };
    const absl::Status status = co_await WithScope(body);
    EXPECT_NE(status.message().find("first"), std::string::npos) << status;
  });
}

TEST(StopHandle, OfATaskThatHasEndedTouchesNoTaskThatCameAfterIt) {
  InEveryWorld([]() -> Task<> {
    std::string log;
    auto nothing = []() -> Task<> { co_return; };
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> old = scope.Spawn(nothing);
      const StopHandle stop = old.stop_handle();
      co_await old.Join();
      const StopHandle late = old.stop_handle();
      old = TaskHandle<>();  // its block is free now
      auto younger = [&]() -> Task<> {
        co_await Turns(5);
        log += "went on ";
      };
      for (int i = 0; i < 3; ++i) scope.Spawn(younger);
      co_await Turns(2);
      stop.RequestStop();
      late.RequestStop();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "went on went on went on ");
  });
}

TEST(StopHandle, ARequestThatIsStillOnItsWayWhenTheScopeEndsDoesNothing) {
  OnEpoll([]() -> Task<> {
    for (int i = 0; i < 100; ++i) {
      auto body = [](Scope& scope) -> Task<> {
        std::thread([stop = scope.stop_handle()] { stop.RequestStop(); }).join();
        co_return;  // the loop has not looked into its inbox since
      };
      co_await WithScope(body);
    }
    co_await Turns(3);
  });
}

TEST(StopHandle, ARequestThatTheEndOfItsLoopFindsIsNoCallbackThatWasDropped) {
  RunReport report;
  auto body = [](Scope& scope) -> Task<> {
    std::thread([stop = scope.stop_handle()] { stop.RequestStop(); }).join();
    Loop::Current().Post([] { ADD_FAILURE(); });
    co_return;  // the loop has not looked into its inbox since
  };
  gyre::Run(RunOptions().set_report(&report), body);
  EXPECT_EQ(report.dropped_callbacks, 1u) << "the post";
}

TEST(StopHandle, MayOutliveItsLoopAndItsRuntime) {
  StopHandle stop;
  StopHandle requested_at_the_end;
  OnEpoll([&]() -> Task<> {
    auto body = [&](Scope& scope) -> Task<> {
      stop = scope.stop_handle();
      co_return;
    };
    co_await WithScope(body);
    auto last = [&](Scope& scope) -> Task<> {
      requested_at_the_end = scope.stop_handle();
      std::thread([&] { requested_at_the_end.RequestStop(); }).join();
      co_return;
    };
    co_await WithScope(last);
  });
  stop.RequestStop();
  requested_at_the_end.RequestStop();
}

TEST(StopHandle, AnEmptyOneDoesNothing) { StopHandle().RequestStop("nobody"); }

TEST(StopHandle, ATaskStoppedBeforeItStartedEndsAtItsFirstSuspension) {
  OnEpoll([]() -> Task<> {
    std::string log;
    auto child = [&]() -> Task<> {
      log += "started ";
      co_await Yield();
      log += "went on ";
    };
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> task = scope.Spawn(child);
      std::thread([stop = task.stop_handle()] { stop.RequestStop(); }).join();
      // The request came first into the inbox, but the task was ready before: both orders are allowed, losing is not.
      const Outcome<>& outcome = co_await task.Join();
      EXPECT_TRUE(outcome.stopped() || log == "started went on ");
    };
    co_await WithScope(body);
  });
}

TEST(StopHandle, MadeInsideAStopThatItCausesItMayBeUsedFromThere) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    auto body = [&](Scope& scope) -> Task<> {
      auto other = [&](Scope& inner) -> Task<> {
        const StopHandle stop = inner.stop_handle();
        std::stop_callback on_stop(scope.stop_token(), [stop] { stop.RequestStop("chained"); });
        co_await never.Wait();
      };
      auto run = [&]() -> Task<> { co_await WithScope(other); };
      scope.Spawn(run);
      co_await Turns(3);
      scope.RequestStop();
    };
    co_await WithScope(body);
    EXPECT_EQ(never.waiting(), 0u);
  });
}

// --- why, where and by whom

TEST(StopReason, SaysTheMessageThePlaceAndTheTaskThatAsked) {
  InEveryWorld([]() -> Task<> {
    StopReason seen;
    uint64_t asker_id = 0;
    Gate never;
    auto victim = [&]() -> Task<> {
      const Outcome<> outcome = co_await AsOutcome(WaitAt(never));
      seen = outcome.stop_reason();
    };
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> task = scope.Spawn(victim);
      auto ask = [&]() -> Task<> {
        co_await Turns(3);
        task.RequestStop("enough");
      };
      asker_id = scope.SpawnNamed("asker", ask).id();
      co_await task.Join();
    };
    co_await WithScope(body);
    EXPECT_EQ(seen.message(), "enough");
    EXPECT_TRUE(std::string(seen.where().file_name()).ends_with("stop_handle_test.cc")) << seen.ToString();
    EXPECT_EQ(seen.by_task_id(), asker_id);
    EXPECT_EQ(seen.by_task_name(), "asker");
    EXPECT_NE(seen.ToString().find("by task " + std::to_string(asker_id) + " \"asker\""), std::string::npos);
  });
}

TEST(StopReason, NamesNoTaskForACallbackATimerOrAnotherThread) {
  OnEpoll([]() -> Task<> {
    enum class Asker { kCallback, kTimer, kThread };
    for (const Asker asker : {Asker::kCallback, Asker::kTimer, Asker::kThread}) {
      auto body = [asker](Scope& scope) -> Task<> {
        std::thread thread;
        auto ask = [&scope] { scope.RequestStop("asked"); };
        if (asker == Asker::kCallback) Loop::Current().CallSoon(ask);
        if (asker == Asker::kTimer) (void)Loop::Current().CallLater(1ms, ask);
        if (asker == Asker::kThread) thread = std::thread([stop = scope.stop_handle()] { stop.RequestStop("asked"); });
        const Outcome<> outcome = co_await AsOutcome(SleepFor(kForever));
        if (thread.joinable()) thread.join();
        EXPECT_EQ(outcome.stop_reason().message(), "asked");
        EXPECT_EQ(outcome.stop_reason().by_task_id(), 0u);
        EXPECT_EQ(outcome.stop_reason().by_task_name(), "");
      };
      auto work = [&]() -> Task<> { co_await WithScope(body); };
      auto outer = [&](Scope& scope) -> Task<> {
        scope.SpawnNamed("victim", work);
        co_return;
      };
      co_await WithScope(outer);
    }
  });
}

TEST(StopReason, OfAnInnerScopeIsTheNearestRequestAboveIt) {
  InEveryWorld([]() -> Task<> {
    auto inner = [](Scope& scope) -> Task<> {
      EXPECT_EQ(scope.stop_reason().message(), "outer");
      scope.RequestStop("inner");
      EXPECT_EQ(scope.stop_reason().message(), "inner");
      co_return;
    };
    auto outer = [&](Scope& scope) -> Task<> {
      EXPECT_EQ(scope.stop_reason().message(), "");
      scope.RequestStop("outer");
      co_await WithScope(inner);
    };
    co_await WithScope(outer);
  });
}

TEST(StopReason, OfSiblingsOfAChildThatFailedSaysSo) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    std::string reason;
    auto sibling = [&]() -> Task<> {
      const Outcome<> outcome = co_await AsOutcome(WaitAt(never));
      reason = outcome.stop_reason().message();
    };
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(sibling);
      scope.Spawn(testing::Throw, 3, std::string("boom"));
      co_return;
    };
    (void)co_await AsOutcome(WithScope(body));
    EXPECT_EQ(reason, "a task failed");
  });
}

// --- std::stop_token

TEST(ScopeStopToken, IsSetByAStopOfTheScopeOrOfOneAroundItAndItsCallbackRunsInside) {
  InEveryWorld([]() -> Task<> {
    bool was_called = false;
    auto inner = [&](Scope& scope) -> Task<> {
      const std::stop_token token = scope.stop_token();
      std::stop_callback on_stop(token, [&] { was_called = true; });
      EXPECT_FALSE(token.stop_requested());
      const Outcome<> outcome = co_await AsOutcome(SleepFor(kForever));
      EXPECT_TRUE(token.stop_requested());
      EXPECT_TRUE(outcome.stopped());
    };
    auto run = [&]() -> Task<> { co_await WithScope(inner); };
    auto outer = [&](Scope& scope) -> Task<> {
      scope.Spawn(run);
      co_await Turns(3);
      scope.RequestStop();
      EXPECT_TRUE(was_called);
    };
    co_await WithScope(outer);
  });
}

TEST(ScopeStopToken, OfAScopeThatIsStoppedAlreadyIsSet) {
  InEveryWorld([]() -> Task<> {
    auto body = [](Scope& scope) -> Task<> {
      scope.RequestStop();
      EXPECT_TRUE(scope.stop_token().stop_requested());
      co_return;
    };
    co_await WithScope(body);
  });
}

TEST(ScopeStopToken, OfAScopeThatEndsUnstoppedStaysUnset) {
  InEveryWorld([]() -> Task<> {
    std::stop_token token;
    auto body = [&](Scope& scope) -> Task<> {
      token = scope.stop_token();
      co_return;
    };
    co_await WithScope(body);
    EXPECT_FALSE(token.stop_requested());
  });
}

// --- misuse

TEST(ScopeDeathTest, AScopeAndATaskHandleBelongToTheirLoopsThread) {
  auto misuse = [](auto use) {
    OnEpoll([use]() -> Task<> {
      auto body = [use](Scope& scope) -> Task<> {
        TaskHandle<> task = scope.Spawn(Turns, 1);
        std::thread([&] { use(scope, task); }).join();
        co_return;
      };
      co_await WithScope(body);
    });
  };
  const std::string expected = "on another thread than its loop's; its loop runs on thread \".+\" \\(.+\\), and this is thread \"";
  EXPECT_DEATH(misuse([](Scope& scope, TaskHandle<>&) { scope.RequestStop(); }), expected);
  EXPECT_DEATH(misuse([](Scope& scope, TaskHandle<>&) { (void)scope.stop_handle(); }), expected);
  EXPECT_DEATH(misuse([](Scope&, TaskHandle<>& task) { task.RequestStop(); }), expected);
}

}  // namespace
}  // namespace gyre
