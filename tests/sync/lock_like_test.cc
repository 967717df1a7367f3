// What holds for everything that a task takes and gives back: semaphores, mutexes, reader-writer locks (by writers, and by
// readers) and limiters, for one loop and for many. Readers share: only who takes all of it keeps them out, or is kept out.
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/runtime/deadline.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/sim/explorer.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/gate.h"
#include "gyre/tests/support/worlds.h"
#include "gyre/tests/sync/lock_likes.h"

namespace gyre::testing {
namespace {

using namespace std::chrono_literals;

template <class Like>
class LockLike : public ::testing::Test {
 public:
  using Object = typename Like::Object;
  using Hold = typename Like::Hold;

  // Takes it, notes its letter, and gives it back when let out.
  static Task<> Visit(Object& door, std::string& log, char who, Gate& out) {
    const Hold hold = co_await Like::Take(door);
    log += who;
    co_await out.Wait();
  }
  static Task<> VisitAlone(Object& door, std::string& log, char who, Gate& out) {
    const auto hold = co_await Like::TakeAll(door);
    log += who;
    co_await out.Wait();
  }
  static Task<TaskHandle<>> Arrive(Scope& scope, Object& door, std::string& log, char who, Gate& out) {
    return Queue(scope, door, log, who, out, Visit);
  }
  static Task<TaskHandle<>> ArriveForAll(Scope& scope, Object& door, std::string& log, char who, Gate& out) {
    return Queue(scope, door, log, who, out, VisitAlone);
  }
  static Task<> Entered(std::string& log, size_t count) {
    while (log.size() < count) co_await Yield();
  }

