#include "gyre/runtime/offload/offload.h"

#include <atomic>
#include <barrier>
#include <functional>
#include <memory>
#include <semaphore>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/block_on.h"
#include "gyre/runtime/bridge.h"
#include "gyre/runtime/internal/usable_cpus.h"
#include "gyre/runtime/log.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/offload/blocking_pool.h"
#include "gyre/runtime/offload/cpu_pool.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/run_on.h"
#include "gyre/runtime/runtime.h"
#include "gyre/runtime/sim/sim_world.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using namespace std::chrono_literals;
using testing::HookLog;
using testing::InCalmSimulation;
using testing::InEveryWorld;
using testing::InSimulation;

int Half(int value) { return value / 2; }
absl::StatusOr<int> Bad(int) { return absl::NotFoundError("none"); }
int Fails() { throw std::runtime_error("it failed"); }

// Keeps a pool of one thread busy, from its start until End.
class Blocker {
 public:
  void operator()() {
    begun_.release();
    end_.acquire();
  }
  // On another thread.
  void AwaitBegin() { begun_.acquire(); }
  void End() { end_.release(); }

 private:
  std::binary_semaphore begun_{0};
  std::binary_semaphore end_{0};
};

CpuPoolOptions OneThread() { return CpuPoolOptions().set_threads(1); }
// Also where there are fewer CPUs.
CpuPoolOptions Threads(int threads) { return CpuPoolOptions().set_threads(threads).set_owns_tbb(true); }

TEST(Offload, GivesWhatTheCallableGives) {
  InEveryWorld([]() -> Task<> {
    const int half = co_await Offload(Half, 14);
    EXPECT_EQ(half, 7);
    bool has_run = false;
    co_await Offload([&has_run] { has_run = true; });
    EXPECT_TRUE(has_run);
    auto pass = [](std::unique_ptr<int> owned) { return owned; };
    const std::unique_ptr<int> owned = co_await OffloadBlocking(pass, std::make_unique<int>(5));
    EXPECT_EQ(*owned, 5);
    const std::string text = "text";
    const std::string& same = co_await Offload([&text]() -> const std::string& { return text; });
    EXPECT_EQ(&same, &text);
    const absl::StatusOr<int> bad = co_await Offload(Bad, 1);
    EXPECT_EQ(bad.status(), absl::NotFoundError("none"));
  });
}

TEST(Offload, ThrowsHereWhatTheCallableThrows) {
  InEveryWorld([]() -> Task<> {
    const Outcome<int> cpu = co_await AsOutcome(Offload(Fails));
    EXPECT_EQ(HookLog::What(cpu.exception()), "it failed");
    const Outcome<int> blocking = co_await AsOutcome(OffloadBlocking(Fails));
    EXPECT_EQ(HookLog::What(blocking.exception()), "it failed");
  });
}

TEST(Offload, RunsOutsideOfEveryLoopAndComesBackToItsOwn) {
  InEveryWorld([]() -> Task<> {
    const Loop& home = Loop::Current();
    const bool is_outside = co_await Offload([] { return Loop::TryCurrent() == nullptr; });
    EXPECT_TRUE(is_outside);
    EXPECT_EQ(&Loop::Current(), &home);
  });
  gyre::Run([]() -> Task<> {
    const auto here = std::this_thread::get_id();
    auto there = [] { return std::this_thread::get_id(); };
    const std::thread::id cpu = co_await Offload(there);
    const std::thread::id blocking = co_await OffloadBlocking(there);
    EXPECT_NE(cpu, here);
    EXPECT_NE(blocking, here);
    EXPECT_NE(blocking, cpu);
  });
}

TEST(Offload, AJobStoppedBeforeItStartsNeverRuns) {  // [D10] [J02]
  CpuPool pool(OneThread());
  Blocker blocker;
  bool has_run = false;
  auto body = [&](Scope& scope) -> Task<> {
    auto busy = [&]() -> Task<> { co_await Offload(pool, std::ref(blocker)); };
    auto late = [&]() -> Task<> { co_await Offload(pool, [&has_run] { has_run = true; }); };
    scope.Spawn(busy);
    co_await OffloadBlocking([&blocker] { blocker.AwaitBegin(); });
    TaskHandle<> task = scope.Spawn(late);
    co_await Yield();
    task.RequestStop();
    const Outcome<>& outcome = co_await task.Join();  // though the pool is busy
    EXPECT_TRUE(outcome.stopped());
    blocker.End();
  };
  gyre::Run(body);
  EXPECT_FALSE(has_run);
}

