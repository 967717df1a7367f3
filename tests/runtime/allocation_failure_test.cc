// Refuses the n-th allocation of frames and task states, for every n of a scenario: each ends in std::bad_alloc where the
// program can see it, and nothing is leaked.
#include <atomic>
#include <cstddef>
#include <new>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/internal/allocation.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/runtime.h"
#include "gyre/runtime/sim/sim_world.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/when_all.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/counted.h"

namespace gyre {
namespace {

using namespace std::chrono_literals;
using testing::Counted;
using testing::SimOptions;
using testing::SimWorld;

int g_until_failure = 0;  // 0: never
bool g_has_failed = false;

bool AllowUnlessNth(size_t) {
  if (g_until_failure == 0 || --g_until_failure != 0) return true;
  g_has_failed = true;
  return false;
}

// The hook must be set while no loop runs.
class AllocationFailure : public ::testing::Test {
 protected:
  void SetUp() override {
    Counted::Reset();
    internal::SetAllocationHook(&AllowUnlessNth);
  }
  void TearDown() override { internal::SetAllocationHook(nullptr); }

  // Runs `make` with the 1st, 2nd, ... allocation refused, until it needs fewer. Gives the number of runs that failed.
  template <class Make>
  int RefuseEachInTurn(Make make) {
    for (int nth = 1; nth < 10000; ++nth) {
      SCOPED_TRACE("allocation " + std::to_string(nth));
      g_until_failure = nth;
      g_has_failed = false;
      bool was_thrown = false;
      try {
        SimWorld world(1, SimOptions::Calm());
        world.Run(make);
      } catch (const std::bad_alloc&) {
        was_thrown = true;
      }
      g_until_failure = 0;
      EXPECT_EQ(Counted::live(), 0);
      if (!g_has_failed) {
        EXPECT_FALSE(was_thrown);
        return nth - 1;
      }
      EXPECT_TRUE(was_thrown || survives_) << "a refused allocation must not pass unseen";
      if (HasFailure()) return nth;
    }
    ADD_FAILURE() << "no end";
    return -1;
  }

  bool survives_ = false;  // a failure may be handled inside
};

Task<int> Leaf(Counted, int value) {
  Counted local;
  co_await Yield();
  co_return value;
}
Task<int> Middle(Counted) {
  Counted local;
  const int value = co_await Leaf(Counted(), 2);
  co_return value + 1;
}

TEST_F(AllocationFailure, SurfacesFromAwaits) {
  auto root = []() -> Task<> {
    Counted local;
    const int three = co_await Middle(Counted());
    EXPECT_EQ(three, 3);
    const Outcome<int> two = co_await AsOutcome(Leaf(Counted(), 2));
    (void)two;
  };
  EXPECT_EQ(RefuseEachInTurn(root), 4);
}

TEST_F(AllocationFailure, SurfacesFromSpawnAndItsChildren) {
  auto child = [](Counted) -> Task<> {
    Counted local;
    (void)co_await Middle(Counted());
  };
  auto body = [&child](Scope& scope) -> Task<> {
    Counted local;
    for (int i = 0; i < 3; ++i) scope.Spawn(child, Counted());
    co_await SleepFor(1ms);
    auto handle = scope.Spawn(Leaf(Counted(), 1));
    const Outcome<int>& outcome = co_await handle.Join();
    (void)outcome;
  };
  auto root = [&body]() -> Task<> { co_await WithScope(body); };
  EXPECT_GE(RefuseEachInTurn(root), 15);
}

TEST_F(AllocationFailure, SurfacesFromWhenAll) {
  auto root = []() -> Task<> {
    Counted local;
    const auto all = co_await WhenAll(Middle(Counted()), Leaf(Counted(), 1), SleepFor(1ms));
    EXPECT_EQ(std::get<0>(all), 3);
  };
  EXPECT_EQ(RefuseEachInTurn(root), 5);
}

TEST_F(AllocationFailure, MayBeHandledAndTheProgramGoesOn) {
  survives_ = true;
  auto root = []() -> Task<> {
    for (int attempt = 0; attempt < 2; ++attempt) {
      try {
        const int three = co_await Middle(Counted());
        EXPECT_EQ(three, 3);
        co_return;
      } catch (const std::bad_alloc&) {
      }
    }
    ADD_FAILURE() << "failed twice";
  };
  EXPECT_EQ(RefuseEachInTurn(root), 3);
}

// A budget that is spent needs a block to wait its turn; without memory the coroutine goes on at once.
TEST_F(AllocationFailure, DoesNotStopALongChainOfAwaits) {
  survives_ = true;
  auto nothing = []() -> Task<> { co_return; };
  auto root = [&]() -> Task<> {
    int failures = 0;
    for (int i = 0; i < 600; ++i) {
      try {
        co_await nothing();
      } catch (const std::bad_alloc&) {
        ++failures;
      }
    }
    EXPECT_LE(failures, 1);
  };
  EXPECT_GE(RefuseEachInTurn(root), 600);
}

// --- several loops: the hook is asked by all of their threads

std::atomic<int> g_until_failure_anywhere{0};
std::atomic<bool> g_has_failed_anywhere{false};

bool AllowUnlessNthAnywhere(size_t) {
  if (--g_until_failure_anywhere != 0) return true;
  g_has_failed_anywhere = true;
  return false;
}

// Whichever allocation is refused, on whichever loop: every loop ends, and the error is given.
TEST(RuntimeWithoutMemory, EveryLoopEndsAndTheErrorIsGiven) {
  internal::SetAllocationHook(&AllowUnlessNthAnywhere);
  bool has_failed = true;
  for (int nth = 1; has_failed && nth < 10000; ++nth) {
    SCOPED_TRACE("allocation " + std::to_string(nth));
    g_until_failure_anywhere = nth;
    g_has_failed_anywhere = false;
    bool was_given = false;
    Runtime runtime(RuntimeOptions().set_loops(2));
    auto inner = []() -> Task<> { co_await Yield(); };
    auto callable = [&inner]() -> Task<absl::Status> {
      co_await inner();
      co_return absl::OkStatus();
    };
    try {
      was_given = !runtime.RunOnEveryLoop(callable).ok();
    } catch (const std::bad_alloc&) {
      was_given = true;
    }
    has_failed = g_has_failed_anywhere;
    EXPECT_EQ(was_given, has_failed);
  }
  EXPECT_FALSE(has_failed) << "no end";
  internal::SetAllocationHook(nullptr);
}

}  // namespace
}  // namespace gyre