 private:
  using VisitFunction = Task<> (*)(Object&, std::string&, char, Gate&);
  // The arrivals are in the order of the calls, whatever the world shuffles.
  static Task<TaskHandle<>> Queue(Scope& scope, Object& door, std::string& log, char who, Gate& out, VisitFunction function) {
    const size_t waiting = door.waiting();
    TaskHandle<> visit = scope.Spawn(function, std::ref(door), std::ref(log), who, std::ref(out));
    while (door.waiting() == waiting) co_await Yield();
    co_return visit;
  }
};
TYPED_TEST_SUITE(LockLike, LockLikes);

// [F01]
TYPED_TEST(LockLike, GoesToWaitersInOrderOfArrival) {
  InEveryWorld([]() -> Task<> {
    typename TestFixture::Object door;
    std::string log;
    Gate out;
    auto mine = TypeParam::TryTakeAll(door);
    auto body = [&](Scope& scope) -> Task<> {
      co_await TestFixture::Arrive(scope, door, log, 'a', out);
      co_await TestFixture::ArriveForAll(scope, door, log, 'b', out);
      co_await TestFixture::Arrive(scope, door, log, 'c', out);
      TypeParam::GiveBack(*mine);
      out.Open();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "abc");
  });
}

// [F02]
TYPED_TEST(LockLike, OneThatIsStoppedInTheTurnOfTheReleaseIsPassedOver) {
  InEveryWorld([]() -> Task<> {
    for (const bool is_stopped_first : {true, false}) {
      typename TestFixture::Object door;
      std::string log;
      Gate out;
      out.Open();
      auto mine = TypeParam::TryTakeAll(door);
      auto body = [&](Scope& scope) -> Task<> {
        TaskHandle<> b = co_await TestFixture::Arrive(scope, door, log, 'b', out);
        co_await TestFixture::ArriveForAll(scope, door, log, 'c', out);
        if (is_stopped_first) b.RequestStop();
        TypeParam::GiveBack(*mine);
        if (!is_stopped_first) b.RequestStop();  // it had been handed over: the moment of Undo
      };
      co_await WithScope(body);
      EXPECT_EQ(log, "c");
    }
  });
}

// [F04]
TYPED_TEST(LockLike, OfFourWithOneStoppedExactlyOneHoldsItAtATime) {
  InEveryWorld([]() -> Task<> {
    typename TestFixture::Object door;
    std::string log;
    Gate out;
    auto mine = TypeParam::TryTakeAll(door);
    auto body = [&](Scope& scope) -> Task<> {
      co_await TestFixture::Arrive(scope, door, log, 'a', out);
      TaskHandle<> b = co_await TestFixture::Arrive(scope, door, log, 'b', out);
      co_await TestFixture::ArriveForAll(scope, door, log, 'c', out);
      co_await TestFixture::Arrive(scope, door, log, 'd', out);
      b.RequestStop();
      TypeParam::GiveBack(*mine);
      co_await TestFixture::Entered(log, 1);
      for (int i = 0; i < 5; ++i) co_await Yield();
      EXPECT_EQ(log, "a");
      EXPECT_EQ(door.waiting(), 2u);
      out.Open();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "acd");
  });
}

// [F05, F10, F11]
TYPED_TEST(LockLike, StoppedWaitersAtTheHeadStrandNobodyBehindThem) {
  InEveryWorld([]() -> Task<> {
    typename TestFixture::Object door;
    std::string log;
    Gate out;
    auto mine = TypeParam::TryTakeAll(door);
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> a = co_await TestFixture::Arrive(scope, door, log, 'a', out);
      TaskHandle<> b = co_await TestFixture::Arrive(scope, door, log, 'b', out);
      co_await TestFixture::ArriveForAll(scope, door, log, 'c', out);
      co_await TestFixture::ArriveForAll(scope, door, log, 'd', out);
      a.RequestStop();
      b.RequestStop();
      TypeParam::GiveBack(*mine);
      co_await TestFixture::Entered(log, 1);
      EXPECT_EQ(log, "c");
      EXPECT_EQ(door.waiting(), 1u) << "d";
      out.Open();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "cd");
  });
}

// [F08, F14]
TYPED_TEST(LockLike, ThoseThatReleaseAndAskAgainTakeTurns) {
  InEveryWorld([]() -> Task<> {
    typename TestFixture::Object door;
    std::string log;
    auto mine = TypeParam::TryTakeAll(door);
    auto loop = [&](char who, auto take) -> Task<> {
      for (int i = 0; i < 4; ++i) {
        const auto hold = co_await take(door);
        log += who;
        if (log.size() % 3 == 0) co_await Yield();
      }
    };
    auto body = [&](Scope& scope) -> Task<> {
      for (const char who : {'1', '2', '3', '4'}) {
        const size_t waiting = door.waiting();
        if (who % 2 == 1) {
          scope.Spawn(loop, who, TypeParam::Take);
        } else {
          scope.Spawn(loop, who, TypeParam::TakeAll);
        }
        while (door.waiting() == waiting) co_await Yield();
      }
      TypeParam::GiveBack(*mine);
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "1234123412341234");
  });
}

// [F13]
TYPED_TEST(LockLike, IsNeverFreeWhileSomebodyCouldHaveIt) {
  InEveryWorld([]() -> Task<> {
    typename TestFixture::Object door;
    std::string log;
    Gate out;
    auto mine = TypeParam::TryTakeAll(door);
    auto body = [&](Scope& scope) -> Task<> {
      co_await TestFixture::Arrive(scope, door, log, 'a', out);
      TypeParam::GiveBack(*mine);
      EXPECT_FALSE(TypeParam::TryTakeAll(door).has_value()) << "it is a's, who has not run yet";
      EXPECT_EQ(log, "");
      out.Open();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "a");
    EXPECT_TRUE(TypeParam::TryTakeAll(door).has_value());
  });
}

// [F20]
TYPED_TEST(LockLike, WithADeadlineThatHasPassedItIsTakenIfFreeAndNotWaitedFor) {
  InEveryWorld([]() -> Task<> {
    typename TestFixture::Object door;
    const TimePoint past = Loop::Current().Now() - 1s;
    {
      const auto free = co_await Deadline(past, TypeParam::Take(door));
      EXPECT_TRUE(free.ok()) << free.status();
      const auto taken = co_await Deadline(past, TypeParam::TakeAll(door));
      EXPECT_EQ(taken.status().code(), absl::StatusCode::kDeadlineExceeded);
      EXPECT_EQ(door.waiting(), 0u);
    }
    {
      const auto free = co_await Deadline(past, TypeParam::TakeAll(door));
      EXPECT_TRUE(free.ok()) << free.status();
      const auto taken = co_await Deadline(past, TypeParam::Take(door));
      EXPECT_EQ(taken.status().code(), absl::StatusCode::kDeadlineExceeded);
      EXPECT_EQ(door.waiting(), 0u);
    }
    EXPECT_TRUE(TypeParam::TryTakeAll(door).has_value());
  });
}

// [F20] Such a one is in the queue until the timers of its turn: if it is handed over by then, that is undone, or it has it.
TYPED_TEST(LockLike, WhatIsHandedToOneWhoseDeadlineHasPassedIsNotLost) {
  InEveryWorld([]() -> Task<> {
    typename TestFixture::Object door;
    std::string log;
    Gate out;
    out.Open();
    auto mine = TypeParam::TryTakeAll(door);
    auto ask_too_late = [&]() -> Task<> {
      const auto taken = co_await Deadline(Loop::Current().Now() - 1s, TypeParam::Take(door));
      log += taken.ok() ? 'a' : '-';
    };
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(ask_too_late);
      scope.Spawn(TestFixture::VisitAlone, std::ref(door), std::ref(log), 'b', std::ref(out));
      co_await Yield();
      TypeParam::GiveBack(*mine);
    };
    co_await WithScope(body);
    EXPECT_EQ(log.size(), 2u) << log;
    EXPECT_TRUE(TypeParam::TryTakeAll(door).has_value());
  });
}

