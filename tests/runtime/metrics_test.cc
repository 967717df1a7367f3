#include "gyre/runtime/metrics.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "gyre/runtime/bridge.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/offload/cpu_pool.h"
#include "gyre/runtime/offload/offload.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/run_on.h"
#include "gyre/runtime/runtime.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using namespace std::chrono_literals;
using testing::InEveryWorld;

DurationHistogram Make(std::array<uint64_t, 4> first) {
  std::array<uint64_t, DurationHistogram::kBuckets> counts{};
  std::copy(first.begin(), first.end(), counts.begin());
  return DurationHistogram(counts, 10);
}

TEST(DurationHistogram, TellsWhatMostStayBelow) {
  const DurationHistogram histogram = Make({90, 9, 0, 1});
  EXPECT_EQ(histogram.count(), 100u);
  EXPECT_EQ(histogram.Quantile(0.5), 10ns);
  EXPECT_EQ(histogram.Quantile(0.9), 10ns);
  EXPECT_EQ(histogram.Quantile(0.99), 20ns);
  EXPECT_EQ(histogram.Quantile(1), 80ns);
  EXPECT_EQ(histogram.Since(Make({90, 9, 0, 0})).Quantile(0.5), 80ns);
  EXPECT_EQ(DurationHistogram().Quantile(0.5), 0ns);
}

TEST(LoopMetrics, CountWhatTheLoopDoes) {
  InEveryWorld([]() -> Task<> {
    Loop& loop = Loop::Current();
    const LoopMetrics before = loop.metrics();
    auto body = [](Scope& scope) -> Task<> {
      for (int i = 0; i < 7; ++i) scope.Spawn([]() -> Task<> { co_await Yield(); });
      co_return;
    };
    co_await WithScope(body);
    co_await RunOn(loop, [] {});
    co_await SleepFor(1ms);
    const LoopMetrics after = loop.metrics();
    EXPECT_EQ(after.spawned - before.spawned, 7u);
    EXPECT_GE(after.runs - before.runs, 14u);
    EXPECT_GT(after.turns, before.turns);
    EXPECT_EQ(after.messages - before.messages, 2u) << "a call and its answer";
    EXPECT_EQ(after.wakes, before.wakes) << "it was awake";
    EXPECT_GT(after.sleeps, before.sleeps);
    EXPECT_GE(after.polls, after.sleeps);
    EXPECT_GE(after.busy.Since(before.busy).count(), 1u);
  });
}

TEST(LoopMetrics, MayBeReadByAnotherThreadMeanwhile) {
  std::atomic<bool> is_over{false};
  gyre::Run([&]() -> Task<> {
    std::thread reader([&loop = Loop::Current(), &is_over] {
      uint64_t turns = 0;
      while (!is_over) {
        const LoopMetrics now = loop.metrics();
        EXPECT_GE(now.turns, turns);
        turns = now.turns;
      }
    });
    for (int i = 0; i < 10'000; ++i) co_await Yield();
    is_over = true;
    reader.join();
  });
}

TEST(LoopMetrics, CountTheMessagesThatNeededAWakeAndThoseThatDidNot) {
  gyre::Run([]() -> Task<> {
    Loop& loop = Loop::Current();
    std::thread poster;
    Bridge<> done;
    poster = std::thread([&] {
      while (loop.metrics().sleeps == 0) std::this_thread::yield();
      for (int i = 0; i < 100; ++i) loop.Post([] {});
      done.Complete();
    });
    co_await done.Wait();
    poster.join();
    const LoopMetrics metrics = loop.metrics();
    EXPECT_EQ(metrics.messages, 101u);
    EXPECT_GE(metrics.wakes, 1u);
    EXPECT_LE(metrics.wakes, metrics.messages);
  });
}

TEST(RuntimeMetrics, TellOfEveryLoopAndPool) {
  Runtime runtime(RuntimeOptions().set_loops(3));
  runtime.Run([&]() -> Task<> {
    for (size_t i = 0; i < 3; ++i) co_await RunOn(runtime.loop(i), [] {});
    EXPECT_EQ(runtime.metrics().cpu.jobs, 0u);
    for (int i = 0; i < 5; ++i) co_await Offload([] {});
    for (int i = 0; i < 4; ++i) co_await OffloadBlocking([] {});
    const RuntimeMetrics metrics = runtime.metrics();
    EXPECT_EQ(metrics.loops.size(), 3u);
    for (const LoopMetrics& loop : metrics.loops) EXPECT_GE(loop.messages, 1u);
    EXPECT_EQ(metrics.cpu.jobs, 5u);
    EXPECT_EQ(metrics.cpu.queued.count(), 5u);
    EXPECT_GT(metrics.cpu.running.Quantile(1), 0ns);
    EXPECT_GE(metrics.cpu.threads, 1u);
    EXPECT_EQ(metrics.blocking.jobs, 4u);
  });
}

// --- a loop that looks for work before it sleeps

RunOptions Spinning() { return RunOptions().set_spin(1h); }

TEST(Spin, AMessageToASpinningLoopWakesNobody) {
  gyre::Run(Spinning(), []() -> Task<> {
    Loop& loop = Loop::Current();
    Bridge<> done;
    std::thread poster([&] {
      const uint64_t polls = loop.metrics().polls;
      while (loop.metrics().polls < polls + 3) std::this_thread::yield();  // it spins
      done.Complete();
    });
    co_await done.Wait();
    poster.join();
    EXPECT_EQ(loop.metrics().sleeps, 0u);
    EXPECT_EQ(loop.metrics().wakes, 0u);
  });
}

TEST(Spin, TimersFireMeanwhile) {
  gyre::Run(Spinning(), []() -> Task<> {
    for (int i = 0; i < 20; ++i) co_await SleepFor(100us);
  });
}

TEST(Spin, ALoopWithoutWorkSleepsInTheEnd) {
  gyre::Run(RunOptions().set_spin(10us), []() -> Task<> {
    co_await SleepFor(5ms);
    EXPECT_GE(Loop::Current().metrics().sleeps, 1u);
  });
}

}  // namespace
}  // namespace gyre
