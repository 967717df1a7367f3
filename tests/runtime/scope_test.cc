#include "gyre/runtime/scope.h"

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/counted.h"
#include "gyre/tests/support/gate.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using namespace std::chrono_literals;
using testing::Counted;
using testing::Gate;
using testing::HookLog;
using testing::InEveryWorld;
using testing::InSimulation;
using testing::Noting;

Task<> Turns(int count) {
  for (int i = 0; i < count; ++i) co_await Yield();
}

Task<> WaitAt(Gate& gate) { co_await gate.Wait(); }

Task<> FailAt(Gate& gate, std::string text) {
  co_await gate.Wait();
  throw std::runtime_error(text);
}

Task<> Fail(std::string text) {
  throw std::runtime_error(text);
  co_return;
}

// Waits at `gate`, and notes how that ended.
Task<> Watch(Gate& gate, std::string& log) {
  Noting end(log, "stopped ");
  co_await gate.Wait();
  log += "passed ";
}

// --- children live as long as their scope

TEST(Scope, JoinsEveryChildBeforeItGoesOn) {
  InSimulation([]() -> Task<> {
    int done = 0;
    auto child = [&done](int wait_ms) -> Task<> {
      co_await SleepFor(std::chrono::milliseconds(wait_ms));
      ++done;
    };
    auto body = [&](Scope& scope) -> Task<> {
      for (int i = 0; i < 10; ++i) scope.Spawn(child, i);
      EXPECT_EQ(scope.live_children(), 10u);
      co_return;
    };
    co_await WithScope(body);
    EXPECT_EQ(done, 10);
  });
}

TEST(Scope, AChildWhoseHandleWasDroppedStillRunsAndItsErrorReachesTheScope) {
  InEveryWorld([]() -> Task<> {
    auto body = [](Scope& scope) -> Task<> {
      (void)scope.Spawn(Fail, std::string("dropped"));
      co_return;
    };
    const Outcome<> outcome = co_await AsOutcome(WithScope(body));
    EXPECT_EQ(HookLog::What(outcome.exception()), "dropped");
  });
}

TEST(Scope, StartsChildrenInOrderAndNotBeforeTheNextSuspension) {
  testing::InCalmSimulation([]() -> Task<> {
    std::string log;
    auto child = [&log](char name) -> Task<> {
      log += name;
      co_return;
    };
    auto body = [&](Scope& scope) -> Task<> {
      for (char name : {'a', 'b', 'c'}) scope.Spawn(child, name);
      log += '|';
      co_await Yield();
      EXPECT_EQ(log, "|abc");
    };
    co_await WithScope(body);
  });
}

TEST(Scope, AChildMayAddAChildWhileTheScopeWaitsAtItsEnd) {
  InEveryWorld([]() -> Task<> {
    bool has_run = false;
    auto late = [&]() -> Task<> {
      co_await Turns(3);
      has_run = true;
    };
    auto body = [&](Scope& scope) -> Task<> {
      auto child = [&]() -> Task<> {
        co_await Turns(3);
        scope.Spawn(late);
      };
      scope.Spawn(child);
      co_return;
    };
    co_await WithScope(body);
    EXPECT_TRUE(has_run);
  });
}

// Spawns when it dies; one that was moved from does so too.
class SpawnsAtItsEnd {
 public:
  SpawnsAtItsEnd(Scope& scope, std::optional<TaskHandle<>>& handle) : scope_(&scope), handle_(&handle) {}
  SpawnsAtItsEnd(SpawnsAtItsEnd&& other) noexcept
      : scope_(other.scope_), handle_(std::exchange(other.handle_, nullptr)) {}
  ~SpawnsAtItsEnd() {
    if (handle_ != nullptr) *handle_ = scope_->Spawn([](Counted) -> Task<> { co_return; }, Counted());
  }

 private:
  Scope* scope_;
  std::optional<TaskHandle<>>* handle_;
};

TEST(Scope, OnceClosedItRefusesAndGivesAHandleThatIsDoneAndStopped) {
  Counted::Reset();
  InEveryWorld([]() -> Task<> {
    std::optional<TaskHandle<>> refused;
    auto body = [&](Scope& scope) -> Task<absl::StatusOr<SpawnsAtItsEnd>> { co_return SpawnsAtItsEnd(scope, refused); };
    (void)co_await WithScope(body);  // the result dies here, after the join
    EXPECT_TRUE(refused.has_value());
    EXPECT_EQ(Counted::live(), 0) << "the refused callable's arguments are destroyed at once";
    EXPECT_TRUE(refused->Done());
    const Outcome<>& outcome = co_await refused->Join();
    EXPECT_TRUE(outcome.stopped());
    refused.reset();
  });
}

TEST(Scope, MemoryStaysFlatOverAMillionShortChildren) {
  testing::OnEpoll([]() -> Task<> {
#ifdef GYRE_DEBUG_CHECKS
    constexpr int kChildren = 200000;
#else
    constexpr int kChildren = 1000000;
#endif
    internal::FramePool& pool = Loop::Current().core().pool;
    int done = 0;
    auto child = [&done]() -> Task<> {
      co_await Yield();
      ++done;
    };
    auto body = [&](Scope& scope) -> Task<> {
      size_t warm_slabs = 0;
      size_t warm_blocks = 0;
      for (int i = 0; i < kChildren / 10; ++i) {
        for (int at_once = 0; at_once < 10; ++at_once) scope.Spawn(child);
        co_await Turns(4);
        if (i == 100) {
          warm_slabs = pool.slabs();
          warm_blocks = pool.CountBlocksOut();
        }
      }
      EXPECT_EQ(pool.slabs(), warm_slabs);
      EXPECT_EQ(pool.CountBlocksOut(), warm_blocks);
    };
    co_await WithScope(body);
    EXPECT_EQ(done, kChildren);
  });
}

// --- errors

