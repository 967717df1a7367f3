// The shared lock-likes and signals under four loops: capacities of 1 and 2, stops that race with hand-overs; what was
// taken is given back exactly, never more than allowed are inside, and no wake-up is lost (that would hang).
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
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
constexpr int kRounds = 10'000;
#elif defined(GYRE_DEBUG_CHECKS)  // the sanitizers' builds: some ten times slower
constexpr int kVisits = 1'000;
constexpr int kRounds = 200;
#else
constexpr int kVisits = 14'000;
constexpr int kRounds = 4'000;
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

// How many are inside, in words that only an atomic could make right if the lock did not.
class Room {
 public:
  explicit Room(int places) : places_(places) {}
  void Enter() {
    if (inside_.fetch_add(1, std::memory_order_relaxed) >= places_) too_many_.store(true, std::memory_order_relaxed);
  }
  void Leave() {
    inside_.fetch_sub(1, std::memory_order_relaxed);
    visits_.fetch_add(1, std::memory_order_relaxed);
  }
  bool had_too_many() const { return too_many_.load(std::memory_order_relaxed); }
  int inside() const { return inside_.load(std::memory_order_relaxed); }
  int64_t visits() const { return visits_.load(std::memory_order_relaxed); }

 private:
  const int places_;
  std::atomic<int> inside_{0};
  std::atomic<int64_t> visits_{0};
  std::atomic<bool> too_many_{false};
};

class Visit {
 public:
  explicit Visit(Room& room) : room_(room) { room_.Enter(); }
  ~Visit() { room_.Leave(); }

 private:
  Room& room_;
};

// Tasks that come again and again, while others on the same loop are stopped at whatever moment they are in.
template <class Take>
void VisitOnFourLoops(Room& room, Take take) {
  OnFourLoops([&room, take]() -> Task<> {
    auto visit = [&room, take]() -> Task<> {
      for (int i = 0; i < kVisits; ++i) {
        const auto hold = co_await take();
        const Visit inside(room);
        if (i % 8 == 0) co_await Yield();
      }
    };
    auto disturb = [&]() -> Task<> {
      for (int i = 0; i < kVisits / 4; ++i) {
        auto body = [&](Scope& scope) -> Task<> {
          scope.Spawn(visit);
          for (int turn = 0; turn < i % 4; ++turn) co_await Yield();
          scope.RequestStop();
        };
        co_await WithScope(body);
      }
    };
    auto all = [&](Scope& scope) -> Task<> {
      for (int i = 0; i < kTasks; ++i) scope.Spawn(visit);
      co_await disturb();
    };
    co_await WithScope(all);
  });
  EXPECT_FALSE(room.had_too_many());
  EXPECT_EQ(room.inside(), 0);
  EXPECT_GE(room.visits(), int64_t{kLoops} * kTasks * kVisits);
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

TEST(SyncLockStress, LimitersOfTwoUnderStops) {
  SharedCapacityLimiter limiter(2);
  Room room(2);
  VisitOnFourLoops(room, [&] { return limiter.Acquire(); });
  EXPECT_EQ(limiter.borrowed(), 0u);
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
  std::atomic<int64_t> passed{0};
  OnFourLoops([&](size_t loop) -> Task<> {
    auto pass = [&]() -> Task<> {
      for (int i = 0; i < kRounds; ++i) {
        co_await notify.Wait();
        passed.fetch_add(1, std::memory_order_relaxed);
        notify.NotifyOne();  // to the next: one baton for all
      }
    };
    auto disturb = [&]() -> Task<> {
      for (int i = 0; i < kRounds; ++i) {
        auto body = [&](Scope& scope) -> Task<> {
          auto wait = [&]() -> Task<> {
            co_await notify.Wait();
            notify.NotifyOne();
          };
          scope.Spawn(wait);
          for (int turn = 0; turn < i % 3; ++turn) co_await Yield();
          scope.RequestStop();
        };
        co_await WithScope(body);
      }
    };
    auto all = [&](Scope& scope) -> Task<> {
      scope.Spawn(disturb);
      if (loop == 0) notify.NotifyOne();
      co_await pass();
    };
    co_await WithScope(all);
  });
  EXPECT_EQ(passed.load(), int64_t{kLoops} * kRounds);
}

TEST(SyncLockStress, EventsLatchesOncesAndGatesBeginAndEndWithFourLoops) {
  for (int round = 0; round < kRounds / 20; ++round) {
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
