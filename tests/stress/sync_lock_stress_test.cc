// The shared lock-likes and signals under four loops: capacities of 1 and 2, stops that race with hand-overs; what was
// taken is given back exactly, never more than allowed are inside, and no wake-up is lost (that would hang).
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/runtime/is_unwinding.h"
#include "gyre/runtime/runtime.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/sync/barrier.h"
#include "gyre/sync/capacity_limiter.h"
#include "gyre/sync/condition.h"
#include "gyre/sync/event.h"
#include "gyre/sync/gate.h"
#include "gyre/sync/latch.h"
#include "gyre/sync/mutex.h"
#include "gyre/sync/notify.h"
#include "gyre/sync/once.h"
#include "gyre/sync/rw_lock.h"
#include "gyre/sync/semaphore.h"

namespace gyre {
namespace {

#if defined(GYRE_LONG_STRESS)  // by hand: docs/testing.md
constexpr int kVisits = 90'000;
constexpr int kRounds = 125'000;
constexpr int kRuntimes = 500;
#elif defined(GYRE_DEBUG_CHECKS)  // the sanitizers' builds: some ten times slower
constexpr int kVisits = 1'000;
constexpr int kRounds = 1'000;
constexpr int kRuntimes = 10;
#else
constexpr int kVisits = 14'000;
constexpr int kRounds = 4'000;
constexpr int kRuntimes = 200;
#endif
constexpr size_t kLoops = 4;
constexpr int kTasks = 3;  // on each loop

// `run(loop)` on every loop; fails the test if that does not end well.
template <class F>
void OnFourLoops(F run) {
  Runtime runtime(RuntimeOptions().set_loops(kLoops));
  const absl::Status status = runtime.RunOnEveryLoop(run);
  EXPECT_TRUE(status.ok()) << status;
}

// How many of its places are taken, in words that only an atomic could make right if the lock did not; and for TSan plain
// memory, which whoever has all places writes, and whoever has some reads.
class Room {
 public:
  explicit Room(int places) : places_(places) {}
  void Enter(int places) {
    if (inside_.fetch_add(places, std::memory_order_relaxed) + places > places_) SetWrong();
    if (begun_ != ended_) SetWrong();
    if (places == places_) ++begun_;
  }
  void Leave(int places) {
    if (places == places_) ++ended_;
    if (begun_ != ended_) SetWrong();
    inside_.fetch_sub(places, std::memory_order_relaxed);
    visits_.fetch_add(1, std::memory_order_relaxed);
  }
  int places() const { return places_; }
  // Visits of all places. Of whoever is inside.
  int64_t begun() const { return begun_; }
  void SetWrong() { is_wrong_.store(true, std::memory_order_relaxed); }

  bool was_wrong() const { return is_wrong_.load(std::memory_order_relaxed); }
  int inside() const { return inside_.load(std::memory_order_relaxed); }
  int64_t visits() const { return visits_.load(std::memory_order_relaxed); }

 private:
  const int places_;
  std::atomic<int> inside_{0};
  std::atomic<int64_t> visits_{0};
  std::atomic<bool> is_wrong_{false};
  int64_t begun_ = 0;
  int64_t ended_ = 0;
};

class Visit {
 public:
  Visit(Room& room, int places) : room_(room), places_(places) { room_.Enter(places_); }
  ~Visit() { room_.Leave(places_); }