TEST(Scope, AChildsErrorStopsTheOthersAndIsRethrownAtTheJoin) {
  InEveryWorld([]() -> Task<> {
    Gate gate;
    Gate never;
    std::string log;
    bool went_on = false;
    auto body = [&](Scope& scope) -> Task<> {
      Noting end(log, "body ");
      scope.Spawn(FailAt, std::ref(gate), std::string("first"));
      scope.Spawn(Watch, std::ref(never), std::ref(log));
      co_await Turns(2);
      gate.Open();
      co_await never.Wait();
      went_on = true;
    };
    std::string caught;
    try {
      co_await WithScope(body);
      went_on = true;
    } catch (const std::runtime_error& error) {
      caught = error.what();
    }
    EXPECT_EQ(caught, "first");
    EXPECT_FALSE(went_on);
    EXPECT_TRUE(log == "stopped body " || log == "body stopped ") << log;
  });
}

TEST(Scope, TheFirstErrorIsRethrownAndTheSecondReachesTheHookWithItsTasksName) {
  InEveryWorld([]() -> Task<> {
    HookLog hook;
    hook.Attach();
    Gate gate;
    uint64_t second_id = 0;
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(FailAt, std::ref(gate), std::string("first"));
      co_await Turns(2);
      auto fails_when_stopped = [&]() -> Task<> {
        (void)co_await AsOutcome(WaitAt(gate));
        throw std::runtime_error("second");
      };
      TaskHandle<> second = scope.SpawnNamed("janitor", fails_when_stopped);
      second_id = second.id();
      Gate never;
      gate.LetAllPass();
      co_await never.Wait();
    };
    const Outcome<> outcome = co_await AsOutcome(WithScope(body));
    EXPECT_EQ(HookLog::What(outcome.exception()), "first");
    EXPECT_EQ(hook.Texts(), std::vector<std::string>{"second"});
    EXPECT_EQ(hook.errors.at(0).task_name, "janitor");
    EXPECT_EQ(hook.errors.at(0).task_id, second_id);
    Loop::Current().SetUnhandledErrorHook(nullptr);
  });
}

TEST(Scope, WhenBodyAndChildBothFailTheFirstIsRethrownAndTheOtherReachesTheHook) {
  InEveryWorld([]() -> Task<> {
    HookLog hook;
    hook.Attach();
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(Fail, std::string("child"));
      throw std::runtime_error("body");
      co_return;
    };
    const Outcome<> outcome = co_await AsOutcome(WithScope(body));
    EXPECT_EQ(HookLog::What(outcome.exception()), "body");
    EXPECT_EQ(hook.Texts(), std::vector<std::string>{"child"});
    Loop::Current().SetUnhandledErrorHook(nullptr);
  });
}

TEST(Scope, ABodyWhoseCleanUpFailsAfterAChildsErrorLosesToIt) {
  InEveryWorld([]() -> Task<> {
    HookLog hook;
    hook.Attach();
    Gate never;
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(Fail, std::string("child"));
      (void)co_await AsOutcome(WaitAt(never));
      throw std::runtime_error("clean-up");
    };
    const Outcome<> outcome = co_await AsOutcome(WithScope(body));
    EXPECT_EQ(HookLog::What(outcome.exception()), "child");
    EXPECT_EQ(hook.Texts(), std::vector<std::string>{"clean-up"});
    Loop::Current().SetUnhandledErrorHook(nullptr);
  });
}

TEST(Scope, AnOuterChildsErrorStopsTheInnerScopeWhichAddsNone) {
  InEveryWorld([]() -> Task<> {
    HookLog hook;
    hook.Attach();
    Gate gate;
    Gate never;
    std::string log;
    auto inner = [&](Scope& scope) -> Task<> {
      scope.Spawn(Watch, std::ref(never), std::ref(log));
      co_await never.Wait();
      log += "went on ";
    };
    auto outer = [&](Scope& scope) -> Task<> {
      scope.Spawn(FailAt, std::ref(gate), std::string("outer"));
      co_await Turns(2);
      gate.LetAllPass();
      co_await WithScope(inner);
      log += "went on ";
    };
    const Outcome<> outcome = co_await AsOutcome(WithScope(outer));
    EXPECT_EQ(HookLog::What(outcome.exception()), "outer");
    EXPECT_TRUE(hook.errors.empty());
    EXPECT_TRUE(log.empty() || log == "stopped ") << log;
    Loop::Current().SetUnhandledErrorHook(nullptr);
  });
}

TEST(Scope, AnInnerErrorThatWasHandledLeavesNoStopPending) {
  InEveryWorld([]() -> Task<> {
    bool went_on = false;
    auto inner = [&](Scope& scope) -> Task<> {
      scope.Spawn(Fail, std::string("inner"));
      co_return;
    };
    auto outer = [&](Scope&) -> Task<> {
      const Outcome<> outcome = co_await AsOutcome(WithScope(inner));
      EXPECT_TRUE(outcome.has_exception());
      co_await Turns(3);
      went_on = true;
    };
    co_await WithScope(outer);
    EXPECT_TRUE(went_on);
  });
}

TEST(Scope, InnerAndOuterErrorsOfTheSameTurnAreReportedOnceEach) {
  InEveryWorld([]() -> Task<> {
    HookLog hook;
    hook.Attach();
    Gate inner_gate;
    Gate outer_gate;
    std::string inner_error;
    auto inner = [&](Scope& scope) -> Task<> {
      scope.Spawn(FailAt, std::ref(inner_gate), std::string("inner"));
      co_return;
    };
    auto outer = [&](Scope& scope) -> Task<> {
      scope.Spawn(FailAt, std::ref(outer_gate), std::string("outer"));
      auto opener = [&]() -> Task<> {
        co_await Turns(4);
        inner_gate.LetAllPass();
        outer_gate.LetAllPass();
      };
      scope.Spawn(opener);
      const Outcome<> outcome = co_await AsOutcome(WithScope(inner));
      inner_error = outcome.stopped() ? "stopped" : HookLog::What(outcome.exception());
    };
    const Outcome<> outcome = co_await AsOutcome(WithScope(outer));
    EXPECT_EQ(HookLog::What(outcome.exception()), "outer");
    EXPECT_TRUE(inner_error == "inner" || inner_error == "stopped") << inner_error;  // whichever ran first
    EXPECT_TRUE(hook.errors.empty());
    co_await Turns(2);  // no stop is pending
    Loop::Current().SetUnhandledErrorHook(nullptr);
  });
}