TEST(Offload, InAStoppedScopeNothingIsSubmitted) {
  InEveryWorld([]() -> Task<> {
    bool has_run = false;
    auto body = [&](Scope& scope) -> Task<> {
      scope.RequestStop();
      co_await Offload([&has_run] { has_run = true; });
      ADD_FAILURE() << "the await must not return";
    };
    co_await WithScope(body);
    co_await Offload([] {});
    EXPECT_FALSE(has_run);
  });
}

TEST(Offload, ARunningJobIsAskedToStopAndItsResultDelivered) {  // [D10]
  CpuPool pool(OneThread());
  std::binary_semaphore begun{0};
  int result = 0;
  auto work = [&begun](std::stop_token token, int value) {
    begun.release();
    while (!token.stop_requested()) std::this_thread::yield();
    return value;
  };
  auto caller = [&]() -> Task<> {
    result = co_await Offload(pool, work, 7);
    co_await SleepFor(0ms);
    ADD_FAILURE() << "the next await must report the stop";
  };
  auto body = [&](Scope& scope) -> Task<> {
    TaskHandle<> task = scope.Spawn(caller);
    co_await OffloadBlocking([&begun] { begun.acquire(); });
    task.RequestStop();
    const Outcome<>& outcome = co_await task.Join();
    EXPECT_TRUE(outcome.stopped());
  };
  gyre::Run(body);
  EXPECT_EQ(result, 7);
}

TEST(Offload, ARunningJobThatTakesNoTokenIsWaitedFor) {
  CpuPool pool(OneThread());
  Blocker blocker;
  bool has_returned = false;
  auto caller = [&]() -> Task<> {
    co_await Offload(pool, std::ref(blocker));
    has_returned = true;
  };
  auto body = [&](Scope& scope) -> Task<> {
    TaskHandle<> task = scope.Spawn(caller);
    co_await OffloadBlocking([&blocker] { blocker.AwaitBegin(); });
    task.RequestStop();
    for (int i = 0; i < 10; ++i) co_await Yield();
    EXPECT_FALSE(task.Done());
    blocker.End();
    const Outcome<>& outcome = co_await task.Join();
    EXPECT_TRUE(outcome.has_value()) << "its last await has delivered";
  };
  gyre::Run(body);
  EXPECT_TRUE(has_returned);
}

std::atomic<int> lines_about_abandoned{0};

TEST(Offload, AnAbandonedJobIsLeftAtOnceAndReportedAtTheEnd) {  // [J04]
  const LogSink before = SetLogSink([](std::string_view line) {
    if (line.find("abandoned") != std::string_view::npos) ++lines_about_abandoned;
  });
  auto blocker = std::make_shared<Blocker>();
  std::weak_ptr<Blocker> job_has = blocker;
  std::thread later;
  {
    BlockingPool pool;
    auto caller = [&]() -> Task<> {
      auto job = [owned = blocker] { (*owned)(); };
      co_await OffloadBlocking(AbandonOnStop(OffloadOptions().set_executor(pool)), std::move(job));
      ADD_FAILURE() << "it was left";
    };
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> task = scope.Spawn(caller);
      co_await OffloadBlocking([&blocker] { blocker->AwaitBegin(); });
      task.RequestStop();
      const Outcome<>& outcome = co_await task.Join();
      EXPECT_TRUE(outcome.stopped());
      EXPECT_EQ(pool.abandoned(), 1);
    };
    gyre::Run(body);
    later = std::thread([blocker = std::move(blocker)] {
      while (lines_about_abandoned == 0) std::this_thread::yield();
      blocker->End();
    });
  }
  SetLogSink(before);
  later.join();
  EXPECT_TRUE(job_has.expired()) << "the job was not destroyed";
}

static_assert(std::is_same_v<decltype(AbandonOnStop().set_priority(Priority::kLow)), AbandonOnStop&>,
              "a setter must not turn it into plain options");

TEST(Offload, AnAbandonableJobThatIsNotStoppedGivesItsResult) {
  InEveryWorld([]() -> Task<> {
    const int half = co_await Offload(AbandonOnStop(), Half, 8);
    EXPECT_EQ(half, 4);
    const Outcome<int> failed = co_await AsOutcome(Offload(AbandonOnStop(), Fails));
    EXPECT_TRUE(failed.has_exception());
  });
}

