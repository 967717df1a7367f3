// What a semaphore has beyond other lock-likes: units, permits, a bound, and an end.
#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "gyre/runtime/deadline.h"
#include "gyre/runtime/errors.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/sync/semaphore.h"
#include "gyre/tests/support/gate.h"
#include "gyre/tests/support/worlds.h"

namespace gyre::testing {
namespace {

using namespace std::chrono_literals;

template <class Form>
class SemaphoreTest : public ::testing::Test {};
using Forms = ::testing::Types<gyre::internal::OneLoop, gyre::internal::ManyLoops>;
TYPED_TEST_SUITE(SemaphoreTest, Forms);

template <class Form>
Task<> TakeUnits(BasicSemaphore<Form>& semaphore, size_t units, std::string& log, char who, Gate& out) {
  const BasicPermit<Form> permit = co_await semaphore.Acquire(units);
  log += who;
  co_await out.Wait();
}
template <class Form>
Task<TaskHandle<>> Arrive(Scope& scope, BasicSemaphore<Form>& semaphore, size_t units, std::string& log, char who, Gate& out) {
  const size_t waiting = semaphore.waiting();
  auto task = scope.Spawn(TakeUnits<Form>, std::ref(semaphore), units, std::ref(log), who, std::ref(out));
  while (semaphore.waiting() == waiting) co_await Yield();
  co_return task;
}

// [F10]
TYPED_TEST(SemaphoreTest, OfFourWaitersWithTwoStoppedTheThirdGetsTheUnitAndTheFourthWaits) {
  InEveryWorld([]() -> Task<> {
    BasicSemaphore<TypeParam> semaphore(0);
    std::string log;
    Gate out;
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> first = co_await Arrive(scope, semaphore, 1, log, '1', out);
      TaskHandle<> second = co_await Arrive(scope, semaphore, 1, log, '2', out);
      co_await Arrive(scope, semaphore, 1, log, '3', out);
      TaskHandle<> fourth = co_await Arrive(scope, semaphore, 1, log, '4', out);
      first.RequestStop();
      second.RequestStop();
      semaphore.Release();
      while (log.empty()) co_await Yield();
      for (int i = 0; i < 3; ++i) co_await Yield();
      EXPECT_EQ(log, "3");
      EXPECT_EQ(semaphore.waiting(), 1u);
      fourth.RequestStop();
      out.Open();
    };
    co_await WithScope(body);
    EXPECT_EQ(semaphore.available(), 1u);
  });
}

// [F13]
TYPED_TEST(SemaphoreTest, AUnitReleasedWhileOneWaitsIsNeverFree) {
  InEveryWorld([]() -> Task<> {
    BasicSemaphore<TypeParam> semaphore(0);
    std::string log;
    Gate out;
    auto body = [&](Scope& scope) -> Task<> {
      co_await Arrive(scope, semaphore, 1, log, 'a', out);
      semaphore.Release();
      EXPECT_EQ(semaphore.available(), 0u);
      EXPECT_EQ(semaphore.taken(), 1u);
      EXPECT_FALSE(semaphore.TryAcquire().has_value());
      out.Open();
    };
    co_await WithScope(body);
  });
}

// [F16]
TYPED_TEST(SemaphoreTest, OneThatAsksForFewerDoesNotOvertakeAndGoesOnWhenTheLargeOneIsStopped) {
  InEveryWorld([]() -> Task<> {
    BasicSemaphore<TypeParam> semaphore(1);
    std::string log;
    Gate out;
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> large = co_await Arrive(scope, semaphore, 5, log, 'L', out);
      co_await Arrive(scope, semaphore, 1, log, 's', out);
      EXPECT_FALSE(semaphore.TryAcquire(1).has_value());
      EXPECT_EQ(semaphore.available(), 1u);
      semaphore.Release(3);
      EXPECT_EQ(semaphore.waiting(), 2u) << "the large one still lacks one";
      large.RequestStop();
      EXPECT_EQ(semaphore.waiting(), 0u);
      out.Open();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "s");
    EXPECT_EQ(semaphore.available(), 4u);
  });
}

// [F16, F20]
TYPED_TEST(SemaphoreTest, ALargeOneWhoseDeadlineHasPassedHoldsUpThoseBehindItForItsTurnOnly) {
  InEveryWorld([]() -> Task<> {
    BasicSemaphore<TypeParam> semaphore(1);
    std::string log;
    Gate out;
    out.Open();
    auto ask_too_late = [&]() -> Task<> {
      const auto taken = co_await Deadline(Loop::Current().Now() - 1s, semaphore.Acquire(5));
      EXPECT_EQ(taken.status().code(), absl::StatusCode::kDeadlineExceeded);
    };
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(ask_too_late);
      scope.Spawn(TakeUnits<TypeParam>, std::ref(semaphore), size_t{1}, std::ref(log), 's', std::ref(out));
      co_return;
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "s");
    EXPECT_EQ(semaphore.available(), 1u);
  });
}