TEST(Scope, ABodyThatThrowsAfterRequestStopReportsItsError) {
  InEveryWorld([]() -> Task<> {
    auto body = [](Scope& scope) -> Task<> {
      scope.RequestStop();
      throw std::runtime_error("body");
      co_return;
    };
    const Outcome<> outcome = co_await AsOutcome(WithScope(body));
    EXPECT_EQ(HookLog::What(outcome.exception()), "body");
  });
}

class CountedError : public std::exception {
 public:
  const char* what() const noexcept override { return "counted"; }

 private:
  Counted counted_;
};

Task<> ThrowCounted(Counted) {
  throw CountedError();
  co_return;
}

TEST(Scope, KeepsNeitherTheErrorNorTheFrameOnceItHasThrown) {
  Counted::Reset();
  InEveryWorld([]() -> Task<> {
    auto body = [](Scope& scope) -> Task<> {
      scope.Spawn(ThrowCounted, Counted());
      co_return;
    };
    bool was_caught = false;
    try {
      co_await WithScope(body);
    } catch (const CountedError&) {
      was_caught = true;
    }
    EXPECT_TRUE(was_caught);
    EXPECT_EQ(Counted::live(), 0);
  });
}

class CountsAtItsEnd {
 public:
  explicit CountsAtItsEnd(int& count) : count_(count) {}
  CountsAtItsEnd(const CountsAtItsEnd&) = delete;
  ~CountsAtItsEnd() { ++count_; }

 private:
  int& count_;
};

TEST(Scope, ChildrenThatKeepSpawningEndSoonAfterOneFails) {
  InSimulation([]() -> Task<> {
    int started = 0;
    int finished = 0;
    std::function<Task<>(Scope&)> grow = [&](Scope& scope) -> Task<> {
      ++started;
      const CountsAtItsEnd end(finished);
      for (;;) {
        co_await SleepFor(1ms);
        if (started < 2000) scope.Spawn(std::ref(grow), std::ref(scope));
      }
    };
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(std::ref(grow), std::ref(scope));
      co_await SleepFor(8ms);
      throw std::runtime_error("enough");
    };
    const TimePoint begin = Loop::Current().Now();
    const Outcome<> outcome = co_await AsOutcome(WithScope(body));
    EXPECT_EQ(HookLog::What(outcome.exception()), "enough");
    EXPECT_GT(started, 50);
    EXPECT_EQ(started, finished);
    EXPECT_EQ(Loop::Current().Now() - begin, 8ms);
  });
}

// --- stops

TEST(Scope, AbsorbsItsOwnStopAndExecutionGoesOnAfterIt) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    std::string log;
    auto body = [&](Scope& scope) -> Task<> {
      Noting end(log, "unwound ");
      scope.RequestStop();
      scope.RequestStop();  // twice is once
      co_await never.Wait();
      log += "went on ";
    };
    co_await WithScope(body);
    log += "after ";
    co_await Yield();
    log += "end";
    EXPECT_EQ(log, "unwound after end");
  });
}

TEST(Scope, RequestStopResumesNobodyBeforeItReturns) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    std::string log;
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(Watch, std::ref(never), std::ref(log));
      co_await Turns(2);
      scope.RequestStop();
      EXPECT_EQ(log, "");
      EXPECT_TRUE(scope.StopRequested());
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "stopped ");
  });
}

TEST(Scope, AStopOfTheOwnerStopsBodyAndChildrenOnceEachAndGoesOnUpwards) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    std::string log;
    auto inner = [&](Scope& scope) -> Task<> {
      Noting end(log, "body ");
      for (int i = 0; i < 5; ++i) scope.Spawn(Watch, std::ref(never), std::ref(log));
      co_await never.Wait();
    };
    auto owner = [&]() -> Task<> {
      Noting end(log, "owner");
      co_await WithScope(inner);
      log += "went on ";
    };
    auto outer = [&](Scope& scope) -> Task<> {
      TaskHandle<> task = scope.Spawn(owner);
      co_await Turns(4);
      EXPECT_EQ(never.waiting(), 6u);
      task.RequestStop();
      const Outcome<>& outcome = co_await task.Join();
      EXPECT_TRUE(outcome.stopped());
    };
    co_await WithScope(outer);
    std::multiset<std::string> words;
    for (size_t at = 0; at < log.size();) {
      const size_t end = std::min(log.find(' ', at), log.size());
      words.insert(log.substr(at, end - at));
      at = end + 1;
    }
    EXPECT_EQ(words.count("stopped"), 5u);
    EXPECT_EQ(words.count("body"), 1u);
    EXPECT_TRUE(log.ends_with("owner")) << log;
  });
}

TEST(Scope, WaitingAtItsEndWhenTheOwnerIsStoppedItEndsStopped) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    std::string log;
    auto inner = [&](Scope& scope) -> Task<> {
      for (int i = 0; i < 5; ++i) scope.Spawn(Watch, std::ref(never), std::ref(log));
      co_return;
    };
    auto owner = [&]() -> Task<> {
      co_await WithScope(inner);
      log += "went on ";
    };
    auto outer = [&](Scope& scope) -> Task<> {
      TaskHandle<> task = scope.Spawn(owner);
      co_await Turns(4);
      EXPECT_EQ(never.waiting(), 5u);
      task.RequestStop();
      const Outcome<>& outcome = co_await task.Join();
      EXPECT_TRUE(outcome.stopped());
    };
    co_await WithScope(outer);
    EXPECT_EQ(log, "stopped stopped stopped stopped stopped ");
  });
}