// [F20]
TYPED_TEST(LockLike, InAStoppedScopeNothingIsTried) {
  InEveryWorld([]() -> Task<> {
    typename TestFixture::Object door;
    bool was_taken = false;
    auto body = [&](Scope& scope) -> Task<> {
      scope.RequestStop();
      typename TestFixture::Hold hold = co_await TypeParam::Take(door);
      was_taken = true;
    };
    co_await WithScope(body);
    EXPECT_FALSE(was_taken);
    EXPECT_TRUE(TypeParam::TryTakeAll(door).has_value());
  });
}

TYPED_TEST(LockLike, ADeadlineThatExpiresWhileItWaitsTakesNothing) {
  InSimulation([]() -> Task<> {
    typename TestFixture::Object door;
    auto mine = TypeParam::TryTakeAll(door);
    absl::StatusOr<typename TestFixture::Hold> taken = co_await Timeout(1s, TypeParam::Take(door));
    EXPECT_EQ(taken.status().code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_EQ(door.waiting(), 0u);
    TypeParam::GiveBack(*mine);
    EXPECT_TRUE(TypeParam::TryTakeAll(door).has_value());
  });
}

TYPED_TEST(LockLike, AStopOfTheHolderGivesItBack) {
  InEveryWorld([]() -> Task<> {
    typename TestFixture::Object door;
    std::string log;
    Gate out;
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> a = scope.Spawn(TestFixture::Visit, std::ref(door), std::ref(log), 'a', std::ref(out));
      co_await TestFixture::Entered(log, 1);
      co_await TestFixture::ArriveForAll(scope, door, log, 'b', out);
      a.RequestStop();
      co_await TestFixture::Entered(log, 2);
      out.Open();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "ab");
  });
}

