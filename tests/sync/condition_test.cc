#include "gyre/sync/condition.h"

#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "gyre/runtime/deadline.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/sim/explorer.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/sync/mutex.h"
#include "gyre/tests/support/worlds.h"

namespace gyre::testing {
namespace {

using namespace std::chrono_literals;

template <class Form>
class ConditionTest : public ::testing::Test {};
using Forms = ::testing::Types<gyre::internal::OneLoop, gyre::internal::ManyLoops>;
TYPED_TEST_SUITE(ConditionTest, Forms);

template <class Form>
struct Room {
  BasicMutex<Form> mutex;
  BasicCondition<Form> changed{mutex};
  std::string log;

  // Notes "a" when it goes on with the lock, or "!a" when it is stopped with it, and "?a" without.
  Task<> WaitHere(char who) {
    struct End {
      End(Room& its_room, BasicMutexGuard<Form>& its_guard, char name) : room(its_room), guard(its_guard), who(name) {}
      ~End() {
        if (!is_done) room.log += std::string(guard.is_locked() ? "!" : "?") + who;
      }
      Room& room;
      BasicMutexGuard<Form>& guard;
      char who;
      bool is_done = false;
    };
    BasicMutexGuard<Form> guard = co_await mutex.Lock();
    End end(*this, guard, who);
    co_await changed.Wait(guard);
    EXPECT_TRUE(guard.is_locked());
    EXPECT_TRUE(mutex.is_locked());
    log += who;
    end.is_done = true;
  }
  Task<TaskHandle<>> Arrive(Scope& scope, char who) {
    const size_t waiting = changed.waiting();
    TaskHandle<> task = scope.Spawn([this, who] { return WaitHere(who); });
    while (changed.waiting() == waiting) co_await Yield();
    co_return task;
  }
};

// [G03]
TYPED_TEST(ConditionTest, ANotifiedOneReturnsOnlyWhenItHoldsTheLockAgain) {
  InEveryWorld([]() -> Task<> {
    Room<TypeParam> room;
    auto body = [&](Scope& scope) -> Task<> {
      co_await room.Arrive(scope, 'a');
      co_await room.Arrive(scope, 'b');
      BasicMutexGuard<TypeParam> guard = co_await room.mutex.Lock();
      room.changed.NotifyOne(guard);
      for (int i = 0; i < 3; ++i) co_await Yield();
      EXPECT_EQ(room.log, "") << "the lock is still mine";
      EXPECT_EQ(room.changed.waiting(), 1u);
      EXPECT_EQ(room.mutex.waiting(), 1u);
      guard.Unlock();
      while (room.log.empty()) co_await Yield();
      EXPECT_EQ(room.log, "a");
      guard = co_await room.mutex.Lock();
      room.changed.NotifyOne(guard);
    };
    co_await WithScope(body);
    EXPECT_EQ(room.log, "ab");
  });
}

TYPED_TEST(ConditionTest, NotifyAllLetsThemGoOnInOrderOneAtATime) {
  InEveryWorld([]() -> Task<> {
    Room<TypeParam> room;
    auto body = [&](Scope& scope) -> Task<> {
      for (const char who : {'a', 'b', 'c'}) co_await room.Arrive(scope, who);
      BasicMutexGuard<TypeParam> guard = co_await room.mutex.Lock();
      room.changed.NotifyAll(guard);
      EXPECT_EQ(room.changed.waiting(), 0u);
    };
    co_await WithScope(body);
    EXPECT_EQ(room.log, "abc");
  });
}

// [G04]
TYPED_TEST(ConditionTest, AStoppedOneHoldsTheLockWhenItUnwinds) {
  InEveryWorld([]() -> Task<> {
    Room<TypeParam> room;
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> a = co_await room.Arrive(scope, 'a');
      BasicMutexGuard<TypeParam> guard = co_await room.mutex.Lock();
      a.RequestStop();
      for (int i = 0; i < 3; ++i) co_await Yield();
      EXPECT_EQ(room.log, "") << "it waits for the lock, which is mine";
      guard.Unlock();
      while (room.log.empty()) co_await Yield();
      TaskHandle<> b = co_await room.Arrive(scope, 'b');
      b.RequestStop();  // the lock is free
    };
    co_await WithScope(body);
    EXPECT_EQ(room.log, "!a!b");
    EXPECT_FALSE(room.mutex.is_locked());
  });
}

// [G04, G07]
TYPED_TEST(ConditionTest, ANotificationOfOneThatIsStoppedGoesToTheNext) {
  InEveryWorld([]() -> Task<> {
    for (const bool is_unlocked_first : {false, true}) {
      Room<TypeParam> room;
      auto body = [&](Scope& scope) -> Task<> {
        TaskHandle<> a = co_await room.Arrive(scope, 'a');
        co_await room.Arrive(scope, 'b');
        BasicMutexGuard<TypeParam> guard = co_await room.mutex.Lock();
        room.changed.NotifyOne(guard);
        if (is_unlocked_first) guard.Unlock();
        a.RequestStop();
      };
      co_await WithScope(body);
      EXPECT_EQ(room.log, "!ab");
    }
  });
}

TYPED_TEST(ConditionTest, ATimeoutLeavesTheLockWithItsGuard) {
  InSimulation([]() -> Task<> {
    BasicMutex<TypeParam> mutex;
    BasicCondition<TypeParam> changed(mutex);
    BasicMutexGuard<TypeParam> guard = co_await mutex.Lock();
    const bool was_notified = co_await MoveOnAfter(1s, changed.Wait(guard));
    EXPECT_FALSE(was_notified);
    EXPECT_TRUE(guard.is_locked());
    EXPECT_TRUE(mutex.is_locked());
  });
}

// [G06]
TYPED_TEST(ConditionTest, ToWaitOrNotifyWithoutTheLockIsACheckFailure) {
  auto run = [](int what) {
    InCalmSimulation([what]() -> Task<> {
      BasicMutex<TypeParam> mutex;
      BasicMutex<TypeParam> other;
      BasicCondition<TypeParam> changed(mutex);
      BasicMutexGuard<TypeParam> strange = co_await other.Lock();
      BasicMutexGuard<TypeParam> empty;
      if (what == 0) co_await changed.Wait(empty);
      if (what == 1) co_await changed.Wait(strange);
      if (what == 2) changed.NotifyOne(empty);
      if (what == 3) changed.NotifyAll(strange);
    });
  };
  EXPECT_DEATH(run(0), "Condition::Wait: the guard must hold the lock");
  EXPECT_DEATH(run(1), "Condition::Wait: the guard must hold the lock");
  EXPECT_DEATH(run(2), "Condition::NotifyOne: the guard must hold the lock");
  EXPECT_DEATH(run(3), "Condition::NotifyAll: the guard must hold the lock");
}

TYPED_TEST(ConditionTest, ToDestroyItWhileOneWaitsIsACheckFailure) {
  auto destroy_awaited = [] {
    InCalmSimulation([]() -> Task<> {
      auto room = std::make_unique<Room<TypeParam>>();
      auto body = [&](Scope& scope) -> Task<> {
        co_await room->Arrive(scope, 'a');
        room.reset();
      };
      co_await WithScope(body);
    });
  };
  EXPECT_DEATH(destroy_awaited(), "a Condition was destroyed while a task waits for it");
}

// A queue of capacity 2 between two producers and two consumers: nothing is lost, wherever one of them is stopped.
TYPED_TEST(ConditionTest, AQueueMadeOfItLosesNothingWhereverATaskIsStopped) {
  BasicMutex<TypeParam> mutex;
  ExplorerOptions options;
  options.set_seeds(3).set_points_max(60);
  options.Track("locked", [&] { return mutex.is_locked() ? 1 : 0; });
  const ExplorerReport report = StopAtEveryAwait(options, [&](Scope& scope) -> Task<> {
    BasicCondition<TypeParam> changed(mutex);
    std::deque<int> items;
    int taken = 0;
    auto produce = [&]() -> Task<> {
      for (int i = 0; i < 3; ++i) {
        BasicMutexGuard<TypeParam> guard = co_await mutex.Lock();
        while (items.size() == 2) co_await changed.Wait(guard);
        items.push_back(i);
        changed.NotifyAll(guard);
      }
    };
    auto consume = [&]() -> Task<> {
      for (int i = 0; i < 3; ++i) {
        BasicMutexGuard<TypeParam> guard = co_await mutex.Lock();
        while (items.empty()) co_await changed.Wait(guard);
        EXPECT_TRUE(guard.is_locked());
        items.pop_front();
        ++taken;
        changed.NotifyAll(guard);
      }
    };
    auto body = [&](Scope& inner) -> Task<> {
      inner.Spawn(produce);
      inner.Spawn(consume);
      inner.Spawn(produce);
      co_await consume();
    };
    static_cast<void>(scope);
    co_await WithScope(body);
    EXPECT_EQ(taken, 6);
  });
  EXPECT_TRUE(report.ok()) << report;
  EXPECT_GE(report.points().size(), 10u);
}

}  // namespace
}  // namespace gyre::testing