// Waits 10 ms whatever happens, as a job on another thread would.
class StubbornWait final : public Leaf {
 public:
  explicit StubbornWait(int& stops) : stops_(stops) {}
  template <class P>
  bool await_suspend(std::coroutine_handle<P> awaiting) {
    return Suspend(awaiting, [this] {
      (void)loop().CallLater(10ms, [this] { Complete(); });
      return false;
    });
  }
  void await_resume() const {}

 private:
  void OnStop() noexcept override { ++stops_; }

  int& stops_;
};

TEST(Scope, WaitsForASlowCleanUpHoweverOftenItsOwnerIsStopped) {
  InSimulation([]() -> Task<> {
    int stops = 0;
    const TimePoint begin = Loop::Current().Now();
    auto slow = [&]() -> Task<> { co_await StubbornWait(stops); };
    auto inner = [&](Scope& scope) -> Task<> {
      scope.Spawn(slow);
      co_return;
    };
    auto owner = [&]() -> Task<> { co_await WithScope(inner); };
    auto outer = [&](Scope& scope) -> Task<> {
      TaskHandle<> task = scope.Spawn(owner);
      co_await SleepFor(1ms);
      for (int i = 0; i < 3; ++i) {
        task.RequestStop();
        co_await SleepFor(1ms);
        EXPECT_FALSE(task.Done());
      }
    };
    co_await WithScope(outer);
    EXPECT_EQ(stops, 1) << "the operation is asked once";
    EXPECT_EQ(Loop::Current().Now() - begin, 10ms);
  });
}

TEST(Scope, AnErrorWinsOverAStopOfTheOwnerWhichShowsAtTheNextSuspension) {
  InSimulation([]() -> Task<> {
    int stops = 0;
    std::string log;
    auto slow = [&]() -> Task<> { co_await StubbornWait(stops); };
    auto inner = [&](Scope& scope) -> Task<> {
      scope.Spawn(slow);
      co_await SleepFor(1ms);
      throw std::runtime_error("error ");  // reported at 10 ms, when `slow` has ended
    };
    auto owner = [&]() -> Task<> {
      try {
        co_await WithScope(inner);
      } catch (const std::runtime_error& error) {
        log += error.what();
      }
      Noting end(log, "stopped");
      co_await Yield();
      log += "went on ";
    };
    auto outer = [&](Scope& scope) -> Task<> {
      TaskHandle<> task = scope.Spawn(owner);
      co_await SleepFor(5ms);
      EXPECT_EQ(log, "");
      task.RequestStop();
    };
    co_await WithScope(outer);
    EXPECT_EQ(log, "error stopped");
  });
}

TEST(Scope, AChildsErrorAndAStopOfTheOwnerInTheSameTurnGiveTheErrorAndThenTheStop) {
  InEveryWorld([]() -> Task<> {
    std::string log;
    TaskHandle<> task;
    auto stop_owner_and_fail = [&]() -> Task<> {
      co_await Turns(2);
      task.RequestStop();
      throw std::runtime_error("error ");
    };
    auto inner = [&](Scope& scope) -> Task<> {
      scope.Spawn(stop_owner_and_fail);
      co_return;
    };
    auto owner = [&]() -> Task<> {
      const Outcome<> outcome = co_await AsOutcome(WithScope(inner));
      log += outcome.stopped() ? "no error " : HookLog::What(outcome.exception());
      Noting end(log, "stopped");
      co_await Yield();
      log += "went on ";
    };
    auto outer = [&](Scope& scope) -> Task<> {
      task = scope.Spawn(owner);
      co_return;
    };
    co_await WithScope(outer);
    EXPECT_EQ(log, "error stopped");
    task = TaskHandle<>();
  });
}

TEST(Scope, AnErrorOfAChildThatIsBeingStoppedIsReportedAtTheJoin) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    auto fails_when_stopped = [&]() -> Task<> {
      (void)co_await AsOutcome(WaitAt(never));
      throw std::runtime_error("clean-up");
    };
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(fails_when_stopped);
      co_await Turns(2);
      scope.RequestStop();
    };
    const Outcome<> outcome = co_await AsOutcome(WithScope(body));
    EXPECT_EQ(HookLog::What(outcome.exception()), "clean-up");
  });
}

TEST(Scope, OfThreeChildrenThatFailInTheSameTurnOneIsRethrownAndTheOthersReachTheHook) {
  InEveryWorld([]() -> Task<> {
    HookLog hook;
    hook.Attach();
    auto body = [&](Scope& scope) -> Task<> {
      for (const char* name : {"a", "b", "c"}) scope.SpawnNamed(name, Fail, std::string(name));
      co_return;
    };
    const Outcome<> outcome = co_await AsOutcome(WithScope(body));
    std::multiset<std::string> seen{HookLog::What(outcome.exception())};
    for (const UnhandledError& error : hook.errors) {
      EXPECT_EQ(error.task_name, HookLog::What(error.exception)) << "it names its own task";
      seen.insert(error.task_name);
    }
    EXPECT_EQ(seen, (std::multiset<std::string>{"a", "b", "c"}));
    Loop::Current().SetUnhandledErrorHook(nullptr);
  });
}

TEST(Scope, AnOperationUnderTwoScopesThatAreBothStoppedIsAskedOnce) {
  InSimulation([]() -> Task<> {
    int stops = 0;
    auto inner = [&](Scope& scope) -> Task<> {
      auto slow = [&]() -> Task<> { co_await StubbornWait(stops); };
      scope.Spawn(slow);
      co_await SleepFor(1ms);
      scope.RequestStop();
      scope.RequestStop();
    };
    auto work = [&]() -> Task<> { co_await WithScope(inner); };
    auto outer = [&](Scope& scope) -> Task<> {
      scope.Spawn(work);
      co_await SleepFor(2ms);
      scope.RequestStop();
    };
    co_await WithScope(outer);
    EXPECT_EQ(stops, 1);
  });
}

