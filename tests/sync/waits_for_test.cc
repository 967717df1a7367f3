// What a report says of tasks that wait: for what, and who has it.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "gyre/runtime/current_task.h"
#include "gyre/runtime/internal/waiting.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/task_handle.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/sync/channel.h"
#include "gyre/sync/condition.h"
#include "gyre/sync/event.h"
#include "gyre/sync/latch.h"
#include "gyre/sync/mutex.h"
#include "gyre/sync/rw_lock.h"
#include "gyre/sync/semaphore.h"
#include "gyre/tests/support/worlds.h"
#include "gyre/tests/sync/waits.h"

namespace gyre::testing {
namespace {

#ifdef GYRE_DEBUG_CHECKS
constexpr bool kTaskIsKnown = true;
#else
constexpr bool kTaskIsKnown = false;
#endif

Task<> LockBoth(Mutex& first, Mutex& second) {
  MutexGuard one = co_await first.Lock();
  co_await Yield();
  MutexGuard two = co_await second.Lock();
}

// The two wait for each other, for ever.
void LockInOppositeOrders() {
  InCalmSimulation([]() -> Task<> {
    Mutex left;
    Mutex right;
    auto body = [&](Scope& scope) -> Task<> {
      scope.SpawnNamed("lefty", LockBoth, std::ref(left), std::ref(right));
      scope.SpawnNamed("righty", LockBoth, std::ref(right), std::ref(left));
      co_return;
    };
    co_await WithScope(body);
  });
}

TEST(WaitsFor, TasksThatWaitForEachOtherAreNamedWithWhoHasWhat) {
  const std::string file = "waits_for_test.cc:[0-9]+";
  const std::string held_by_2 = kTaskIsKnown ? "locked by task 2 of loop 0, since .*" + file : "locked since .*" + file;
  const std::string held_by_1 = kTaskIsKnown ? "locked by task 1 of loop 0, since .*" + file : "locked since .*" + file;
  EXPECT_DEATH(LockInOppositeOrders(), "deadlock: every task waits.*task 1 \"lefty\" waits at .*" + file +
                                           ", for a Mutex: " + held_by_2 + ".*task 2 \"righty\" waits at .*" + file +
                                           ", for a Mutex: " + held_by_1);
}

// What the report says of the only task that waits beside the root.
class WaitsForTest : public ::testing::Test {
 protected:
  std::string ReportOf(std::function<Task<>()> waiting, std::function<void()> end) {
    std::string report;
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(waiting);
      co_await Yield();
      report = internal::DescribeWaiting(Loop::Current().core());
      end();
    };
    InCalmSimulation([&]() -> Task<> { co_await WithScope(body); });
    return report;
  }
};

template <class Form>
class WaitsForPermitsTest : public WaitsForTest {};
TYPED_TEST_SUITE(WaitsForPermitsTest, Forms);

TYPED_TEST(WaitsForPermitsTest, UnitsOfASemaphoreAndWhoHoldsTheOthers) {
  BasicSemaphore<TypeParam> semaphore(5);
  std::optional<BasicPermit<TypeParam>> three;
  auto waiting = [&]() -> Task<> {
    three = semaphore.TryAcquire(3);
    const BasicPermit<TypeParam> rest = co_await semaphore.Acquire(4);
  };
  const std::string report = this->ReportOf(waiting, [&] { three.reset(); });
  EXPECT_NE(report.find("for 4 of a Semaphore with 2 of 5 free"), std::string::npos) << report;
  EXPECT_EQ(report.find("held by task 1 of loop 0, since ") != std::string::npos, kTaskIsKnown) << report;
}

TYPED_TEST(WaitsForPermitsTest, PermitsThatMovedSplitAndMergedAreStillKnown) {
  BasicSemaphore<TypeParam> semaphore(6);
  std::optional<BasicPermit<TypeParam>> mine = semaphore.TryAcquire();
  std::optional<BasicPermit<TypeParam>> its;
  auto waiting = [&]() -> Task<> {
    BasicPermit<TypeParam> all = co_await semaphore.Acquire(5);
    BasicPermit<TypeParam> some = all.Split(2);
    BasicPermit<TypeParam> moved = std::move(all);
    BasicPermit<TypeParam>& same = some;
    some.Merge(std::move(same));
    some.Merge(std::move(moved));
    its.emplace(std::move(some));
    const BasicPermit<TypeParam> more = co_await semaphore.Acquire();
  };
  const std::string report = this->ReportOf(waiting, [&] { its.reset(); });
  EXPECT_NE(report.find("for 1 of a Semaphore with 0 of 6 free"), std::string::npos) << report;
  const size_t first = report.find("held by task 1 of loop 0");
  EXPECT_EQ(first != std::string::npos, kTaskIsKnown) << report;
  EXPECT_EQ(report.find(" and by a thread without a loop, since ") != std::string::npos, kTaskIsKnown) << report;
  EXPECT_EQ(report.find("task 1 of loop 0", first + 10), std::string::npos) << report;
}

TEST_F(WaitsForTest, OneThatWasNotifiedWaitsForTheMutex) {
  Mutex mutex;
  Condition condition(mutex);
  std::optional<MutexGuard> guard;
  std::string before;
  auto waiting = [&]() -> Task<> {
    MutexGuard held = co_await mutex.Lock();
    co_await condition.Wait(held);
  };
  auto body = [&](Scope& scope) -> Task<> {
    scope.Spawn(waiting);
    co_await Yield();
    before = internal::DescribeWaiting(Loop::Current().core());
    guard = mutex.TryLock();
    condition.NotifyOne(*guard);
    const std::string after = internal::DescribeWaiting(Loop::Current().core());
    EXPECT_NE(after.find(", for a Condition, notified, and a Mutex: locked "), std::string::npos) << after;
    guard.reset();
  };
  InCalmSimulation([&]() -> Task<> { co_await WithScope(body); });
  EXPECT_NE(before.find(", for a Condition"), std::string::npos) << before;
  EXPECT_EQ(before.find("notified"), std::string::npos) << before;
}

TEST_F(WaitsForTest, EachPrimitiveNamesItself) {
  Event event;
  std::string report = ReportOf([&]() -> Task<> { co_await event.Wait(); }, [&] { event.Set(); });
  EXPECT_NE(report.find(", for an Event"), std::string::npos) << report;

  Latch latch(2);
  report = ReportOf([&]() -> Task<> { co_await latch.Wait(); }, [&] { latch.CountDown(2); });
  EXPECT_NE(report.find(", for a Latch with 2 to come"), std::string::npos) << report;

  RwLock lock;
  std::optional<WriteGuard> writer = lock.TryWriteLock();
  auto read = [&]() -> Task<> { const ReadGuard guard = co_await lock.ReadLock(); };
  report = ReportOf(read, [&] { writer.reset(); });
  EXPECT_NE(report.find(", for a RwLock with a writer"), std::string::npos) << report;
}

TEST_F(WaitsForTest, EitherSideOfAChannel) {
  Channel<int> channel(1);
  std::string report = ReportOf([&]() -> Task<> { std::ignore = co_await channel.Receive(); },
                                [&] { std::ignore = channel.TrySend(1); });
  EXPECT_NE(report.find(", for an item of a Channel"), std::string::npos) << report;

  ASSERT_TRUE(channel.TrySend(2).ok());
  report = ReportOf([&]() -> Task<> { std::ignore = co_await channel.Send(3); },
                    [&] { std::ignore = channel.TryReceive(); });
  EXPECT_NE(report.find(", for room in a Channel"), std::string::npos) << report;
}

TEST_F(WaitsForTest, ATimerAndTheEndOfAnotherTask) {
  std::string report = ReportOf([]() -> Task<> { co_await SleepFor(std::chrono::seconds(1)); }, [] {});
  EXPECT_NE(report.find("task 1 waits at "), std::string::npos) << report;
  EXPECT_NE(report.find(", for a timer"), std::string::npos) << report;

  Event end;
  auto join = [&]() -> Task<> {
    auto body = [&](Scope& scope) -> Task<> {
      auto wait = [&]() -> Task<> { co_await end.Wait(); };
      TaskHandle<> waiting = scope.SpawnNamed("waiting", wait);
      co_await Yield();
      co_await waiting.Join();
    };
    co_await WithScope(body);
  };
  auto root = [&]() -> Task<> {
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(join);
      co_await SleepFor(std::chrono::seconds(1));
      report = internal::DescribeWaiting(Loop::Current().core());
      end.Set();
    };
    co_await WithScope(body);
  };
  InCalmSimulation(root);
  EXPECT_NE(report.find(", for the end of task 2 \"waiting\""), std::string::npos) << report;
}

TEST(CurrentTaskId, IsTheHandlesAndNoneOutsideOfTasks) {
  EXPECT_EQ(CurrentTaskId(), 0u);
  uint64_t in_root = 1;
  uint64_t in_scope_of_task = 0;
  uint64_t by_handle = 0;
  InCalmSimulation([&]() -> Task<> {
    in_root = CurrentTaskId();
    auto nested = [&]() -> Task<> {
      auto inner = [&](Scope& scope) -> Task<> {
        static_cast<void>(scope);
        in_scope_of_task = CurrentTaskId();
        co_return;
      };
      co_await WithScope(inner);
    };
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> task = scope.Spawn(nested);
      by_handle = task.id();
      co_await task.Join();
    };
    co_await WithScope(body);
  });
  EXPECT_EQ(in_root, 0u);
  EXPECT_NE(by_handle, 0u);
  EXPECT_EQ(in_scope_of_task, by_handle);
}

}  // namespace
}  // namespace gyre::testing