 private:
  Room& room_;
  const int places_;
};

// Tasks that come again and again, `visit(i)` each time, while others on the same loop are stopped at whatever moment they
// are in.
template <class F>
void ComeOnFourLoops(Room& room, F visit) {
  OnFourLoops([visit]() -> Task<> {
    auto come = [&](int first) -> Task<> {
      for (int i = 0; i < kVisits; ++i) co_await visit(first + i);
    };
    auto disturb = [&]() -> Task<> {
      for (int i = 0; i < kVisits / 4; ++i) {
        auto body = [&](Scope& scope) -> Task<> {
          scope.Spawn(come, i);
          for (int turn = 0; turn < i % 4; ++turn) co_await Yield();
          scope.RequestStop();
        };
        co_await WithScope(body);
      }
    };
    auto all = [&](Scope& scope) -> Task<> {
      for (int i = 0; i < kTasks; ++i) scope.Spawn(come, i);
      co_await disturb();
    };
    co_await WithScope(all);
  });
  EXPECT_FALSE(room.was_wrong());
  EXPECT_EQ(room.inside(), 0);
  EXPECT_GE(room.visits(), int64_t{kLoops} * kTasks * kVisits);
}

template <class Take>
void VisitOnFourLoops(Room& room, Take take) {
  ComeOnFourLoops(room, [&room, take](int i) -> Task<> {
    const auto hold = co_await take();
    const Visit inside(room, 1);
    if (i % 8 == 0) co_await Yield();
  });
}

TEST(SyncLockStress, SemaphoresOfOneAndTwo) {
  for (const int units : {1, 2}) {
    SharedSemaphore semaphore(static_cast<size_t>(units), static_cast<size_t>(units));
    Room room(units);
    VisitOnFourLoops(room, [&] { return semaphore.Acquire(); });
    EXPECT_EQ(semaphore.available(), static_cast<size_t>(units));
    EXPECT_EQ(semaphore.taken(), 0u);
    EXPECT_EQ(semaphore.waiting(), 0u);
  }
}

TEST(SyncLockStress, OneUnitAndTwoTogether) {
  SharedSemaphore semaphore(2, 2);
  Room room(2);
  ComeOnFourLoops(room, [&](int i) -> Task<> {
    const int units = 1 + i % 2;
    const SharedPermit permit = co_await semaphore.Acquire(static_cast<size_t>(units));
    const Visit inside(room, units);
    if (i % 8 < 2) co_await Yield();
  });
  EXPECT_EQ(semaphore.available(), 2u);
  EXPECT_EQ(semaphore.waiting(), 0u);
}

// What it guards is plain memory: for TSan.
TEST(SyncLockStress, AMutexGuardsPlainMemory) {
  SharedMutex mutex;
  int64_t count = 0;
  OnFourLoops([&]() -> Task<> {
    auto add = [&]() -> Task<> {
      for (int i = 0; i < kVisits; ++i) {
        const SharedMutexGuard guard = co_await mutex.Lock();
        ++count;
      }
    };
    auto all = [&](Scope& scope) -> Task<> {
      for (int i = 0; i < kTasks; ++i) scope.Spawn(add);
      co_return;
    };
    co_await WithScope(all);
  });
  EXPECT_EQ(count, int64_t{kLoops} * kTasks * kVisits);
  EXPECT_FALSE(mutex.is_locked());
}

TEST(SyncLockStress, AMutexUnderStops) {
  SharedMutex mutex;
  Room room(1);
  VisitOnFourLoops(room, [&] { return mutex.Lock(); });
  EXPECT_FALSE(mutex.is_locked());
}

TEST(SyncLockStress, WritersUnderStops) {
  SharedRwLock lock;
  Room room(1);
  VisitOnFourLoops(room, [&] { return lock.WriteLock(); });
  EXPECT_FALSE(lock.has_writer());
}

// One visit of four is a writer's, and every other writer reads on.
TEST(SyncLockStress, ReadersAndWritersUnderStops) {
  SharedRwLock lock;
  Room room(1000);  // more than there are readers
  auto read = [&](int i) -> Task<> {
    std::optional<SharedReadGuard> guard;
    if (i % 4 == 1) guard = lock.TryReadLock();
    if (!guard.has_value()) guard = co_await lock.ReadLock();
    const Visit inside(room, 1);
    if (i % 8 < 4) co_await Yield();
  };
  auto write = [&](int i) -> Task<> {
    SharedWriteGuard guard = co_await lock.WriteLock();
    int64_t mine = 0;
    {
      const Visit inside(room, room.places());
      mine = room.begun();
      if (i % 16 < 8) co_await Yield();
    }
    if (i % 8 < 4) co_return;
    const SharedReadGuard still_mine = std::move(guard).Downgrade();
    const Visit inside(room, 1);
    if (i % 16 < 8) co_await Yield();
    if (room.begun() != mine) room.SetWrong();  // a writer in between
  };
  ComeOnFourLoops(room, [&](int i) { return i % 4 == 0 ? write(i) : read(i); });
  EXPECT_EQ(lock.readers(), 0u);
  EXPECT_FALSE(lock.has_writer());
  EXPECT_EQ(lock.waiting(), 0u);
}

TEST(SyncLockStress, LimitersOfOneAndTwoUnderStops) {
  for (const int total : {1, 2}) {
    SharedCapacityLimiter limiter(static_cast<size_t>(total));
    Room room(total);
    VisitOnFourLoops(room, [&] { return limiter.Acquire(); });
    EXPECT_EQ(limiter.borrowed(), 0u);
    EXPECT_EQ(limiter.waiting(), 0u);
  }
}

TEST(SyncLockStress, AQueueOfTwoOverACondition) {
  SharedMutex mutex;
  SharedCondition changed(mutex);
  std::deque<int64_t> items;
  int64_t given = 0;
  int64_t taken = 0;
  OnFourLoops([&]() -> Task<> {
    auto produce = [&]() -> Task<> {
      for (int i = 0; i < kRounds; ++i) {
        SharedMutexGuard guard = co_await mutex.Lock();
        while (items.size() == 2) co_await changed.Wait(guard);
        items.push_back(i);
        given += i;
        changed.NotifyAll(guard);
      }
    };
    auto consume = [&]() -> Task<> {
      for (int i = 0; i < kRounds; ++i) {
        SharedMutexGuard guard = co_await mutex.Lock();
        while (items.empty()) co_await changed.Wait(guard);
        taken += items.front();
        items.pop_front();
        changed.NotifyAll(guard);
      }
    };
    auto all = [&](Scope& scope) -> Task<> {
      scope.Spawn(produce);
      co_await consume();
    };
    co_await WithScope(all);
  });
  EXPECT_TRUE(items.empty());
  EXPECT_EQ(given, taken);
}

// A task that does `wait()`, and is stopped about when `alarm` is given, again and again, until this is stopped.
template <class F>
Task<> StopOneAtEachAlarm(SharedNotify& alarm, F wait) {
  for (int i = 0;; ++i) {
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(wait);
      for (int alarms = 0; alarms <= i % 3; ++alarms) co_await alarm.Wait();
      if (i % 4 == 0) co_await Yield();
      scope.RequestStop();
    };
    co_await WithScope(body);
  }
}

// Four loops take turns: each notifies one that waits for the next loop's turn. Others wait at the same conditions, and are
// stopped around that time, or pass it on. A notification that went down with one of them would end the round for good.
class Turns {
 public:
  Task<> TakeAll(size_t loop) {
    for (int i = 0; i < kRounds; ++i) {
      SharedMutexGuard guard = co_await mutex_.Lock();
      while (turn_ % kLoops != loop) co_await changed_[loop].Wait(guard);
      ++turn_;
      const size_t next = turn_ % kLoops;
      alarms_[next].NotifyOne();
      changed_[next].NotifyOne(guard);
    }
  }
  Task<> BeInTheWay(size_t loop) {
    SharedMutexGuard guard = co_await mutex_.Lock();
    const Unwinding unwinding(*this, guard);
    co_await changed_[loop].Wait(guard);
    changed_[loop].NotifyOne(guard);
  }