TEST(Scope, AStoppedTaskThatCantBeInterruptedLeavesTheLoopAsleep) {
  testing::OnEpoll([]() -> Task<> {
    int stops = 0;
    auto slow = [&]() -> Task<> { co_await StubbornWait(stops); };
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(slow);
      scope.Spawn(slow);
      co_await Turns(2);
      scope.RequestStop();
    };
    const BackendCounters& counters = Loop::Current().backend().counters();
    const uint64_t before = counters.waits.value();
    co_await WithScope(body);
    EXPECT_LE(counters.waits.value() - before, 4u) << "it slept for 10 ms, and did not look again and again";
    EXPECT_EQ(stops, 2);
  });
}

TEST(Scope, AStoppedTaskThatCantBeInterruptedLetsVirtualTimeGoOn) {
  InSimulation([]() -> Task<> {
    int stops = 0;
    const TimePoint begin = Loop::Current().Now();
    auto slow = [&]() -> Task<> { co_await StubbornWait(stops); };
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(slow);
      co_await Turns(2);
      scope.RequestStop();
      co_await SleepFor(1h);  // stopped, too
    };
    co_await WithScope(body);
    EXPECT_EQ(Loop::Current().Now() - begin, 10ms);
  });
}

TEST(Scope, AStopReachesEveryLeafBelow) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    std::string log;
    auto worker = [&](Scope& scope) -> Task<> {
      scope.Spawn(Watch, std::ref(never), std::ref(log));
      scope.Spawn(Watch, std::ref(never), std::ref(log));
      co_return;
    };
    auto work = [&]() -> Task<> { co_await WithScope(worker); };
    auto top = [&](Scope& scope) -> Task<> {
      scope.Spawn(work);
      scope.Spawn(work);
      co_await Turns(4);
      EXPECT_EQ(never.waiting(), 4u);
      scope.RequestStop();
      EXPECT_EQ(never.waiting(), 0u);
    };
    co_await WithScope(top);
    EXPECT_EQ(log, "stopped stopped stopped stopped ");
  });
}

TEST(Scope, OfThreeNestedOnesTheMiddleAbsorbsWhenItAndTheInnermostAreStopped) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    std::string log;
    Scope* middle_scope = nullptr;
    auto innermost = [&](Scope& scope) -> Task<> {
      scope.RequestStop();
      middle_scope->RequestStop();
      co_await never.Wait();
      log += "went on ";
    };
    auto middle = [&](Scope& scope) -> Task<> {
      middle_scope = &scope;
      co_await WithScope(innermost);
      log += "after the innermost ";
      co_await Yield();
      log += "went on ";
    };
    auto outermost = [&](Scope& scope) -> Task<> {
      co_await WithScope(middle);
      log += "after the middle ";
      co_await Yield();
      EXPECT_FALSE(scope.StopRequested());
      log += "outermost";
    };
    co_await WithScope(outermost);
    EXPECT_EQ(log, "after the middle outermost");
  });
}

TEST(Scope, OpenedWhereAStopIsPendingItReportsItAtItsFirstSuspension) {
  InEveryWorld([]() -> Task<> {
    Gate open;
    open.Open();
    std::string log;
    auto inner = [&](Scope& scope) -> Task<> {
      EXPECT_TRUE(scope.StopRequested());
      log += "entered ";
      co_await open.Wait();
      log += "went on ";
    };
    auto outer = [&](Scope& scope) -> Task<> {
      scope.RequestStop();
      co_await WithScope(inner);
      log += "went on ";
    };
    co_await WithScope(outer);
    EXPECT_EQ(log, "entered ");
    EXPECT_EQ(open.asked(), 0u) << "nothing is tried in a stopped scope";
  });
}

TEST(Scope, AStopIsMetAgainAtEveryLaterSuspension) {
  InEveryWorld([]() -> Task<> {
    Gate open;
    open.Open();
    int stops = 0;
    auto body = [&](Scope& scope) -> Task<> {
      scope.RequestStop();
      for (int i = 0; i < 3; ++i) {
        const Outcome<> outcome = co_await AsOutcome(WaitAt(open));
        stops += outcome.stopped() ? 1 : 0;
      }
    };
    co_await WithScope(body);
    EXPECT_EQ(stops, 3);
    EXPECT_EQ(open.asked(), 0u);
  });
}

TEST(Scope, AChildSpawnedAfterTheStopStartsAndIsStoppedAtItsFirstSuspension) {
  InEveryWorld([]() -> Task<> {
    std::string log;
    auto child = [&]() -> Task<> {
      Noting end(log, "stopped ");
      log += "started ";
      co_await Yield();
      log += "went on ";
    };
    auto body = [&](Scope& scope) -> Task<> {
      scope.RequestStop();
      scope.Spawn(child);
      co_return;
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "started stopped ");
  });
}

TEST(Scope, AChildThatMeetsNoSuspensionKeepsItsResultAlthoughItsScopeIsStopped) {
  InEveryWorld([]() -> Task<> {
    auto child = []() -> Task<int> { co_return 7; };
    TaskHandle<int> handle;
    auto body = [&](Scope& scope) -> Task<> {
      handle = scope.Spawn(child);
      scope.RequestStop();
      co_return;
    };
    co_await WithScope(body);
    const Outcome<int>& outcome = co_await handle.Join();
    EXPECT_EQ(outcome.value(), 7);
  });
}

// --- handles

TEST(TaskHandle, StoppingOneChildIsNoErrorAndTheOthersGoOn) {
  InEveryWorld([]() -> Task<> {
    Gate gate;
    std::string log;
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> stopped = scope.Spawn(WaitAt, std::ref(gate));
      auto other = [&]() -> Task<> {
        co_await gate.Wait();
        log += "passed ";
      };
      scope.Spawn(other);
      co_await Turns(2);
      stopped.RequestStop();
      const Outcome<>& outcome = co_await stopped.Join();
      EXPECT_TRUE(outcome.stopped());
      EXPECT_FALSE(scope.StopRequested());
      gate.Open();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "passed ");
  });
}