TEST(Offload, HigherPrioritiesStartFirstAndTheLowestInTime) {
  CpuPool pool(OneThread());
  Blocker blocker;
  std::string order;
  auto body = [&](Scope& scope) -> Task<> {
    auto busy = [&]() -> Task<> { co_await Offload(pool, std::ref(blocker)); };
    scope.Spawn(busy);
    co_await OffloadBlocking([&blocker] { blocker.AwaitBegin(); });
    auto note = [&](Priority priority, char name) -> Task<> {
      auto job = [&order, name] { order += name; };
      co_await Offload(OffloadOptions().set_executor(pool).set_priority(priority), job);
    };
    scope.Spawn(note, Priority::kLow, 'l');
    scope.Spawn(note, Priority::kNormal, 'n');
    for (int i = 0; i < 100; ++i) scope.Spawn(note, Priority::kHigh, 'h');
    for (int i = 0; i < 3; ++i) co_await Yield();
    blocker.End();
  };
  gyre::Run(body);
  ASSERT_EQ(order.size(), 102u);
  EXPECT_EQ(order[0], 'h');
  EXPECT_LT(order.find('l'), 32u) << order;
  EXPECT_LT(order.find('n'), 64u) << order;
}

TEST(Offload, AFullQueueMakesJobsWaitOrRefusesThem) {
  CpuPool pool(OneThread().set_queue_capacity(2));
  Blocker blocker;
  std::string order;
  auto body = [&](Scope& scope) -> Task<> {
    auto busy = [&]() -> Task<> { co_await Offload(pool, std::ref(blocker)); };
    scope.Spawn(busy);
    co_await OffloadBlocking([&blocker] { blocker.AwaitBegin(); });
    auto note = [&](char name) -> Task<> { co_await Offload(pool, [&order, name] { order += name; }); };
    std::vector<TaskHandle<>> tasks;
    for (char name = 'a'; name <= 'h'; ++name) tasks.push_back(scope.Spawn(note, name));
    for (int i = 0; i < 3; ++i) co_await Yield();
    EXPECT_TRUE(pool.IsFull());
    const OffloadOptions or_not = OffloadOptions().set_executor(pool).set_refuse_when_full(true);
    const absl::StatusOr<int> refused = co_await Offload(or_not, Bad, 1);
    EXPECT_TRUE(absl::IsResourceExhausted(refused.status())) << refused.status();
    tasks[3].RequestStop();  // in the line behind the ring
    tasks[0].RequestStop();  // in the ring
    blocker.End();
  };
  gyre::Run(body);
  EXPECT_EQ(order, "bcefgh");
}

TEST(Offload, WithoutAThreadItsStatusSaysSo) {
  testing::SimOptions none;
  none.job_refused_one_in = 1;
  testing::SimWorld world(1, none);
  auto root = []() -> Task<> {
    const absl::StatusOr<int> status = co_await Offload(Bad, 1);
    EXPECT_TRUE(absl::IsResourceExhausted(status.status())) << status.status();
    const Outcome<int> thrown = co_await AsOutcome(Offload(Half, 1));
    EXPECT_TRUE(absl::IsResourceExhausted(internal::StatusFromException(thrown.exception())));
  };
  world.Run(root);
}

TEST(Offload, TheClockDoesNotPassAJobThatIsUnderWay) {  // [L01]
  testing::SimOptions options = testing::SimOptions::Calm();
  options.job_delay_min = options.job_delay_max = 3ms;
  testing::SimWorld world(1, options);
  auto root = []() -> Task<> {
    const TimePoint start = Loop::Current().Now();
    co_await Offload([] {});
    EXPECT_EQ(Loop::Current().Now() - start, 3ms);
  };
  world.Run(root);
}

// --- the limiter

struct AtOnce {
  std::atomic<int> now{0};
  std::atomic<int> most{0};

  void Enter() {
    const int here = ++now;
    int before = most.load();
    while (before < here && !most.compare_exchange_weak(before, here)) {
    }
  }
  void Leave() { --now; }
};

TEST(JobLimiter, LetsNoMoreInThanItsLimit) {  // [J05]
  CpuPool pool(Threads(8));
  JobLimiter limiter(3);
  AtOnce inside;
  std::atomic<int> ran{0};
  auto job = [&](int number) {
    inside.Enter();
    for (int i = 0; i < 1000; ++i) std::this_thread::yield();
    inside.Leave();
    ++ran;
    if (number % 5 == 4) throw std::runtime_error("fails");
  };
  int stopped = 0;
  auto caller = [&](int number) -> Task<> {
    const auto outcome =
        co_await AsOutcome(Offload(OffloadOptions().set_executor(pool).set_limiter(limiter), job, number));
    if (outcome.stopped()) ++stopped;
  };
  auto body = [&](Scope& scope) -> Task<> {
    std::vector<TaskHandle<>> tasks;
    for (int i = 0; i < 40; ++i) tasks.push_back(scope.Spawn(caller, i));
    co_await Yield();
    for (size_t i = 0; i < tasks.size(); i += 3) tasks[i].RequestStop();
  };
  gyre::Run(body);
  EXPECT_LE(inside.most.load(), 3);
  EXPECT_EQ(ran.load() + stopped, 40);
  EXPECT_GT(stopped, 5);
  EXPECT_EQ(limiter.active(), 0u);
  EXPECT_EQ(limiter.waiting(), 0u);
}

