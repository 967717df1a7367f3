#include "gyre/runtime/offload/parallel.h"

#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>
#include <tbb/partitioner.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <functional>
#include <numeric>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/block_on.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/offload/cpu_pool.h"
#include "gyre/runtime/offload/offload.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using testing::HookLog;
using testing::InEveryWorld;

// Under the thread sanitizer, and there alone. Every other configuration runs these tests.
constexpr char kNoTbb[] =
    "what oneTBB does is tested here, and Debian's library is not instrumented: under the thread sanitizer pools have plain "
    "threads, and parallel algorithms run in one of them";

TEST(ParallelFor, CallsItsFunctionOnceForEachIndex) {
  InEveryWorld([]() -> Task<> {
    std::vector<std::atomic<int>> calls(10'000);
    co_await ParallelFor(size_t{0}, calls.size(), [&calls](size_t i) { ++calls[i]; });
    EXPECT_TRUE(std::all_of(calls.begin(), calls.end(), [](const std::atomic<int>& count) { return count == 1; }));
    bool was_called = false;
    co_await ParallelFor(5, 5, [&was_called](int) { was_called = true; });
    co_await ParallelFor(5, 2, [&was_called](int) { was_called = true; });
    EXPECT_FALSE(was_called);
  });
}

TEST(ParallelFor, ThrowsHereWhatACallThrows) {
  InEveryWorld([]() -> Task<> {
    auto fails = [](int i) {
      if (i == 777) throw std::runtime_error("at 777");
    };
    const Outcome<> outcome = co_await AsOutcome(ParallelFor(0, 10'000, fails));
    EXPECT_EQ(HookLog::What(outcome.exception()), "at 777");
  });
}

TEST(ParallelFor, StoppedItBeginsNoFurtherPieceAndEndsStopped) {
  CpuPool pool(CpuPoolOptions().set_threads(2).set_owns_tbb(true));
  std::binary_semaphore begun{0};
  std::atomic<bool> is_first{true};
  std::atomic<bool> was_asked{false};
  std::atomic<size_t> calls{0};
  constexpr size_t kCalls = 100'000'000;
  auto work = [&](size_t) {
    if (is_first.exchange(false)) begun.release();
    while (!was_asked.load()) std::this_thread::yield();
    ++calls;
  };
  auto caller = [&]() -> Task<> {
    co_await ParallelFor(OffloadOptions().set_executor(pool), size_t{0}, kCalls, work);
    ADD_FAILURE() << "it was stopped";
  };
  auto body = [&](Scope& scope) -> Task<> {
    TaskHandle<> task = scope.Spawn(caller);
    co_await OffloadBlocking([&begun] { begun.acquire(); });
    task.RequestStop();
    was_asked = true;
    const Outcome<>& outcome = co_await task.Join();
    EXPECT_TRUE(outcome.stopped());
  };
  gyre::Run(body);
  EXPECT_LT(calls.load(), kCalls);
}

TEST(ParallelReduce, CombinesInOrder) {
  InEveryWorld([]() -> Task<> {
    auto append = [](int first, int last, std::string so_far) {
      for (int i = first; i < last; ++i) so_far += static_cast<char>('a' + i % 26);
      return so_far;
    };
    const std::string text = co_await ParallelReduce(0, 5000, std::string(), append, std::plus<>());
    EXPECT_EQ(text, append(0, 5000, ""));
    const std::string none = co_await ParallelReduce(3, 3, std::string(), append, std::plus<>());
    EXPECT_EQ(none, "");
  });
}

TEST(ParallelSort, Sorts) {
  InEveryWorld([]() -> Task<> {
    std::vector<int> values(20'000);
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int>(i * 7919 % 20'011);
    std::vector<int> expected = values;
    std::sort(expected.begin(), expected.end(), std::greater<>());
    co_await ParallelSort(values.begin(), values.end(), std::greater<>());
    EXPECT_EQ(values, expected);
    co_await ParallelSort(values.begin(), values.end());
    EXPECT_TRUE(std::is_sorted(values.begin(), values.end()));
  });
}

TEST(ParallelSort, StoppedItEndsStopped) {
  CpuPool pool(CpuPoolOptions().set_threads(2).set_owns_tbb(true));
  if (!pool.has_tbb_workers()) GTEST_SKIP() << kNoTbb;
  std::binary_semaphore begun{0};
  std::atomic<bool> is_first{true};
  std::atomic<bool> was_asked{false};
  std::vector<int> values(200'000);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int>(i * 7919 % 200'003);
  auto less = [&](int a, int b) {
    if (is_first.exchange(false)) begun.release();
    while (!was_asked.load()) std::this_thread::yield();
    return a < b;
  };
  auto caller = [&]() -> Task<> {
    co_await ParallelSort(OffloadOptions().set_executor(pool), values.begin(), values.end(), less);
    EXPECT_TRUE(std::is_sorted(values.begin(), values.end())) << "half a sort was delivered";
  };
  auto body = [&](Scope& scope) -> Task<> {
    TaskHandle<> task = scope.Spawn(caller);
    co_await OffloadBlocking([&begun] { begun.acquire(); });
    task.RequestStop();
    was_asked = true;
    const Outcome<>& outcome = co_await task.Join();
    EXPECT_TRUE(outcome.stopped());
  };
  gyre::Run(body);
}

TEST(ParallelFor, AnErrorAfterAStopIsNotLost) {
  CpuPool pool(CpuPoolOptions().set_threads(2).set_owns_tbb(true));
  std::binary_semaphore begun{0};
  std::atomic<bool> is_first{true};
  std::atomic<bool> was_asked{false};
  auto work = [&](int) {
    if (!is_first.exchange(false)) return;
    begun.release();
    while (!was_asked.load()) std::this_thread::yield();
    throw std::runtime_error("late");
  };
  auto caller = [&]() -> Task<std::string> {
    const Outcome<> outcome = co_await AsOutcome(ParallelFor(OffloadOptions().set_executor(pool), 0, 10, work));
    co_return HookLog::What(outcome.exception());
  };
  auto body = [&](Scope& scope) -> Task<> {
    TaskHandle<std::string> task = scope.Spawn(caller);
    co_await OffloadBlocking([&begun] { begun.acquire(); });
    task.RequestStop();
    was_asked = true;
    const Outcome<std::string>& outcome = co_await task.Join();
    EXPECT_EQ(outcome.value(), "late");
  };
  gyre::Run(body);
}

TEST(ParallelFor, CountsInTheCommonTypeOfItsBounds) {
  InEveryWorld([]() -> Task<> {
    const size_t many = 100;
    std::atomic<size_t> sum{0};
    co_await ParallelFor(0, many, [&sum](size_t i) { sum += i; });
    EXPECT_EQ(sum.load(), 4950u);
  });
}

TEST(ParallelFor, ACallMayBlockOnALoopThatOffloads) {
  CpuPool pool(CpuPoolOptions().set_threads(2).set_owns_tbb(true));
  std::atomic<int> sum{0};
  gyre::Run([&]() -> Task<> {
    Loop& home = Loop::Current();
    auto offload = [&]() -> Task<int> { co_return co_await Offload(pool, [] { return 1; }); };
    auto call = [&](int) {
      for (int i = 0; i < 10; ++i) sum += BlockOn(home, offload);
    };
    co_await ParallelFor(OffloadOptions().set_executor(pool), 0, 4, call);
  });
  EXPECT_EQ(sum.load(), 40);
}

// A job that waits in a parallel algorithm of its own must not find another job on top of its stack.
TEST(CpuPool, NoJobBeginsInsideAnother) {
  for (int round = 0; round < 20; ++round) {
    CpuPool pool(CpuPoolOptions().set_threads(2).set_owns_tbb(true));  // a new one: its listener takes the first job
    if (!pool.has_tbb_workers()) GTEST_SKIP() << kNoTbb;
    std::binary_semaphore both_began{0};
    std::atomic<int> inside{0};
    std::atomic<bool> is_over{false};
    std::atomic<bool> other_ran{false};
    std::thread::id waiting;
    bool was_nested = false;
    auto outer = [&] {
      waiting = std::this_thread::get_id();
      tbb::parallel_for(
          tbb::blocked_range<int>(0, 2, 1),
          [&](const tbb::blocked_range<int>&) {
            if (++inside == 2) both_began.release();
            while (inside < 2) std::this_thread::yield();
            while (std::this_thread::get_id() != waiting && !is_over) std::this_thread::yield();
          },
          tbb::simple_partitioner());
    };
    auto other = [&] {
      was_nested = !is_over && std::this_thread::get_id() == waiting;
      other_ran = true;
    };
    auto body = [&](Scope& scope) -> Task<> {
      auto run_outer = [&]() -> Task<> { co_await Offload(pool, outer); };
      auto run_other = [&]() -> Task<> { co_await Offload(pool, other); };
      scope.Spawn(run_outer);
      co_await OffloadBlocking([&both_began] { both_began.acquire(); });
      scope.Spawn(run_other);
      for (int i = 0; i < 2000 && !other_ran; ++i) co_await Yield();
      is_over = true;
    };
    gyre::Run(body);
    EXPECT_FALSE(was_nested) << "round " << round;
  }
}

TEST(ParallelFor, IsSpreadOverThePoolsThreads) {
  CpuPool pool(CpuPoolOptions().set_threads(4).set_owns_tbb(true));
  if (!pool.has_tbb_workers()) GTEST_SKIP() << kNoTbb;
  std::atomic<int> inside{0};
  std::atomic<bool> have_met{false};
  auto meet = [&](int) {
    if (++inside >= 2) have_met = true;
    while (!have_met.load()) std::this_thread::yield();
    --inside;
  };
  gyre::Run([&]() -> Task<> { co_await ParallelFor(OffloadOptions().set_executor(pool), 0, 64, meet); });
}

}  // namespace
}  // namespace gyre
