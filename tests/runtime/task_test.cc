#include "gyre/runtime/task.h"

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/backend/epoll_backend.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/counted.h"
#include "gyre/tests/support/gate.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using testing::Counted;
using testing::Gate;
using testing::InEveryWorld;
using testing::Noting;
using testing::OnEpoll;

// --- life of a Task

Task<> SetTrue(bool& flag) {
  flag = true;
  co_return;
}

TEST(Task, RunsNoStatementUnlessAwaited) {
  bool has_run = false;
  InEveryWorld([&]() -> Task<> {
    {
      Task<> unused = SetTrue(has_run);
      co_await Yield();
    }
    co_await Yield();
  });
  EXPECT_FALSE(has_run);
}

Task<> TakeByValue(Counted) { co_return; }

TEST(Task, DestroyedUnstartedItDestroysItsArguments) {
  Counted::Reset();
  InEveryWorld([]() -> Task<> {
    Task<> task = TakeByValue(Counted());
    EXPECT_EQ(Counted::live(), 1);
    Task<> other = TakeByValue(Counted());
    task = std::move(other);  // the first is gone
    EXPECT_EQ(Counted::live(), 1);
    co_return;
  });
  EXPECT_EQ(Counted::live(), 0);
}

TEST(Task, MadeOutsideALoopItRunsOnTheOneThatAwaitsIt) {
  bool has_run = false;
  Task<> task = SetTrue(has_run);
  OnEpoll([&]() -> Task<> {
    Task<> moved = std::move(task);
    co_await std::move(moved);
  });
  EXPECT_TRUE(has_run);
}

TEST(Task, MadeOutsideALoopItMayBeDestroyedUnstartedOnAnyThread) {
  Counted::Reset();
  std::optional<Task<>> task = TakeByValue(Counted());
  std::thread([&] { task.reset(); }).join();
  EXPECT_EQ(Counted::live(), 0);
}

Task<> HoldsTwo(std::string& log, Noting) {
  Noting local(log, "local ");
  co_await Yield();
}

TEST(Task, ItsLocalsAndParametersAreGoneWhenItsAwaiterGoesOn) {
  InEveryWorld([]() -> Task<> {
    std::string log;
    co_await HoldsTwo(log, Noting(log, "parameter "));
    log += "awaiter";
    EXPECT_EQ(log, "local parameter awaiter");
  });
}

Task<int> ReturnsWhileHolding(std::string& log, Noting) { co_return static_cast<int>(log.size()); }

TEST(Task, ItsResultOutlivesItsFrame) {
  InEveryWorld([]() -> Task<> {
    std::string log;
    const int size = co_await ReturnsWhileHolding(log, Noting(log, "gone"));
    EXPECT_EQ(size, 0);
    EXPECT_EQ(log, "gone");
  });
}

// --- results

class Fixed {  // neither default-constructible nor assignable nor copyable
 public:
  explicit Fixed(int number) : number(number) {}
  Fixed(Fixed&&) = default;
  const int number;
};

Task<Fixed> ReturnFixed(int number) { co_return Fixed(number); }
Task<std::unique_ptr<int>> ReturnUnique(int number) { co_return std::make_unique<int>(number); }
Task<int&> ReturnLvalue(int& number) { co_return number; }
Task<const int&> ReturnConstLvalue(const int& number) { co_return number; }
Task<Counted&&> ReturnRvalue(Counted& counted) { co_return std::move(counted); }
Task<Counted> ReturnCounted() { co_return Counted(); }

TEST(Task, GivesResultsOfAnyKindWithoutCopying) {
  Counted::Reset();
  InEveryWorld([]() -> Task<> {
    const Fixed fixed = co_await ReturnFixed(3);
    EXPECT_EQ(fixed.number, 3);
    const std::unique_ptr<int> unique = co_await ReturnUnique(4);
    EXPECT_EQ(*unique, 4);
    const Counted counted = co_await ReturnCounted();
    (void)counted;
  });
  EXPECT_EQ(Counted::copies(), 0);
  EXPECT_EQ(Counted::live(), 0);
}

TEST(Task, AReferenceResultKeepsItsIdentity) {
  InEveryWorld([]() -> Task<> {
    int number = 5;
    Counted counted;
    int& lvalue = co_await ReturnLvalue(number);
    const int& const_lvalue = co_await ReturnConstLvalue(number);
    Counted&& rvalue = co_await ReturnRvalue(counted);
    EXPECT_EQ(&lvalue, &number);
    EXPECT_EQ(&const_lvalue, &number);
    EXPECT_EQ(&rvalue, &counted);
  });
}

