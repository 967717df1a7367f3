#include "gyre/runtime/run_on.h"

#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/bridge.h"
#include "gyre/runtime/context_var.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/runtime.h"
#include "gyre/runtime/shielded.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/counted.h"
#include "gyre/tests/support/gate.h"
#include "gyre/tests/support/simulated_loops.h"
#include "gyre/tests/support/tasks.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using namespace std::chrono_literals;
using testing::Counted;
using testing::EndStoppedByItself;
using testing::Gate;
using testing::Give;
using testing::HookLog;
using testing::InEveryWorld;
using testing::OnLoopsEverywhere;
using testing::Throw;
using testing::Turns;

// Runs `root(other)` with another loop beside its own, on threads and in simulations; and with its own as the other, in
// every world.
template <class Root>
void WithAnotherLoop(Root root) {
  OnLoopsEverywhere(2, [&root](Runtime& runtime) {
    auto on_first = [&]() -> Task<> { return root(runtime.loop(1)); };
    runtime.Run(on_first);
  });
  SCOPED_TRACE("its own loop");
  InEveryWorld([&]() -> Task<> { return root(Loop::Current()); });
}

Task<> Nothing() { co_return; }
Task<std::unique_ptr<int>> GiveOwned(std::unique_ptr<int> value) { co_return value; }
Task<absl::StatusOr<int>> Bad() { co_return absl::NotFoundError("none"); }
Task<std::string> Join(std::string left, const std::string& right) { co_return left + right; }

TEST(RunOn, GivesWhatTheOtherSideGives) {
  WithAnotherLoop([](Loop& other) -> Task<> {
    const int from_task = co_await RunOn(other, Give, 3);
    EXPECT_EQ(from_task, 3);
    const int from_function = co_await RunOn(other, [](int value) { return value + 1; }, 3);
    EXPECT_EQ(from_function, 4);
    co_await RunOn(other, Nothing);
    bool has_run = false;
    co_await RunOn(other, [&has_run] { has_run = true; });
    EXPECT_TRUE(has_run);
    std::unique_ptr<int> owned = co_await RunOn(other, GiveOwned, std::make_unique<int>(5));
    EXPECT_EQ(*owned, 5);
    const std::string right = "right";
    const std::string joined = co_await RunOn(other, Join, std::string("left "), std::ref(right));
    EXPECT_EQ(joined, "left right");
    const std::string& same = co_await RunOn(other, [&right]() -> const std::string& { return right; });
    EXPECT_EQ(&same, &right);
  });
}

TEST(RunOn, GivesErrorsAsTheyAre) {
  WithAnotherLoop([](Loop& other) -> Task<> {
    const absl::StatusOr<int> status = co_await RunOn(other, Bad);
    EXPECT_EQ(status.status(), absl::NotFoundError("none"));
    const Outcome<int> from_task = co_await AsOutcome(RunOn(other, Throw, 2, "late"));
    EXPECT_EQ(HookLog::What(from_task.exception()), "late");
    auto throws = []() -> int { throw std::runtime_error("at once"); };
    const Outcome<int> from_function = co_await AsOutcome(RunOn(other, throws));
    EXPECT_EQ(HookLog::What(from_function.exception()), "at once");
  });
}

TEST(RunOn, RunsThereAndGoesOnHere) {
  Runtime runtime(RuntimeOptions().set_loops(2));
  auto root = [&]() -> Task<> {
    const std::thread::id here = std::this_thread::get_id();
    Loop& own = Loop::Current();
    auto where = []() -> Task<std::pair<Loop*, std::thread::id>> {
      co_await Yield();
      co_return std::pair(&Loop::Current(), std::this_thread::get_id());
    };
    const auto [loop, thread] = co_await RunOn(runtime.loop(1), where);
    EXPECT_EQ(loop, &runtime.loop(1));
    EXPECT_NE(thread, here);
    EXPECT_EQ(&Loop::Current(), &own);
    EXPECT_EQ(std::this_thread::get_id(), here);
  };
  runtime.Run(root);
}

// [J11]
TEST(RunOn, AStopGoesToTheOtherSideAndComesBackWhenThatHasEnded) {
  WithAnotherLoop([](Loop& other) -> Task<> {
    std::string log;
    auto work = [&log]() -> Task<> {
      const Outcome<> outcome = co_await AsOutcome(SleepFor(kForever));
      log += outcome.stopped() ? "told " : "?";
      static_cast<void>(co_await AsOutcome(Shielded(kForever, Turns(3))));
      log += "ended ";
    };
    auto body = [&](Scope& scope) -> Task<> {
      auto call = [&]() -> Task<> {
        const Outcome<> outcome = co_await AsOutcome(RunOn(other, work));
        log += outcome.stopped() ? "stopped" : "has a value";
      };
      TaskHandle<> task = scope.Spawn(call);
      co_await Turns(2);
      task.RequestStop();
      co_await task.Join();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "told ended has a value") << "what has its end in spite of the stop is delivered";
  });
}

TEST(RunOn, AStopThatUnwindsTheOtherSideUnwindsThisOne) {
  WithAnotherLoop([](Loop& other) -> Task<> {
    std::string log;
    auto work = [&log]() -> Task<> {
      const testing::NotesStop end(log, "there ");
      co_await SleepFor(kForever);
    };
    auto body = [&](Scope& scope) -> Task<> {
      auto call = [&]() -> Task<> {
        const testing::NotesStop end(log, "here ");
        co_await RunOn(other, work);
      };
      TaskHandle<> task = scope.Spawn(call);
      co_await Turns(2);
      task.RequestStop("enough");
      const Outcome<>& outcome = co_await task.Join();
      EXPECT_TRUE(outcome.stopped());
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "there stopped here stopped ");
  });
}

