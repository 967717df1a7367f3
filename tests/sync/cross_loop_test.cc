// Locks, signals and leads across loops: each waiter goes on on its own loop, and what was handed over to one that is stopped
// before it has run goes to the next.
#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/runtime/errors.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/runtime.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/sync/barrier.h"
#include "gyre/sync/channel.h"
#include "gyre/sync/condition.h"
#include "gyre/sync/event.h"
#include "gyre/sync/gate.h"
#include "gyre/sync/latch.h"
#include "gyre/sync/lazy.h"
#include "gyre/sync/mutex.h"
#include "gyre/sync/notify.h"
#include "gyre/sync/once.h"
#include "gyre/sync/rw_lock.h"
#include "gyre/sync/semaphore.h"
#include "gyre/tests/support/simulated_loops.h"
#include "gyre/tests/sync/cross_loop.h"
#include "gyre/tests/sync/lock_likes.h"

namespace gyre::testing {
namespace {

using gyre::internal::ManyLoops;

// --- What is handed over is undone, and goes to the next: permits, locks, tokens, slots

struct SlotLike {
  using Hold = SharedChannel<int>::Slot;
  class Object : public SharedChannel<int> {
   public:
    Object() : SharedChannel<int>(1) {}
  };
  static Task<Hold> Take(Object& object) {
    absl::StatusOr<Hold> slot = co_await object.Reserve();
    co_return *std::move(slot);
  }
  static std::optional<Hold> TryTake(Object& object) { return object.TryReserve(); }
  static void GiveBack(Hold& hold) { hold.Release(); }
};

template <class Like>
class CrossLoopUnit : public ::testing::Test {};
using Units = ::testing::Types<SemaphoreLike<ManyLoops>, MutexLike<ManyLoops>, RwLockLike<ManyLoops>,
                               CapacityLimiterLike<ManyLoops>, SlotLike>;
TYPED_TEST_SUITE(CrossLoopUnit, Units);

template <class Like>
Task<> TakeAndNote(typename Like::Object& object, Here& here) {
  const auto hold = co_await Like::Take(object);
  here.Note();
}

// [F02] [F13] [H08]
TYPED_TEST(CrossLoopUnit, HandedToOneThatIsStoppedBeforeItRunsGoesToTheNext) {
  Hits hits;
  InSimulatedLoops(kLoops, [&](Runtime& runtime) {
    typename TypeParam::Object object;
    Story story;
    auto wait = [&](Here& here) { return TakeAndNote<TypeParam>(object, here); };
    auto wake = [&]() -> Task<> {
      auto hold = co_await TypeParam::Take(object);
      co_await story.UntilBothWait();
      TypeParam::GiveBack(hold);
      EXPECT_FALSE(TypeParam::TryTake(object).has_value()) << "it is loop 1's";
      story.Tell();
      co_await story.UntilStopped();
      EXPECT_EQ(TypeParam::TryTake(object).has_value(), story.Has("2")) << "who comes last overtakes nobody";
    };
    story.Play(runtime, wait, wake);
    EXPECT_EQ(story.log(), story.is_hit() ? "!1 2 " : "1 2 ");
    EXPECT_TRUE(TypeParam::TryTake(object).has_value()) << "all have given it back";
    hits.Count(story);
  });
}

// [F10] [F11]
TYPED_TEST(CrossLoopUnit, IsNotHandedToOneThatWasStoppedWhileItWaited) {
  Hits hits;
  InSimulatedLoops(kLoops, [&](Runtime& runtime) {
    typename TypeParam::Object object;
    Story story;
    auto wait = [&](Here& here) { return TakeAndNote<TypeParam>(object, here); };
    auto wake = [&]() -> Task<> {
      auto hold = co_await TypeParam::Take(object);
      co_await story.UntilBothWait();
      story.Tell();
      co_await story.UntilFirstEnds();
      EXPECT_EQ(story.log(), "!1 ");
      TypeParam::GiveBack(hold);
      EXPECT_FALSE(TypeParam::TryTake(object).has_value()) << "it is loop 2's";
    };
    story.Play(runtime, wait, wake);
    EXPECT_EQ(story.log(), "!1 2 ");
    hits.Count(story);
  });
}

// [F13] Both units at once: they are the two's, also while one of them is being undone.
TEST(CrossLoop, UnitsOfASemaphoreAreNeverFreeWhileSomebodyWaits) {
  Hits hits;
  InSimulatedLoops(kLoops, [&](Runtime& runtime) {
    SharedSemaphore semaphore(2);
    Story story;
    auto wait = [&](Here& here) -> Task<> {
      const SharedPermit permit = co_await semaphore.Acquire(2);
      here.Note();
      EXPECT_EQ(semaphore.available(), 0u);
    };
    auto wake = [&]() -> Task<> {
      SharedPermit permit = co_await semaphore.Acquire(2);
      co_await story.UntilBothWait();
      permit.Split(1).Release();
      EXPECT_EQ(semaphore.available(), 1u) << "the first asks for two";
      EXPECT_FALSE(semaphore.TryAcquire().has_value());
      permit.Release();
      EXPECT_EQ(semaphore.available(), 0u);
      story.Tell();
    };
    story.Play(runtime, wait, wake);
    EXPECT_EQ(story.log(), story.is_hit() ? "!1 2 " : "1 2 ");
    EXPECT_EQ(semaphore.available(), 2u);
    hits.Count(story);
  });
}

// [F17]
TEST(CrossLoop, AClosedSemaphoreRefusesWhoWaitsOnOtherLoops) {
  Hits hits;
  InSimulatedLoops(kLoops, [&](Runtime& runtime) {
    SharedSemaphore semaphore(0);
    Story story;
    auto wait = [&](Here& here) -> Task<> {
      try {
        const SharedPermit permit = co_await semaphore.Acquire();
        ADD_FAILURE() << "there are none";
      } catch (const StatusError& error) {
        EXPECT_EQ(error.status().code(), absl::StatusCode::kUnavailable);
        here.Note(" is refused");
      }
    };
    auto wake = [&]() -> Task<> {
      co_await story.UntilBothWait();
      semaphore.Close();
      story.Tell();
    };
    story.Play(runtime, wait, wake);
    EXPECT_TRUE(story.Has(story.is_hit() ? "!1" : "1 is refused")) << story.log();
    EXPECT_TRUE(story.Has("2 is refused")) << story.log();
    EXPECT_EQ(semaphore.taken(), 0u);
    hits.Count(story);
  });
}

// [G10]
TEST(CrossLoop, AWriterThatIsStoppedLetsTheReaderBehindItIn) {
  Hits hits;
  InSimulatedLoops(kLoops, [&](Runtime& runtime) {
    SharedRwLock lock;
    Story story;
    auto wait = [&](Here& here) -> Task<> {
      if (here.loop() == 1) {
        const SharedWriteGuard writing = co_await lock.WriteLock();
        here.Note();
      } else {
        const SharedReadGuard reading = co_await lock.ReadLock();
        here.Note();
      }
    };
    auto wake = [&]() -> Task<> {
      const SharedReadGuard reading = co_await lock.ReadLock();
      co_await story.UntilBothWait();
      EXPECT_FALSE(lock.TryReadLock().has_value()) << "a writer waits";
      story.Tell();
      co_await story.UntilNoted("2");
    };
    story.Play(runtime, wait, wake);
    EXPECT_TRUE(story.Has("!1")) << story.log();
    hits.Count(story);
  });
}

// --- Notifications

// [G07]
TEST(CrossLoop, ANotificationOfOneThatIsStoppedBeforeItRunsGoesToTheNext) {
  Hits hits;
  InSimulatedLoops(kLoops, [&](Runtime& runtime) {
    SharedNotify notify;
    Story story;
    auto wait = [&](Here& here) -> Task<> {
      co_await notify.Wait();
      here.Note();
      if (here.loop() == 1) notify.NotifyOne();
    };
    auto wake = [&]() -> Task<> {
      co_await story.UntilBothWait();
      notify.NotifyOne();
      EXPECT_EQ(notify.waiting(), 1u);
      story.Tell();
    };
    story.Play(runtime, wait, wake);
    EXPECT_EQ(story.log(), story.is_hit() ? "!1 2 " : "1 2 ");
    hits.Count(story);
  });
}

// Waits with the lock, and has it whatever ends the wait. [G03] [G04]
Task<> WaitForChange(SharedMutex& mutex, SharedCondition& changed, Here& here) {
  class HasLock {
   public:
    explicit HasLock(const SharedMutexGuard& guard) : guard_(guard) {}
    ~HasLock() { EXPECT_TRUE(guard_.is_locked()); }

   private:
    const SharedMutexGuard& guard_;
  };
  SharedMutexGuard guard = co_await mutex.Lock();
  const HasLock has_lock(guard);
  co_await changed.Wait(guard);
  EXPECT_TRUE(guard.is_locked());
  EXPECT_FALSE(mutex.TryLock().has_value());
  here.Note();
  if (here.loop() == 1) changed.NotifyOne(guard);
}

TEST(CrossLoop, AConditionsNotificationOfOneThatIsStoppedWithTheLockGoesToTheNext) {
  Hits hits;
  InSimulatedLoops(kLoops, [&](Runtime& runtime) {
    SharedMutex mutex;
    SharedCondition changed(mutex);
    Story story;
    auto wait = [&](Here& here) { return WaitForChange(mutex, changed, here); };
    auto wake = [&]() -> Task<> {
      co_await story.UntilBothWait();
      SharedMutexGuard guard = co_await mutex.Lock();
      EXPECT_EQ(changed.waiting(), 2u);
      changed.NotifyOne(guard);
      guard.Unlock();
      EXPECT_FALSE(mutex.TryLock().has_value()) << "it is loop 1's";
      story.Tell();
    };
    story.Play(runtime, wait, wake);
    EXPECT_EQ(story.log(), story.is_hit() ? "!1 2 " : "1 2 ");
    EXPECT_FALSE(mutex.is_locked());
    hits.Count(story);
  });
}

TEST(CrossLoop, AConditionsWaiterThatIsStoppedBeforeItHasTheLockEndsWhenItHasIt) {
  Hits hits;
  InSimulatedLoops(kLoops, [&](Runtime& runtime) {
    SharedMutex mutex;
    SharedCondition changed(mutex);
    Story story;
    auto wait = [&](Here& here) { return WaitForChange(mutex, changed, here); };
    auto wake = [&]() -> Task<> {
      co_await story.UntilBothWait();
      const SharedMutexGuard guard = co_await mutex.Lock();
      changed.NotifyOne(guard);
      story.Tell();
      co_await story.UntilStopped();
      for (int i = 0; i < 5; ++i) co_await Yield();
      EXPECT_EQ(story.log(), "") << "the lock is loop 0's";
    };
    story.Play(runtime, wait, wake);
    EXPECT_EQ(story.log(), "!1 2 ");
    hits.Count(story);
  });
}

// --- A lead

TEST(CrossLoop, ALeadOfAOnceHandedToOneThatIsStoppedGoesToTheNextWhichRunsOnItsOwnLoop) {
  Hits hits;
  InSimulatedLoops(kLoops, [&](Runtime& runtime) {
    SharedOnce once;
    Story story;
    auto wait = [&](Here& here) -> Task<> {
      auto work = [&]() -> Task<absl::Status> {
        here.Note(" runs");
        co_return absl::OkStatus();
      };
      const absl::Status status = co_await once.Run(work);
      EXPECT_TRUE(status.ok());
      here.Note();
    };
    auto wake = [&]() -> Task<> {
      auto fail = [&]() -> Task<absl::Status> {
        co_await story.UntilBothWait();
        co_return absl::DataLossError("planned");
      };
      const absl::Status status = co_await once.Run(fail);
      story.Tell();
      EXPECT_EQ(status, absl::DataLossError("planned"));
    };
    story.Play(runtime, wait, wake);
    EXPECT_EQ(story.log(), story.is_hit() ? "!1 2 runs 2 " : "1 runs 1 2 ");
    EXPECT_TRUE(once.is_done());
    hits.Count(story);
  });
}

TEST(CrossLoop, AOnceThatIsDoneWakesEachOnItsOwnLoopAndAStopThenTakesNothingBack) {
  Hits hits;
  InSimulatedLoops(kLoops, [&](Runtime& runtime) {
    SharedOnce once;
    Story story;
    auto wait = [&](Here& here) -> Task<> {
      auto work = []() -> Task<> {
        ADD_FAILURE() << "it is done on loop 0";
        co_return;
      };
      co_await once.Run(work);
      here.Note();
    };
    auto wake = [&]() -> Task<> {
      auto work = [&]() -> Task<> { co_await story.UntilBothWait(); };
      co_await once.Run(work);
      story.Tell();
    };
    story.Play(runtime, wait, wake);
    EXPECT_TRUE(story.Has(story.is_hit() ? "!1" : "1")) << story.log();
    EXPECT_TRUE(story.Has("2")) << story.log();
    EXPECT_TRUE(once.is_done());
    hits.Count(story);
  });
}

TEST(CrossLoop, ALazyIsMadeOnTheLoopOfTheNextWhereTheOneBeforeItFailsOrIsStopped) {
  Hits hits;
  InSimulatedLoops(kLoops, [&](Runtime& runtime) {
    Story story;
    auto make = [&]() -> Task<absl::StatusOr<size_t>> {
      const size_t loop = Loop::Current().number();
      if (loop != 0) co_return loop;
      co_await story.UntilBothWait();
      co_return absl::DataLossError("planned");
    };
    SharedLazy<absl::StatusOr<size_t>> lazy(make);
    auto wait = [&](Here& here) -> Task<> {
      const auto got = co_await lazy.Get();
      here.Note(got.ok() ? "=" + std::to_string(*got) : " fails");
    };
    auto wake = [&]() -> Task<> {
      const auto got = co_await lazy.Get();
      story.Tell();
      EXPECT_EQ(got.status(), absl::DataLossError("planned"));
    };
    story.Play(runtime, wait, wake);
    EXPECT_EQ(story.log(), story.is_hit() ? "!1 2=2 " : "1=1 2=1 ");
    hits.Count(story);
  });
}
// --- Signals: all that wait are woken, also where one of them is stopped before it runs

struct EventLike {
  SharedEvent event;
  auto Wait() { return event.Wait(); }
  void Prepare() {}
  // [G01]
  void Wake() {
    event.Set();
    event.Reset();
  }
};
struct LatchLike {
  SharedLatch latch{3};
  auto Wait() { return latch.ArriveAndWait(); }
  void Prepare() {}
  void Wake() { latch.CountDown(); }
};
struct GateLike {
  SharedGate gate;
  SharedGatePass pass;
  auto Wait() { return gate.Drain(); }
  void Prepare() { pass = *gate.Enter(); }
  void Wake() { pass.Leave(); }
};
struct NotifyAllLike {
  SharedNotify notify;
  auto Wait() { return notify.Wait(); }
  void Prepare() {}
  void Wake() { notify.NotifyAll(); }
};
template <class Like>
class CrossLoopSignal : public ::testing::Test {};
using Signals = ::testing::Types<EventLike, LatchLike, GateLike, NotifyAllLike>;
TYPED_TEST_SUITE(CrossLoopSignal, Signals);

TYPED_TEST(CrossLoopSignal, WakesEachOnItsOwnLoop) {
  Hits hits;
  InSimulatedLoops(kLoops, [&](Runtime& runtime) {
    TypeParam signal;
    Story story;
    auto wait = [&](Here& here) -> Task<> {
      co_await signal.Wait();
      here.Note();
    };
    auto wake = [&]() -> Task<> {
      signal.Prepare();
      co_await story.UntilBothWait();
      for (int i = 0; i < 5; ++i) co_await Yield();
      EXPECT_EQ(story.log(), "");
      signal.Wake();
      story.Tell();
    };
    story.Play(runtime, wait, wake);
    EXPECT_TRUE(story.Has(story.is_hit() ? "!1" : "1")) << story.log();
    EXPECT_TRUE(story.Has("2")) << story.log();
    hits.Count(story);
  });
}

std::string TextOf(const absl::StatusOr<size_t>& place) {
  if (place.ok()) return "=" + std::to_string(*place);
  return place.status().code() == absl::StatusCode::kAborted ? " reset" : " broken";
}

// The round is over for those that are stopped then.
TEST(CrossLoop, ABarriersRoundIsOverOnEachLoopWhenItsLastHasArrived) {
  Hits hits;
  InSimulatedLoops(kLoops, [&](Runtime& runtime) {
    SharedBarrier barrier(3);
    Story story;
    auto wait = [&](Here& here) -> Task<> {
      const absl::StatusOr<size_t> place = co_await barrier.ArriveAndWait();
      here.Note(TextOf(place));
    };
    auto wake = [&]() -> Task<> {
      co_await story.UntilBothWait();
      const absl::StatusOr<size_t> place = co_await barrier.ArriveAndWait();
      story.Tell();
      EXPECT_EQ(TextOf(place), "=2");
      EXPECT_EQ(barrier.waiting(), 0u);
    };
    story.Play(runtime, wait, wake);
    EXPECT_TRUE(story.Has(story.is_hit() ? "!1" : "1=0")) << story.log();
    EXPECT_TRUE(story.Has("2=1")) << story.log();
    hits.Count(story);
  });
}

// [G09] One that is stopped while it waits has not arrived.
TEST(CrossLoop, ABarrierNeedsOneMoreForOneThatIsStopped) {
  Hits hits;
  InSimulatedLoops(kLoops, [&](Runtime& runtime) {
    SharedBarrier barrier(3);
    Story story;
    auto arrive = [&]() -> Task<> {
      const absl::StatusOr<size_t> place = co_await barrier.ArriveAndWait();
      EXPECT_NE(TextOf(place), "=0") << "that is loop 2's";
    };
    auto wait = [&](Here& here) -> Task<> {
      const absl::StatusOr<size_t> place = co_await barrier.ArriveAndWait();
      here.Note(TextOf(place));
    };
    auto wake = [&]() -> Task<> {
      co_await story.UntilBothWait();
      story.Tell();
      co_await story.UntilFirstEnds();
      EXPECT_EQ(barrier.waiting(), 1u);
      auto body = [&](Scope& scope) -> Task<> {
        scope.Spawn(arrive);
        for (int i = 0; i < 5; ++i) co_await Yield();
        EXPECT_EQ(barrier.waiting(), 2u);
        EXPECT_EQ(story.log(), "!1 ");
        scope.Spawn(arrive);
      };
      co_await WithScope(body);
    };
    story.Play(runtime, wait, wake);
    EXPECT_EQ(story.log(), "!1 2=0 ");
    hits.Count(story);
  });
}

// [G09]
TEST(CrossLoop, ABarrierThatIsAbortedOrResetEndsTheWaitsOfAllLoops) {
  for (const bool is_abort : {true, false}) {
    const std::string how = is_abort ? " broken" : " reset";
    SCOPED_TRACE(how);
    Hits hits;
    InSimulatedLoops(kLoops, [&](Runtime& runtime) {
      SharedBarrier barrier(3);
      Story story;
      auto wait = [&](Here& here) -> Task<> {
        const absl::StatusOr<size_t> place = co_await barrier.ArriveAndWait();
        here.Note(TextOf(place));
      };
      auto wake = [&]() -> Task<> {
        co_await story.UntilBothWait();
        is_abort ? barrier.Abort() : barrier.Reset();
        story.Tell();
      };
      story.Play(runtime, wait, wake);
      EXPECT_TRUE(story.Has(story.is_hit() ? "!1" : "1" + how)) << story.log();
      EXPECT_TRUE(story.Has("2" + how)) << story.log();
      EXPECT_EQ(barrier.is_broken(), is_abort);
      hits.Count(story);
    });
  }
}

}  // namespace
}  // namespace gyre::testing
