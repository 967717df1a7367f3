// What a reader-writer lock has beyond other lock-likes: readers, and a writer that becomes one.
#include "gyre/sync/rw_lock.h"

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/gate.h"
#include "gyre/tests/support/worlds.h"
#include "gyre/tests/sync/waits.h"

namespace gyre::testing {
namespace {

template <class Form>
class RwLockTest : public ::testing::Test {};
TYPED_TEST_SUITE(RwLockTest, Forms);

// Notes 'r' or 'w' when it is in, and stays until let out.
template <class Form>
Task<> Read(BasicRwLock<Form>& lock, std::string& log, Gate& out) {
  const auto guard = co_await lock.ReadLock();
  log += 'r';
  co_await out.Wait();
}
template <class Form>
Task<> Write(BasicRwLock<Form>& lock, std::string& log, Gate& out) {
  const auto guard = co_await lock.WriteLock();
  log += 'w';
  co_await out.Wait();
}
template <class Form>
Task<TaskHandle<>> ArriveAt(Scope& scope, BasicRwLock<Form>& lock, std::string& log, char kind, Gate& out) {
  const size_t waiting = lock.waiting();
  TaskHandle<> task = scope.Spawn(kind == 'r' ? Read<Form> : Write<Form>, std::ref(lock), std::ref(log), std::ref(out));
  while (lock.waiting() == waiting) co_await Yield();
  co_return task;
}

TYPED_TEST(RwLockTest, ManyReadOneWrites) {
  InEveryWorld([]() -> Task<> {
    BasicRwLock<TypeParam> lock;
    {
      const auto first = co_await lock.ReadLock();
      const auto second = lock.TryReadLock();
      EXPECT_TRUE(second.has_value());
      EXPECT_EQ(lock.readers(), 2u);
      EXPECT_FALSE(lock.TryWriteLock().has_value());
    }
    EXPECT_EQ(lock.readers(), 0u);
    const auto writing = co_await lock.WriteLock();
    EXPECT_TRUE(lock.has_writer());
    EXPECT_FALSE(lock.TryReadLock().has_value());
    EXPECT_FALSE(lock.TryWriteLock().has_value());
  });
}

// [G10]
TYPED_TEST(RwLockTest, ReadersThatComeWhileAWriterWaitsGoBehindIt) {
  InEveryWorld([]() -> Task<> {
    BasicRwLock<TypeParam> lock;
    std::string log;
    Gate out;
    auto reading = lock.TryReadLock();
    auto body = [&](Scope& scope) -> Task<> {
      for (const char kind : {'w', 'r', 'r', 'w', 'r'}) co_await ArriveAt(scope, lock, log, kind, out);
      EXPECT_FALSE(lock.TryReadLock().has_value()) << "nobody overtakes";
      reading->Unlock();
      co_await Noted(log, 1);
      EXPECT_EQ(log, "w");
      out.LetOnePass();
      co_await Noted(log, 3);
      for (int i = 0; i < 3; ++i) co_await Yield();
      EXPECT_EQ(log, "wrr") << "both, and not the one behind the next writer";
      out.Open();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "wrrwr");
  });
}

// [G10]
TYPED_TEST(RwLockTest, AWriterThatIsStoppedLetsTheReadersBehindItIn) {
  InEveryWorld([]() -> Task<> {
    BasicRwLock<TypeParam> lock;
    std::string log;
    Gate out;
    auto reading = lock.TryReadLock();
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> writer = co_await ArriveAt(scope, lock, log, 'w', out);
      for (const char kind : {'r', 'r'}) co_await ArriveAt(scope, lock, log, kind, out);
      writer.RequestStop();
      co_await Noted(log, 2);
      EXPECT_EQ(lock.readers(), 3u);
      out.Open();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "rr");
  });
}

// [G10]
TYPED_TEST(RwLockTest, ADowngradedWriterLetsReadersInAndNoWriterInBetween) {
  InEveryWorld([]() -> Task<> {
    BasicRwLock<TypeParam> lock;
    std::string log;
    Gate out;
    auto writing = lock.TryWriteLock();
    auto body = [&](Scope& scope) -> Task<> {
      for (const char kind : {'r', 'w'}) co_await ArriveAt(scope, lock, log, kind, out);
      auto reading = std::move(*writing).Downgrade();
      EXPECT_FALSE(writing->is_locked());
      EXPECT_TRUE(reading.is_locked());
      EXPECT_FALSE(lock.has_writer());
      co_await Noted(log, 1);
      EXPECT_EQ(log, "r");
      EXPECT_EQ(lock.readers(), 2u);
      out.Open();
      for (int i = 0; i < 3; ++i) co_await Yield();
      EXPECT_EQ(log, "r") << "I still read";
      reading.Unlock();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "rw");
  });
}

TYPED_TEST(RwLockTest, ToDowngradeAnEmptyGuardIsACheckFailure) {
  typename BasicRwLock<TypeParam>::WriteGuard empty;
  EXPECT_DEATH(static_cast<void>(std::move(empty).Downgrade()), "WriteGuard::Downgrade: the guard is empty");
}

}  // namespace
}  // namespace gyre::testing