TEST(JobLimiter, AJobThatCannotStartLeavesItsPlaceToTheNext) {  // [J05]
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(seed);
    testing::SimOptions options;
    options.job_refused_one_in = 3;
    testing::SimWorld world(seed, options);
    JobLimiter limiter(2);
    int ended = 0;
    auto caller = [&]() -> Task<> {
      const absl::StatusOr<int> result =
          co_await Offload(OffloadOptions().set_limiter(limiter), []() -> absl::StatusOr<int> { return 1; });
      EXPECT_TRUE(result.ok() || absl::IsResourceExhausted(result.status()));
      ++ended;
    };
    auto body = [&](Scope& scope) -> Task<> {
      std::vector<TaskHandle<>> tasks;
      for (int i = 0; i < 20; ++i) tasks.push_back(scope.Spawn(caller));
      co_await SleepFor(1ms);
      tasks[19].RequestStop();
      tasks[0].RequestStop();
    };
    world.Run(body);
    EXPECT_GE(ended, 18);
    EXPECT_EQ(limiter.active(), 0u);
  }
}

// --- jobs that call back

TEST(Offload, AJobMayCallBackIntoALoop) {
  gyre::Run([]() -> Task<> {
    Loop& home = Loop::Current();
    int posted = 0;
    auto job = [&home, &posted] {
      home.Post([&posted] { ++posted; });
      return BlockOn(home, [] { return 20; }) + 1;
    };
    const int result = co_await Offload(job);
    EXPECT_EQ(result, 21);
    EXPECT_EQ(posted, 1);
  });
}

// Each job waits for one that is offloaded in turn.
Task<int> Nested(CpuPool* pool, int depth) {
  if (depth == 0) co_return 0;
  Loop& home = Loop::Current();
  auto job = [&home, pool, depth] { return BlockOn(home, Nested, pool, depth - 1) + 1; };
  co_return co_await Offload(*pool, job);
}

TEST(Offload, NestedJobsOnOneThreadDoNotDeadlock) {  // [J08]
  CpuPool pool(OneThread());
  const int depth = gyre::Run([&pool] { return Nested(&pool, 10); });
  EXPECT_EQ(depth, 10);
}

TEST(Offload, ManyNestedJobsOnTwoThreadsDoNotDeadlock) {  // [J08]
  CpuPool pool(Threads(2).set_queue_capacity(2));
  int sum = 0;
  auto one = [&]() -> Task<> { sum += co_await Nested(&pool, 4); };
  auto body = [&](Scope& scope) -> Task<> {
    for (int i = 0; i < 20; ++i) scope.Spawn(one);
    co_return;
  };
  gyre::Run(body);
  EXPECT_EQ(sum, 80);
}

TEST(Offload, TwoLoopsWhoseJobsCallTheOtherDoNotDeadlock) {  // [J10]
  CpuPool pool(OneThread().set_queue_capacity(2));
  Runtime runtime(RuntimeOptions().set_loops(2).set_pools(PoolOptions().set_cpu_executor(pool)));
  std::atomic<int> sum{0};
  std::atomic<size_t> next{0};
  const absl::Status status = runtime.RunOnEveryLoop([&]() -> Task<> {
    Loop& other = runtime.loop(1 - next++);
    auto call = [&]() -> Task<> {
      auto job = [&] { return BlockOn(other, [] { return 1; }); };
      sum += co_await Offload(job);
    };
    auto body = [&](Scope& scope) -> Task<> {
      for (int i = 0; i < 50; ++i) scope.Spawn(call);
      co_return;
    };
    co_await WithScope(body);
  });
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(sum.load(), 100);
}

TEST(OffloadDeathTest, AJobInASimulationMayNotBlock) {
  auto run = [] {
    InCalmSimulation([]() -> Task<> {
      Loop& home = Loop::Current();
      co_await Offload([&home] { BlockOn(home, [] {}); });
    });
  };
  EXPECT_DEATH(run(), "about to block the only thread");
}

// --- the two kinds of pools