TEST(TaskHandle, StoppedBeforeItsTaskStartedTheTaskEndsAtItsFirstSuspension) {
  InEveryWorld([]() -> Task<> {
    std::string log;
    auto child = [&]() -> Task<> {
      log += "started ";
      co_await Yield();
      log += "went on ";
    };
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> handle = scope.Spawn(child);
      handle.RequestStop();
      co_await handle.Join();
      EXPECT_TRUE(handle.Done());
      handle.RequestStop();  // too late: nothing happens
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "started ");
  });
}

TEST(TaskHandle, RequestStopResumesNobodyBeforeItReturnsAndIsIdempotent) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    std::string log;
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> task = scope.Spawn(Watch, std::ref(never), std::ref(log));
      co_await Turns(2);
      task.RequestStop("first");
      task.RequestStop("second");
      EXPECT_EQ(log, "");
      EXPECT_EQ(never.waiting(), 0u);
      EXPECT_FALSE(task.Done());
      const Outcome<>& outcome = co_await task.Join();
      EXPECT_EQ(outcome.stop_reason().message(), "first");
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "stopped ");
  });
}

TEST(TaskHandle, ATaskThatStopsItselfIsStoppedAtItsNextSuspension) {
  InEveryWorld([]() -> Task<> {
    std::string log;
    TaskHandle<> self;
    auto child = [&]() -> Task<> {
      self.RequestStop();
      log += "running ";
      Noting end(log, "stopped");
      co_await Yield();
      log += "went on ";
    };
    auto body = [&](Scope& scope) -> Task<> {
      self = scope.Spawn(child);
      co_return;
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "running stopped");
    self = TaskHandle<>();
  });
}

TEST(TaskHandle, GivesEveryJoinerTheSameOutcome) {
  InEveryWorld([]() -> Task<> {
    Gate gate;
    auto child = [&]() -> Task<std::unique_ptr<int>> {
      co_await gate.Wait();
      co_return std::make_unique<int>(7);
    };
    std::vector<const int*> seen;
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<std::unique_ptr<int>> handle = scope.Spawn(child);
      auto joiner = [&]() -> Task<> {
        const Outcome<std::unique_ptr<int>>& outcome = co_await handle.Join();
        seen.push_back(outcome.value().get());
      };
      scope.Spawn(joiner);
      scope.Spawn(joiner);
      co_await Turns(3);
      gate.Open();
      co_await handle.Join();
      co_await joiner();  // also after the end
      co_await Turns(2);
    };
    co_await WithScope(body);
    EXPECT_EQ(seen.size(), 3u);
    EXPECT_EQ(std::set<const int*>(seen.begin(), seen.end()).size(), 1u);
    EXPECT_EQ(seen.at(0) != nullptr, true);
  });
}

TEST(TaskHandle, GivesEveryJoinerTheSameErrorWhichTheScopeSeesToo) {
  InEveryWorld([]() -> Task<> {
    std::vector<std::string> seen;
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> handle = scope.Spawn(Fail, std::string("shared"));
      for (int i = 0; i < 2; ++i) {
        const Outcome<>& outcome = co_await handle.Join();
        seen.push_back(HookLog::What(outcome.exception()));
        co_return;
      }
    };
    const Outcome<> outcome = co_await AsOutcome(WithScope(body));
    EXPECT_EQ(HookLog::What(outcome.exception()), "shared");
    for (const std::string& text : seen) EXPECT_EQ(text, "shared");
  });
}

TEST(TaskHandle, AJoinerThatIsStoppedLeavesTheTaskAndTheOtherJoinersAlone) {
  InEveryWorld([]() -> Task<> {
    Gate gate;
    bool was_joined = false;
    TaskHandle<> task;
    auto body = [&](Scope& scope) -> Task<> {
      task = scope.Spawn(WaitAt, std::ref(gate));
      auto join = [&]() -> Task<> {
        const Outcome<>& outcome = co_await task.Join();
        was_joined = outcome.has_value();
      };
      TaskHandle<> stopped_joiner = scope.Spawn(join);
      scope.Spawn(join);
      co_await Turns(3);
      stopped_joiner.RequestStop();
      const Outcome<>& outcome = co_await stopped_joiner.Join();
      EXPECT_TRUE(outcome.stopped());
      EXPECT_FALSE(task.Done());
      gate.Open();
    };
    co_await WithScope(body);
    EXPECT_TRUE(was_joined);
  });
}

// A join of the task whose turn is next starts it, as an await would: no turn passes. All others keep their place.
TEST(TaskHandle, JoiningTheTaskThatIsNextStartsItAtOnceAndOvertakesNobody) {
  testing::InCalmSimulation([]() -> Task<> {
    std::string log;
    auto child = [&log](char name, int turns) -> Task<> {
      log += name;
      co_await Turns(turns);
      log += static_cast<char>(name - 'a' + 'A');
    };
    auto body = [&](Scope& scope) -> Task<> {
      Loop::Current().CallSoon([&log] { log += '.'; });
      TaskHandle<> a = scope.Spawn(child, 'a', 0);
      TaskHandle<> b = scope.Spawn(child, 'b', 0);
      TaskHandle<> c = scope.Spawn(child, 'c', 0);
      TaskHandle<> d = scope.Spawn(child, 'd', 1);
      co_await b.Join();
      EXPECT_EQ(log, ".aAbB") << "c has to wait: the joiner of b goes on before it";
      co_await d.Join();
      EXPECT_EQ(log, ".aAbBcCdD");
      TaskHandle<> e = scope.Spawn(child, 'e', 0);
      TaskHandle<> f = scope.Spawn(child, 'f', 0);
      Loop::Current().CallSoon([&log] { log += '.'; });
      co_await e.Join();
      co_await f.Join();
      EXPECT_EQ(log, ".aAbBcCdDeEfF");
      co_await Yield();
      EXPECT_EQ(log, ".aAbBcCdDeEfF.");
      EXPECT_TRUE(a.Done() && c.Done());
    };
    co_await WithScope(body);
  });
}