Task<Fixed> PassFixed() { co_return co_await ReturnFixed(8); }

TEST(Task, PassesResultsThroughSeveralFrames) {
  InEveryWorld([]() -> Task<> {
    const Fixed fixed = co_await PassFixed();
    EXPECT_EQ(fixed.number, 8);
  });
}

// --- exceptions

Task<int> Throw(std::string text, Noting) {
  co_await Yield();
  throw std::out_of_range(text);
}

TEST(Task, RethrowsUnchangedAfterItsFrameIsGone) {
  InEveryWorld([]() -> Task<> {
    std::string log;
    try {
      co_await Throw("far", Noting(log, "frame "));
      log += "no throw ";
    } catch (const std::out_of_range& error) {
      log += error.what();
    }
    EXPECT_EQ(log, "frame far");
  });
}

class ThrowsWhenMoved {
 public:
  ThrowsWhenMoved(int moves_left, std::string& log) : moves_left_(moves_left), log_(log) {}
  ThrowsWhenMoved(ThrowsWhenMoved&& other) : moves_left_(other.moves_left_ - 1), log_(other.log_) {
    if (moves_left_ < 0) throw std::runtime_error("move");
    log_ += "moved ";
  }
  ~ThrowsWhenMoved() = default;

 private:
  int moves_left_;
  std::string& log_;
};

Task<ThrowsWhenMoved> ReturnThrowing(int moves_left, std::string& log, Counted) {
  ThrowsWhenMoved value(moves_left, log);
  co_return std::move(value);
}

TEST(Task, AResultWhoseMoveThrowsBecomesThatException) {
  Counted::Reset();
  InEveryWorld([]() -> Task<> {
    for (int moves_left = 0; moves_left < 2; ++moves_left) {  // into the promise; out of it
      std::string log;
      try {
        co_await ReturnThrowing(moves_left, log, Counted());
        log += "no throw";
      } catch (const std::runtime_error& error) {
        log += error.what();
      }
      EXPECT_EQ(log, moves_left == 0 ? "move" : "moved move");
    }
    EXPECT_EQ(Counted::live(), 0);
  });
}

TEST(Task, AResultWhoseMoveThrowsBecomesAnOutcomesException) {
  InEveryWorld([]() -> Task<> {
    for (int moves_left = 0; moves_left < 6; ++moves_left) {
      std::string log;
      Outcome<ThrowsWhenMoved> outcome = co_await AsOutcome(ReturnThrowing(moves_left, log, Counted()));
      if (moves_left < 2) {
        EXPECT_TRUE(outcome.has_exception()) << moves_left;
      }
      EXPECT_TRUE(outcome.has_value() || outcome.has_exception());
    }
  });
}

TEST(Task, ASpawnedOnesResultWhoseMoveThrowsReachesItsScope) {
  InEveryWorld([]() -> Task<> {
    std::string log;
    auto body = [&log](Scope& scope) -> Task<> {
      for (int moves_left = 0; moves_left < 6; ++moves_left) {
        auto handle = scope.Spawn(ReturnThrowing(moves_left, log, Counted()));
        const auto& outcome = co_await handle.Join();
        EXPECT_TRUE(outcome.has_value() || outcome.has_exception());
      }
    };
    const Outcome<> outcome = co_await AsOutcome(WithScope(body));
    EXPECT_EQ(testing::HookLog::What(outcome.exception()), "move");
  });
}

TEST(Task, ASpawnedOneMayGiveWhatCantBeAssigned) {
  InEveryWorld([]() -> Task<> {
    auto body = [](Scope& scope) -> Task<> {
      TaskHandle<Fixed> handle = scope.Spawn(ReturnFixed(9));
      const Outcome<Fixed>& outcome = co_await handle.Join();
      EXPECT_EQ(outcome.value().number, 9);
    };
    co_await WithScope(body);
  });
}

// --- misuse

TEST(TaskDeathTest, CantBeAwaitedTwice) {
  EXPECT_DEATH(OnEpoll([]() -> Task<> {
                 bool has_run = false;
                 Task<> task = SetTrue(has_run);
                 co_await std::move(task);
                 co_await std::move(task);
               }),
               "a Task was awaited after it had been awaited, spawned or moved from");
}