TEST(RunOn, TheOtherSideLearnsWhyItWasStopped) {
  WithAnotherLoop([](Loop& other) -> Task<> {
    std::string why;
    auto work = [&why]() -> Task<> {
      const Outcome<> outcome = co_await AsOutcome(SleepFor(kForever));
      why = outcome.stop_reason().message();
    };
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn([&]() -> Task<> { co_await RunOn(other, work); });
      co_await Turns(2);
      scope.RequestStop("enough");
    };
    co_await WithScope(body);
    EXPECT_EQ(why, "enough");
  });
}

TEST(RunOn, InAStoppedScopeNothingIsSent) {
  WithAnotherLoop([](Loop& other) -> Task<> {
    bool has_run = false;
    auto body = [&](Scope& scope) -> Task<> {
      scope.RequestStop();
      co_await RunOn(other, [&has_run] { has_run = true; });
    };
    co_await WithScope(body);
    co_await RunOn(other, Nothing);
    EXPECT_FALSE(has_run);
  });
}

TEST(RunOn, WhatEndsStoppedByItselfEndsTheAwaitSo) {
  WithAnotherLoop([](Loop& other) -> Task<> {
    const Outcome<int> outcome = co_await AsOutcome(RunOn(other, EndStoppedByItself));
    EXPECT_TRUE(outcome.stopped());
  });
}

TEST(RunOn, DestroysFrameThereAndClosureHere) {
  WithAnotherLoop([](Loop& other) -> Task<> {
    Counted::Reset();
    Counted in_closure;
    auto work = [in_closure](Counted) -> Task<int> {
      Counted local;
      co_return Counted::live();
    };
    co_await RunOn(other, std::move(work), Counted());
    EXPECT_EQ(Counted::live(), 2) << "in_closure and what is left of work";
  });
}

inline ContextVar<int> request;

TEST(RunOn, ContextValuesGoAlongAndChangesStayThere) {
  WithAnotherLoop([](Loop& other) -> Task<> {
    request.Set(7);
    auto look = []() -> Task<int> {
      const int* seen = request.Get();
      const int before = seen != nullptr ? *seen : 0;
      request.Set(8);
      co_return before;
    };
    const int seen = co_await RunOn(other, look);
    EXPECT_EQ(seen, 7);
    EXPECT_EQ(*request.Get(), 7);
  });
}

// Each waits for the other, to any depth: neither loop blocks.
Task<int> CallDown(Runtime& runtime, int left) {
  if (left == 0) co_return 0;
  const int below = co_await RunOn(runtime.loop(static_cast<size_t>(left % 2)), CallDown, std::ref(runtime), left - 1);
  co_return below + 1;
}

TEST(RunOn, LoopsMayCallOneAnotherInTurns) {
  Runtime runtime(RuntimeOptions().set_loops(2));
  auto root = [&]() -> Task<int> { return CallDown(runtime, 1000); };
  EXPECT_EQ(runtime.Run(root), 1000);
}

TEST(RunOn, WhatRunsOnALoopIsStoppedWhenItsRootHasEnded) {
  std::string log;
  Bridge<Loop*> other;
  Bridge<> is_there;
  std::thread thread([&] {
    auto root = [&]() -> Task<> {
      other.Complete(&Loop::Current());
      co_await is_there.Wait();
    };
    gyre::Run(root);
    log += "loop ended ";
  });
  auto call = [&]() -> Task<> {
    Loop* loop = co_await other.Wait();
    auto guest = [&]() -> Task<> {
      const testing::NotesStop end(log, "guest ");
      is_there.Complete();
      co_await SleepFor(kForever);
    };
    const Outcome<> outcome = co_await AsOutcome(RunOn(*loop, guest));
    EXPECT_TRUE(outcome.stopped());
  };
  gyre::Run(call);
  thread.join();
  EXPECT_EQ(log, "guest stopped loop ended ");
}

// A loop that has ended, whose object is still there. [D27]
TEST(RunOn, OfALoopThatHasEndedIsUnavailable) {
  absl::StatusOr<std::unique_ptr<Backend>> backend = internal::MakeBackend(RunOptions());
  ASSERT_TRUE(backend.ok());
  Loop ended(**backend);
  const bool is_done = true;
  ended.RunUntil(is_done);
  auto root = [&]() -> Task<> {
    const Outcome<int> outcome = co_await AsOutcome(RunOn(ended, Give, 1));
    EXPECT_EQ(outcome.status().code(), absl::StatusCode::kUnavailable);
    const absl::StatusOr<int> status = co_await RunOn(ended, Bad);
    EXPECT_EQ(status.status().code(), absl::StatusCode::kUnavailable);
  };
  gyre::Run(root);
}

// --- SpawnOn

TEST(SpawnOn, IsAChildLikeAnyOther) {
  WithAnotherLoop([](Loop& other) -> Task<> {
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<int> gives = SpawnOn(scope, other, Give, 3);
      TaskHandle<> sleeps = SpawnOn(scope, other, []() -> Task<> { co_await SleepFor(kForever); });
      const Outcome<int>& outcome = co_await gives.Join();
      EXPECT_EQ(outcome.value(), 3);
      sleeps.RequestStop();
      const Outcome<>& stopped = co_await sleeps.Join();
      EXPECT_TRUE(stopped.stopped());
      SpawnOn(scope, other, Throw, 1, "over there");
      co_await SleepFor(kForever);
    };
    const Outcome<> outcome = co_await AsOutcome(WithScope(body));
    EXPECT_EQ(HookLog::What(outcome.exception()), "over there");
  });
}

}  // namespace
}  // namespace gyre