TYPED_TEST(LockLike, IsGivenBackOnceHoweverItsHoldIsMoved) {
  InCalmSimulation([]() -> Task<> {
    typename TestFixture::Object door;
    typename TestFixture::Object other;
    typename TestFixture::Hold first = *TypeParam::TryTake(door);
    typename TestFixture::Hold second = std::move(first);
    TypeParam::GiveBack(first);
    EXPECT_FALSE(TypeParam::TryTakeAll(door).has_value()) << "an empty hold gives nothing back";
    second = *TypeParam::TryTake(other);
    EXPECT_TRUE(TypeParam::TryTakeAll(door).has_value()) << "assigned to, it gave back what it had";
    EXPECT_FALSE(TypeParam::TryTakeAll(other).has_value());
    auto& itself = second;
    second = std::move(itself);
    EXPECT_FALSE(TypeParam::TryTakeAll(other).has_value());
    TypeParam::GiveBack(second);
    TypeParam::GiveBack(second);
    EXPECT_TRUE(TypeParam::TryTakeAll(other).has_value());
    co_return;
  });
}

// Taken on one loop and given back when that has ended, and then used by another.
TYPED_TEST(LockLike, MayOutliveALoop) {
  typename TestFixture::Object door;
  std::optional<typename TestFixture::Hold> kept;
  InCalmSimulation([&]() -> Task<> {
    kept = TypeParam::TryTake(door);
    co_return;
  });
  EXPECT_TRUE(kept.has_value());
  kept.reset();
  InCalmSimulation([&]() -> Task<> {
    typename TestFixture::Hold hold = co_await TypeParam::Take(door);
    EXPECT_FALSE(TypeParam::TryTakeAll(door).has_value());
  });
}

TYPED_TEST(LockLike, ToDestroyItWhileItIsHeldOrWaitedForIsACheckFailure) {
  auto while_held = [] {
    std::optional<typename TestFixture::Hold> hold;
    typename TestFixture::Object door;
    hold = TypeParam::TryTake(door);
  };
  EXPECT_DEATH(while_held(), "was destroyed while .*(held|locked)");
  auto while_awaited = [] {
    InCalmSimulation([]() -> Task<> {
      auto door = std::make_unique<typename TestFixture::Object>();
      auto mine = TypeParam::TryTakeAll(*door);
      std::string log;
      Gate out;
      auto body = [&](Scope& scope) -> Task<> {
        co_await TestFixture::Arrive(scope, *door, log, 'a', out);
        door.reset();
      };
      co_await WithScope(body);
    });
  };
  EXPECT_DEATH(while_awaited(), "was destroyed while a task waits for it");
}

TYPED_TEST(LockLike, LeavesNothingBehindWhereverATaskIsStopped) {
  typename TestFixture::Object door;
  ExplorerOptions options;
  options.AddPass(ExplorerPass::kStopTaskDuring).AddPass(ExplorerPass::kStopTaskAfter).set_seeds(4);
  options.Track("waiting", [&] { return static_cast<int64_t>(door.waiting()); });
  options.Track("free", [&] { return TypeParam::TryTakeAll(door).has_value() ? 1 : 0; });
  auto visit = [&](int naps) -> Task<> {
    typename TestFixture::Hold hold = co_await TypeParam::Take(door);
    for (int i = 0; i < naps; ++i) co_await Yield();
  };
  auto visit_alone = [&](int naps) -> Task<> {
    const auto hold = co_await TypeParam::TakeAll(door);
    for (int i = 0; i < naps; ++i) co_await Yield();
  };
  const ExplorerReport report = StopAtEveryAwait(options, [&](Scope& scope) -> Task<> {
    scope.Spawn(visit, 2);
    scope.Spawn(visit_alone, 0);
    scope.Spawn(visit, 1);
    co_await visit_alone(1);
    typename TestFixture::Hold hold = co_await TypeParam::Take(door);
    scope.Spawn(visit_alone, 0);
    co_await SleepFor(1ms);
  });
  EXPECT_TRUE(report.ok()) << report;
  EXPECT_GE(report.points().size(), 8u);
}

}  // namespace
}  // namespace gyre::testing