TEST(TaskDeathTest, CantBeAwaitedOnceMovedFrom) {
  EXPECT_DEATH(OnEpoll([]() -> Task<> {
                 bool has_run = false;
                 Task<> task = SetTrue(has_run);
                 Task<> other = std::move(task);
                 co_await std::move(task);
               }),
               "a Task was awaited after it had been awaited, spawned or moved from");
}

TEST(TaskDeathTest, CantBeSpawnedOnceMovedFrom) {
  EXPECT_DEATH(OnEpoll([]() -> Task<> {
                 auto body = [](Scope& scope) -> Task<> {
                   bool has_run = false;
                   Task<> task = SetTrue(has_run);
                   Task<> other = std::move(task);
                   scope.Spawn(std::move(task));
                   co_await Yield();
                 };
                 co_await WithScope(body);
               }),
               "a Task was used after it had been awaited, spawned or moved from");
}

// A loop that has run and ended, but whose frames may still be destroyed by mistake.
class EndedLoop {
 public:
  // Makes a task on a loop of its own.
  std::optional<Task<>> MakeTask(bool& flag) {
    std::optional<Task<>> made;
    bool is_done = false;
    loop_.CallSoon([&] {
      made = SetTrue(flag);
      is_done = true;
    });
    loop_.RunUntil(is_done);
    return made;
  }

 private:
  std::unique_ptr<Backend> backend_ = *EpollBackend::Create();
  Loop loop_{*backend_};
};

TEST(TaskDeathTest, MadeOnOneLoopCantBeAwaitedOnAnother) {
  EXPECT_DEATH(
      {
        bool flag = false;
        EndedLoop other;
        std::optional<Task<>> task = other.MakeTask(flag);
        OnEpoll([&]() -> Task<> { co_await std::move(*task); });
      },
      "a Task made on one loop was awaited on another: send a callable and its arguments instead");
}

TEST(TaskDeathTest, MadeOnOneLoopCantBeDestroyedOnAnother) {
  EXPECT_DEATH(
      {
        bool flag = false;
        EndedLoop other;
        std::optional<Task<>> task = other.MakeTask(flag);
        OnEpoll([&]() -> Task<> {
          task.reset();
          co_return;
        });
      },
      "a coroutine frame was destroyed on another loop, or outside any loop");
}

TEST(TaskDeathTest, MadeOnALoopItMustNotOutliveIt) {
  EXPECT_DEATH(
      {
        std::optional<Task<>> kept;
        bool flag = false;
        OnEpoll([&]() -> Task<> {
          kept = SetTrue(flag);
          co_return;
        });
      },
      "a loop ended while frames or task handles made on it were still alive");
}

// --- awaiting

Task<> WaitAt(Gate& gate) { co_await gate.Wait(); }

TEST(Task, AwaitedDirectlyItIsStoppedWithItsAwaiter) {
  InEveryWorld([]() -> Task<> {
    Gate gate;
    auto body = [&gate](Scope& scope) -> Task<> {
      scope.Spawn(WaitAt, std::ref(gate));
      co_await Yield();
      co_await Yield();
      EXPECT_EQ(gate.waiting(), 1u);
      scope.RequestStop();
      EXPECT_EQ(gate.waiting(), 0u) << "the wait is revoked by the request itself";
    };
    co_await WithScope(body);
  });
}

Task<> Unwind(Gate& gate, std::string& log) {
  Noting outer(log, "3 ");
  auto inner = [&]() -> Task<> {
    Noting two(log, "2 ");
    auto innermost = [&]() -> Task<> {
      Noting one(log, "1 ");
      co_await gate.Wait();
      log += "went on ";
    };
    co_await innermost();
    log += "went on ";
  };
  co_await inner();
  log += "went on ";
}

TEST(Task, StoppedItDestroysItsFramesInnermostFirst) {
  InEveryWorld([]() -> Task<> {
    Gate gate;
    std::string log;
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(Unwind, std::ref(gate), std::ref(log));
      for (int i = 0; i < 3; ++i) co_await Yield();
      scope.RequestStop();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "1 2 3 ");
  });
}

TEST(Task, CatchAllDoesNotSwallowAStop) {
  InEveryWorld([]() -> Task<> {
    Gate gate;
    std::string log;
    auto child = [&]() -> Task<> {
      Noting local(log, "unwound");
      try {
        co_await gate.Wait();
        log += "went on ";
      } catch (...) {
        log += "caught ";
      }
      log += "after ";
    };
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(child);
      for (int i = 0; i < 3; ++i) co_await Yield();
      scope.RequestStop();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "unwound");
  });
}

}  // namespace
}  // namespace gyre