TYPED_TEST(SemaphoreTest, NoUnitsAreAlwaysThere) {
  InEveryWorld([]() -> Task<> {
    BasicSemaphore<TypeParam> semaphore(0);
    const BasicPermit<TypeParam> none = co_await semaphore.Acquire(0);
    EXPECT_EQ(none.units(), 0u);
  });
}

// [F17]
TYPED_TEST(SemaphoreTest, ClosedItRefusesThoseWhoWaitAndWhoeverComesAndPermitsGoOn) {
  InEveryWorld([]() -> Task<> {
    BasicSemaphore<TypeParam> semaphore(1);
    std::string log;
    auto ask = [&]() -> Task<> {
      try {
        const BasicPermit<TypeParam> permit = co_await semaphore.Acquire();
        log += "in ";
      } catch (const StatusError& error) {
        EXPECT_EQ(error.status().code(), absl::StatusCode::kUnavailable);
        EXPECT_EQ(error.status().message(), "the semaphore is closed");
        log += "refused ";
      }
    };
    std::optional<BasicPermit<TypeParam>> mine = semaphore.TryAcquire();
    auto body = [&](Scope& scope) -> Task<> {
      for (int i = 0; i < 2; ++i) scope.Spawn(ask);
      TaskHandle<> stopped = scope.Spawn(ask);
      while (semaphore.waiting() < 3) co_await Yield();
      semaphore.Close();
      stopped.RequestStop();
      semaphore.Close();
      EXPECT_EQ(semaphore.waiting(), 0u);
      co_await ask();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "refused refused refused ") << "and one was stopped";
    EXPECT_TRUE(semaphore.is_closed());
    EXPECT_EQ(mine->units(), 1u);
    mine.reset();
    EXPECT_EQ(semaphore.available(), 1u);
    EXPECT_FALSE(semaphore.TryAcquire().has_value());
  });
}

// [F19]
TYPED_TEST(SemaphoreTest, PermitsThatAreSplitMergedMovedAndForgottenCountExactly) {
  InCalmSimulation([]() -> Task<> {
    BasicSemaphore<TypeParam> semaphore(10, 10);
    BasicPermit<TypeParam> permit = co_await semaphore.Acquire(6);
    {
      BasicPermit<TypeParam> two = permit.Split(2);
      EXPECT_EQ(permit.units(), 4u);
      EXPECT_EQ(two.units(), 2u);
      BasicPermit<TypeParam> moved = std::move(two);
      EXPECT_EQ(two.units(), 0u);
      permit.Merge(std::move(moved));
      EXPECT_EQ(moved.units(), 0u);
      EXPECT_EQ(permit.units(), 6u);
      BasicPermit<TypeParam> one = permit.Split(1);
      BasicPermit<TypeParam> empty;
      empty.Merge(std::move(one));
      EXPECT_EQ(empty.units(), 1u);
      empty.Merge(BasicPermit<TypeParam>());
      EXPECT_EQ(semaphore.taken(), 6u);
    }
    EXPECT_EQ(semaphore.taken(), 5u);
    EXPECT_EQ(semaphore.available(), 5u);
    BasicPermit<TypeParam> lost = permit.Split(3);
    EXPECT_EQ(lost.Forget(), 3u);
    EXPECT_EQ(lost.Forget(), 0u);
    permit.Release();
    EXPECT_EQ(semaphore.taken(), 0u);
    EXPECT_EQ(semaphore.available(), 7u);
    semaphore.Release(3);
    EXPECT_EQ(semaphore.available(), 10u);
  });
}

// [F19]
TYPED_TEST(SemaphoreTest, MisuseIsACheckFailure) {
  BasicSemaphore<TypeParam> semaphore(2, 2);
  BasicSemaphore<TypeParam> other(2);
  EXPECT_DEATH(semaphore.Release(), "more than its bound; was something released twice");
  EXPECT_DEATH(static_cast<void>(semaphore.Acquire(3)), "there are never that many units");
  EXPECT_DEATH(BasicSemaphore<TypeParam>(3, 2), "no more units than its bound");
  auto merge_strangers = [&] {
    InCalmSimulation([&]() -> Task<> {
      auto mine = semaphore.TryAcquire();
      auto theirs = other.TryAcquire();
      mine->Merge(std::move(*theirs));
      co_return;
    });
  };
  EXPECT_DEATH(merge_strangers(), "permits of two semaphores");
  auto split_too_much = [&] {
    InCalmSimulation([&]() -> Task<> {
      auto mine = semaphore.TryAcquire();
      static_cast<void>(mine->Split(2));
      co_return;
    });
  };
  EXPECT_DEATH(split_too_much(), "fewer units than that");
}

}  // namespace
}  // namespace gyre::testing