TEST(TaskHandle, AJoinerThatAlwaysJoinsTheNextTaskLeavesOthersTheirTurn) {
  InEveryWorld([]() -> Task<> {
    auto nothing = []() -> Task<> { co_return; };
    auto body = [&](Scope& scope) -> Task<> {
      bool has_run = false;
      Loop::Current().CallLater(Duration(0), [&has_run] { has_run = true; });
      int joined = 0;
      for (; !has_run && joined < 1'000'000; ++joined) {
        TaskHandle<> task = scope.Spawn(nothing);
        co_await task.Join();
      }
      EXPECT_LT(joined, 1'000'000);
    };
    co_await WithScope(body);
  });
}

// The joined task runs within the joiner's await: what it does to the joiner takes effect there.
TEST(TaskHandle, ATaskThatAJoinStartsMayStopOrFailItsJoiner) {
  InEveryWorld([]() -> Task<> {
    auto stops = [](Scope& scope) -> Task<> {
      scope.RequestStop();
      static_cast<void>(co_await AsOutcome(Turns(1)));
    };
    int passed = 0;
    auto joins = [&](Scope& scope) -> Task<> {
      TaskHandle<> task = scope.Spawn(stops, std::ref(scope));
      co_await task.Join();
      ++passed;
    };
    co_await WithScope(joins);
    EXPECT_EQ(passed, 0) << "the stop came while the task went on";

    auto fails = []() -> Task<> {
      throw std::runtime_error("failed");
      co_return;
    };
    auto joins_failing = [&](Scope& scope) -> Task<> {
      TaskHandle<> task = scope.Spawn(fails);
      static_cast<void>(co_await task.Join());
      ++passed;
    };
    const Outcome<> outcome = co_await AsOutcome(WithScope(joins_failing));
    EXPECT_EQ(HookLog::What(outcome.exception()), "failed");
    EXPECT_EQ(passed, 0) << "the failure has stopped the scope";
  });
}

TEST(TaskHandle, JoinersGoOnInOrderOfArrivalAlsoWhereTheLastCouldStartTheTask) {
  testing::InCalmSimulation([]() -> Task<> {
    std::string log;
    TaskHandle<> target;
    auto join = [&](char name) -> Task<> {
      static_cast<void>(co_await target.Join());
      log += name;
    };
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(join, 'A');
      scope.Spawn(join, 'B');
      target = scope.Spawn(Turns, 0);
      co_return;
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "AB");
  });
}

// What a task does is its own, wherever it was started: here it asks for a stop when its scope's body has failed.
TEST(TaskHandle, ATaskThatAJoinStartedIsNamedInTheReasonsOfItsStops) {
  InEveryWorld([]() -> Task<> {
    uint64_t by = 0;
    auto child = [&by]() -> Task<> {
      TaskHandle<> sleeper;
      auto failing = [&sleeper](Scope& scope) -> Task<> {
        sleeper = scope.Spawn([]() -> Task<> { co_await SleepFor(kForever); });
        throw std::runtime_error("failed");
        co_return;
      };
      static_cast<void>(co_await AsOutcome(WithScope(failing)));
      const Outcome<>& outcome = co_await sleeper.Join();
      by = outcome.stop_reason().by_task_id();
    };
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> task = scope.Spawn(child);
      co_await task.Join();
      EXPECT_EQ(by, task.id());
    };
    co_await WithScope(body);
  });
}

TEST(TaskHandle, KeptPastItsTasksEndItStillTellsTheOutcome) {
  InEveryWorld([]() -> Task<> {
    auto child = []() -> Task<int> { co_return 5; };
    TaskHandle<int> kept;
    auto body = [&](Scope& scope) -> Task<> {
      kept = scope.SpawnNamed("five", child);
      co_return;
    };
    co_await WithScope(body);
    EXPECT_TRUE(kept.Done());
    EXPECT_EQ(kept.name(), "five");
    const Outcome<int>& outcome = co_await kept.Join();
    EXPECT_EQ(outcome.value(), 5);
  });
}

TEST(TaskHandle, IdsAreNeverUsedAgain) {
  InEveryWorld([]() -> Task<> {
    std::set<uint64_t> ids;
    auto body = [&](Scope& scope) -> Task<> {
      for (int i = 0; i < 300; ++i) {
        TaskHandle<> handle = scope.Spawn(Turns, 0);
        ids.insert(handle.id());
        co_await handle.Join();
      }
    };
    co_await WithScope(body);
    EXPECT_EQ(ids.size(), 300u);
  });
}

TEST(TaskHandleDeathTest, AnEmptyOneCantBeUsed) {
  TaskHandle<> empty;
  EXPECT_DEATH((void)empty.Done(), "an empty TaskHandle was used");
}

// --- Spawn keeps what it needs

TEST(Spawn, DestroysTheFrameThenTheClosureBeforeJoinersRun) {
  InEveryWorld([]() -> Task<> {
    std::string log;
    auto body = [&](Scope& scope) -> Task<> {
      auto call = [&log, note = Noting(log, "closure ")]() -> Task<> {
        Noting local(log, "frame ");
        co_await Yield();
      };
      TaskHandle<> handle = scope.Spawn(std::move(call));
      co_await handle.Join();
      log += "joiner";
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "frame closure joiner");
  });
}