  SharedNotify& alarm(size_t loop) { return alarms_[loop]; }
  size_t turn() const { return turn_; }
  size_t stopped() const { return stopped_; }
  bool was_unlocked() const { return was_unlocked_.load(std::memory_order_relaxed); }

 private:
  // Of a stopped wait too, the guard holds the lock.
  class Unwinding {
   public:
    Unwinding(Turns& turns, const SharedMutexGuard& guard) : turns_(turns), guard_(guard) {}
    ~Unwinding() {
      if (!guard_.is_locked()) turns_.was_unlocked_.store(true, std::memory_order_relaxed);
      if (IsUnwinding()) ++turns_.stopped_;
    }

   private:
    Turns& turns_;
    const SharedMutexGuard& guard_;
  };

  SharedMutex mutex_;
  std::array<SharedCondition, kLoops> changed_{SharedCondition(mutex_), SharedCondition(mutex_), SharedCondition(mutex_),
                                               SharedCondition(mutex_)};
  std::array<SharedNotify, kLoops> alarms_;
  size_t turn_ = 0;  // these two are plain: the mutex guards them
  size_t stopped_ = 0;
  std::atomic<bool> was_unlocked_{false};
};

TEST(SyncLockStress, NoNotificationOfAConditionIsLostToAStop) {
  Turns turns;
  OnFourLoops([&](size_t loop) -> Task<> {
    auto be_in_the_way = [&turns, loop]() -> Task<> { co_await turns.BeInTheWay(loop); };
    auto all = [&](Scope& scope) -> Task<> {
      auto disturb = [&turns, loop, be_in_the_way]() { return StopOneAtEachAlarm(turns.alarm(loop), be_in_the_way); };
      scope.Spawn(disturb);
      co_await turns.TakeAll(loop);
      scope.RequestStop();
    };
    co_await WithScope(all);
  });
  EXPECT_EQ(turns.turn(), kLoops * kRounds);
  EXPECT_FALSE(turns.was_unlocked());
  EXPECT_GT(turns.stopped(), 0u);
}

TEST(SyncLockStress, RoundsOfABarrierSeeWhatWasDoneBefore) {
  SharedBarrier barrier(kLoops);
  std::array<int, kLoops> rounds{};  // plain: the barrier orders it
  OnFourLoops([&](size_t loop) -> Task<> {
    for (int round = 0; round < kRounds; ++round) {
      rounds[loop] = round;
      const absl::StatusOr<size_t> before = co_await barrier.ArriveAndWait();
      EXPECT_TRUE(before.ok());
      for (const int theirs : rounds) {
        if (theirs != round) ADD_FAILURE() << "round " << round;
      }
      const absl::StatusOr<size_t> after = co_await barrier.ArriveAndWait();
      EXPECT_TRUE(after.ok());
    }
  });
}

// One of each loop's waiters is stopped around the time of the notification: each notification still ends one wait, or
// is kept.
TEST(SyncLockStress, NoNotificationIsLostToAStop) {
  SharedNotify notify;
  std::array<SharedNotify, kLoops> alarms;
  std::atomic<int64_t> passed{0};
  OnFourLoops([&](size_t loop) -> Task<> {
    auto pass_one = [&]() -> Task<> {
      co_await notify.Wait();
      for (SharedNotify& alarm : alarms) alarm.NotifyOne();
      notify.NotifyOne();  // to the next: one baton for all
    };
    auto all = [&](Scope& scope) -> Task<> {
      auto disturb = [&, loop]() { return StopOneAtEachAlarm(alarms[loop], pass_one); };
      scope.Spawn(disturb);
      if (loop == 0) notify.NotifyOne();
      for (int i = 0; i < kRounds; ++i) {
        co_await pass_one();
        passed.fetch_add(1, std::memory_order_relaxed);
      }
      scope.RequestStop();
    };
    co_await WithScope(all);
  });
  EXPECT_EQ(passed.load(), int64_t{kLoops} * kRounds);
}

TEST(SyncLockStress, EventsLatchesOncesAndGatesBeginAndEndWithFourLoops) {
  for (int round = 0; round < kRuntimes; ++round) {
    SharedEvent begin;
    SharedLatch ready(kLoops);
    SharedOnce once;
    SharedGate gate;
    int made = 0;
    std::atomic<int> entered{0};
    std::atomic<int> refused{0};
    OnFourLoops([&](size_t loop) -> Task<> {
      if (loop == 0) begin.Set();
      co_await begin.Wait();
      auto make = [&]() -> Task<> {
        co_await Yield();
        ++made;
      };
      co_await once.Run(make);
      EXPECT_EQ(made, 1);
      co_await ready.ArriveAndWait();
      auto work = [&]() -> Task<> {
        const absl::StatusOr<SharedGatePass> pass = gate.Enter();
        (pass.ok() ? entered : refused).fetch_add(1, std::memory_order_relaxed);
        co_await Yield();
      };
      auto all = [&](Scope& scope) -> Task<> {
        for (int i = 0; i < 3; ++i) scope.Spawn(work);
        co_await gate.Drain();
        EXPECT_EQ(gate.inside(), 0u);
      };
      co_await WithScope(all);
    });
    EXPECT_EQ(entered + refused, static_cast<int>(kLoops) * 3);
  }
}

}  // namespace
}  // namespace gyre