TEST(Offload, BlockingCallsDoNotWaitForCpuWork) {  // [J07]
  CpuPool pool(Threads(2));
  Blocker blockers[2];
  auto body = [&](Scope& scope) -> Task<> {
    auto busy = [&](Blocker* blocker) -> Task<> { co_await Offload(pool, std::ref(*blocker)); };
    for (Blocker& blocker : blockers) scope.Spawn(busy, &blocker);
    for (Blocker& blocker : blockers) co_await OffloadBlocking([&blocker] { blocker.AwaitBegin(); });
    co_await SleepFor(1ms);
    for (Blocker& blocker : blockers) blocker.End();
  };
  gyre::Run(RunOptions().set_pools(PoolOptions().set_cpu_executor(pool)), body);
}

TEST(Offload, AllThreadsOfTheCpuPoolWorkAtOnce) {
  constexpr int kThreads = 4;
  CpuPool pool(Threads(kThreads));
  EXPECT_EQ(pool.threads(), kThreads);
  for (int round = 0; round < 20; ++round) {
    std::barrier together(kThreads);
    auto one = [&]() -> Task<> { co_await Offload(pool, [&together] { together.arrive_and_wait(); }); };
    auto body = [&](Scope& scope) -> Task<> {
      for (int i = 0; i < kThreads; ++i) scope.Spawn(one);
      co_return;
    };
    gyre::Run(body);
  }
}

// Jobs that come one by one, each while the ones before it run.
TEST(Offload, EachFurtherJobFindsAThread) {
  constexpr int kThreads = 4;
  CpuPool pool(Threads(kThreads));
  for (int round = 0; round < 20; ++round) {
    Blocker blockers[kThreads];
    auto one = [&](Blocker* blocker) -> Task<> { co_await Offload(pool, std::ref(*blocker)); };
    auto body = [&](Scope& scope) -> Task<> {
      for (Blocker& blocker : blockers) {
        scope.Spawn(one, &blocker);
        co_await OffloadBlocking([&blocker] { blocker.AwaitBegin(); });
      }
      for (Blocker& blocker : blockers) blocker.End();
    };
    gyre::Run(body);
  }
}

TEST(Offload, TheRuntimesLoopsShareItsPools) {
  Runtime runtime(RuntimeOptions().set_loops(3));
  Executor* seen[3] = {};
  std::atomic<int> next{0};
  const absl::Status status = runtime.RunOnEveryLoop([&]() -> Task<> {
    seen[next++] = &Loop::Current().cpu_executor();
    const int half = co_await Offload(Half, 2);
    EXPECT_EQ(half, 1);
  });
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(seen[0], seen[1]);
  EXPECT_EQ(seen[0], seen[2]);
}

TEST(BlockingPool, HasAsManyThreadsAsItNeedsAndNoMoreThanItMay) {
  constexpr int kThreads = 5;
  BlockingPool pool(BlockingPoolOptions().set_threads_max(kThreads));
  EXPECT_EQ(pool.threads(), 0u);
  std::barrier together(kThreads);
  auto one = [&]() -> Task<> {
    co_await OffloadBlocking(OffloadOptions().set_executor(pool), [&together] { together.arrive_and_wait(); });
  };
  auto body = [&](Scope& scope) -> Task<> {
    for (int i = 0; i < kThreads * 3; ++i) scope.Spawn(one);
    co_return;
  };
  gyre::Run(body);
  EXPECT_EQ(pool.threads(), static_cast<size_t>(kThreads));
}

TEST(BlockingPool, AThreadWithoutWorkEnds) {
  BlockingPool pool(BlockingPoolOptions().set_keep_alive(Duration::zero()));
  for (int i = 0; i < 50; ++i) {
    gyre::Run([&]() -> Task<> { co_await OffloadBlocking(OffloadOptions().set_executor(pool), [] {}); });
  }
  while (pool.threads() > 0) std::this_thread::yield();
}

// The first to ask for them are loops that are bound to one CPU each.
TEST(Offload, ThePoolsOfAPinnedRuntimeHaveAllItsCpus) {
  const std::vector<int> cpus = internal::AffinityCpus();
  gyre::Runtime runtime(RuntimeOptions().set_loops(2).set_pin_loops(true));
  auto root = [&]() -> Task<> {
    auto ask = [&]() -> Task<> {
      EXPECT_EQ(internal::AffinityCpus().size(), 1u);
      const std::vector<int> of_a_job = co_await Offload([] { return internal::AffinityCpus(); });
      EXPECT_EQ(of_a_job, cpus);
      const std::vector<int> of_a_call = co_await OffloadBlocking([] { return internal::AffinityCpus(); });
      EXPECT_EQ(of_a_call, cpus);
      EXPECT_EQ(internal::AffinityCpus().size(), 1u);
    };
    co_await RunOn(runtime.loop(1), ask);
  };
  runtime.Run(root);
}

}  // namespace
}  // namespace gyre