TEST(Spawn, PassesArgumentsAsRvaluesAndReferencesThroughStdRef) {
  Counted::Reset();
  InEveryWorld([]() -> Task<> {
    int number = 1;
    auto child = [](std::unique_ptr<int> unique, int& reference, Counted) -> Task<> {
      co_await Yield();
      reference += *unique;
    };
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(child, std::make_unique<int>(4), std::ref(number), Counted());
      co_return;
    };
    co_await WithScope(body);
    EXPECT_EQ(number, 5);
  });
  EXPECT_EQ(Counted::copies(), 0);
  EXPECT_EQ(Counted::live(), 0);
}

TEST(Spawn, ACapturingLambdaCoroutineOutlivesTheVariableItCameFrom) {
  InEveryWorld([]() -> Task<> {
    std::string result;
    auto body = [&](Scope& scope) -> Task<> {
      {
        auto child = [&result, text = std::string("a text too long for the small string buffer")]() -> Task<> {
          co_await Turns(3);
          result = text;
        };
        scope.Spawn(std::move(child));
      }
      co_return;
    };
    co_await WithScope(body);
    EXPECT_EQ(result, "a text too long for the small string buffer");
  });
}

TEST(Spawn, AThrowBeforeThereIsACoroutineIsTheChildsError) {
  InEveryWorld([]() -> Task<> {
    std::string log;
    bool was_called_in_spawn = true;
    auto body = [&](Scope& scope) -> Task<> {
      auto call = [note = Noting(log, "closure ")](bool) -> Task<> { throw std::runtime_error("early"); };
      TaskHandle<> handle = scope.Spawn(std::move(call), true);
      was_called_in_spawn = handle.Done();
      const Outcome<> unused = co_await AsOutcome(Turns(3));
      (void)unused;
    };
    const Outcome<> outcome = co_await AsOutcome(WithScope(body));
    EXPECT_FALSE(was_called_in_spawn);
    EXPECT_EQ(HookLog::What(outcome.exception()), "early");
    EXPECT_EQ(log, "closure ");
  });
}

// --- results of WithScope

TEST(WithScope, GivesWhatItsBodyReturns) {
  InEveryWorld([]() -> Task<> {
    auto value = [](Scope&) -> Task<absl::StatusOr<std::unique_ptr<int>>> { co_return std::make_unique<int>(6); };
    absl::StatusOr<std::unique_ptr<int>> six = co_await WithScope(value);
    EXPECT_EQ(**six, 6);
    auto status = [](Scope&) -> Task<absl::Status> { co_return absl::NotFoundError("no"); };
    const absl::Status not_found = co_await WithScope(status);
    EXPECT_EQ(not_found, absl::NotFoundError("no"));
  });
}

TEST(WithScope, StoppedByItsOwnRequestItGivesCancelledWithTheReason) {
  InEveryWorld([]() -> Task<> {
    auto body = [](Scope& scope) -> Task<absl::Status> {
      scope.RequestStop("lunch");
      co_await Yield();
      co_return absl::OkStatus();
    };
    const absl::Status status = co_await WithScope(body);
    EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
    EXPECT_NE(status.ToString().find("lunch"), std::string::npos) << status;
    EXPECT_NE(status.ToString().find("scope_test.cc"), std::string::npos) << status;
  });
}

TEST(WithScope, ABodyThatReachesItsEndKeepsItsResultAlthoughStopped) {
  InEveryWorld([]() -> Task<> {
    auto body = [](Scope& scope) -> Task<absl::StatusOr<int>> {
      scope.RequestStop();
      co_return 3;
    };
    const absl::StatusOr<int> result = co_await WithScope(body);
    EXPECT_TRUE(result.ok());
  });
}

Task<absl::Status> BadStatus(std::string text) { co_return absl::DataLossError(text); }

TEST(WithScope, AChildsBadStatusStopsTheScopeAndIsItsStatus) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    auto body = [&](Scope& scope) -> Task<absl::StatusOr<int>> {
      scope.Spawn(BadStatus, std::string("rotten"));
      co_await never.Wait();
      co_return 1;
    };
    const absl::StatusOr<int> result = co_await WithScope(body);
    EXPECT_EQ(result.status(), absl::DataLossError("rotten"));
  });
}

TEST(WithScope, AChildsBadStatusIsThrownWhereTheBodyReturnsVoid) {
  InEveryWorld([]() -> Task<> {
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(BadStatus, std::string("rotten"));
      co_return;
    };
    absl::Status thrown;
    try {
      co_await WithScope(body);
    } catch (const StatusError& error) {
      thrown = error.status();
    }
    EXPECT_EQ(thrown, absl::DataLossError("rotten"));
  });
}

TEST(WithScope, AStatusThatAJoinThrewIsAnExceptionForTheJoinsAroundIt) {
  InEveryWorld([]() -> Task<> {
    auto inner = [](Scope& scope) -> Task<> {
      scope.Spawn(BadStatus, std::string("rotten"));
      co_return;
    };
    auto outer = [&](Scope&) -> Task<absl::Status> {
      co_await WithScope(inner);
      co_return absl::OkStatus();
    };
    const Outcome<absl::Status> outcome = co_await AsOutcome(WithScope(outer));
    EXPECT_TRUE(outcome.has_exception());
    EXPECT_EQ(outcome.status(), absl::DataLossError("rotten"));
  });
}

TEST(WithScope, AThrowOfTheBodyBeforeItIsACoroutineStopsTheChildrenItSpawned) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    std::string log;
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(Watch, std::ref(never), std::ref(log));
      throw std::runtime_error("no coroutine");
    };
    const Outcome<> outcome = co_await AsOutcome(WithScope(body));
    EXPECT_EQ(HookLog::What(outcome.exception()), "no coroutine");
    EXPECT_EQ(log, "stopped ");
  });
}

TEST(WithScope, AnRvalueBodyIsKept) {
  InEveryWorld([]() -> Task<> {
    int number = 0;
    co_await WithScope([&number](Scope&) -> Task<> {
      co_await Turns(2);
      number = 4;
    });
    EXPECT_EQ(number, 4);
  });
}

}  // namespace
}  // namespace gyre
