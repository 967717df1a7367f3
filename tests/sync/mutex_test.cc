// What a mutex has beyond other lock-likes: it knows where it was locked.
#include <optional>
#include <thread>

#include "gtest/gtest.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/sync/mutex.h"
#include "gyre/tests/support/worlds.h"

namespace gyre::testing {
namespace {

template <class Form>
class MutexTest : public ::testing::Test {};
using Forms = ::testing::Types<gyre::internal::OneLoop, gyre::internal::ManyLoops>;
TYPED_TEST_SUITE(MutexTest, Forms);

TYPED_TEST(MutexTest, KnowsWhereItsHolderAskedForIt) {
  InEveryWorld([]() -> Task<> {
    BasicMutex<TypeParam> mutex;
    EXPECT_EQ(mutex.holder().line(), 0u);
    unsigned line = 0;
    auto wait = [&]() -> Task<> {
      line = __LINE__ + 1;
      BasicMutexGuard<TypeParam> guard = co_await mutex.Lock();
      EXPECT_EQ(mutex.holder().line(), line);
    };
    auto body = [&](Scope& scope) -> Task<> {
      const unsigned mine = __LINE__ + 1;
      BasicMutexGuard<TypeParam> guard = co_await mutex.Lock();
      scope.Spawn(wait);
      while (mutex.waiting() == 0) co_await Yield();
      EXPECT_EQ(mutex.holder().line(), mine);
      guard.Unlock();
      EXPECT_EQ(mutex.holder().line(), line) << "handed over at once";
    };
    co_await WithScope(body);
    EXPECT_EQ(mutex.holder().line(), 0u);
    EXPECT_FALSE(mutex.is_locked());
  });
}

// [F07] A task that ends has destroyed its guards. A guard that was moved out of it is held by whoever has it now; what
// can go wrong then is that the mutex goes first: that names where it was locked.
TYPED_TEST(MutexTest, ATaskThatEndsHasUnlockedUnlessItsGuardWasMovedOut) {
  InEveryWorld([]() -> Task<> {
    BasicMutex<TypeParam> mutex;
    BasicMutexGuard<TypeParam> kept;
    auto lock_and_end = [&]() -> Task<> { BasicMutexGuard<TypeParam> guard = co_await mutex.Lock(); };
    auto lock_and_keep = [&]() -> Task<> { kept = co_await mutex.Lock(); };
    co_await lock_and_end();
    EXPECT_FALSE(mutex.is_locked());
    co_await lock_and_keep();
    EXPECT_TRUE(mutex.is_locked());
    EXPECT_TRUE(kept.is_locked());
    kept.Unlock();
    EXPECT_FALSE(mutex.is_locked());
  });
}

// [F07]
TYPED_TEST(MutexTest, DestroyedWhileLockedItNamesTheHolder) {
  auto destroy_locked = [] {
    std::optional<BasicMutexGuard<TypeParam>> guard;
    BasicMutex<TypeParam> mutex;
    guard = mutex.TryLock();
  };
  EXPECT_DEATH(destroy_locked(), "while it is locked, (by .*, )?since .*mutex_test.cc:[0-9]+");
}

TYPED_TEST(MutexTest, ToLockItTwiceInOneTaskIsADeadlockThatASimulationReports) {
  auto lock_twice = [] {
    InCalmSimulation([]() -> Task<> {
      BasicMutex<TypeParam> mutex;
      BasicMutexGuard<TypeParam> first = co_await mutex.Lock();
      BasicMutexGuard<TypeParam> second = co_await mutex.Lock();
    });
  };
  EXPECT_DEATH(lock_twice(), "deadlock: every task waits");
}

TEST(Mutex, UsedOnTheThreadOfAnotherLoopWhileHeldIsACheckFailure) {
  auto use_elsewhere = [] {
    Mutex mutex;
    OnEpoll([&]() -> Task<> {
      MutexGuard guard = co_await mutex.Lock();
      std::thread other([&] { OnEpoll([&]() -> Task<> { MutexGuard stolen = co_await mutex.Lock(); }); });
      other.join();
    });
  };
  EXPECT_DEATH(use_elsewhere(), "a Mutex was used on another thread");
}

}  // namespace
}  // namespace gyre::testing
