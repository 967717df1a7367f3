#include "gyre/runtime/runtime.h"

#include <sched.h>

#include <atomic>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "gyre/runtime/internal/usable_cpus.h"
#include "gyre/runtime/run_on.h"
#include "gyre/runtime/sleep.h"
#include "gyre/tests/support/simulated_loops.h"
#include "gyre/tests/support/tasks.h"

namespace gyre {
namespace {

using testing::Give;
using testing::OnLoopsEverywhere;

TEST(Runtime, RunsItsRootOnThisThreadAndGivesTheResult) {
  Runtime runtime(RuntimeOptions().set_loops(3));
  std::thread::id thread;
  auto root = [&]() -> Task<std::string> {
    thread = std::this_thread::get_id();
    EXPECT_EQ(&Loop::Current(), &runtime.loop(0));
    co_return "done";
  };
  EXPECT_EQ(runtime.Run(root), "done");
  EXPECT_EQ(thread, std::this_thread::get_id());
  auto throws = []() -> Task<> {
    throw std::runtime_error("root");
    co_return;
  };
  EXPECT_THROW(runtime.Run(throws), std::runtime_error);
}

TEST(Runtime, HasALoopForEachUsableCpuUnlessTold) {
  EXPECT_EQ(Runtime().loops(), static_cast<size_t>(internal::UsableCpus()));
  EXPECT_EQ(Runtime(RuntimeOptions().set_loops(5)).loops(), 5u);
}

TEST(Runtime, RunsACallableOnEveryLoop) {
  Runtime runtime(RuntimeOptions().set_loops(4));
  std::mutex mutex;
  std::set<std::thread::id> threads;
  std::set<Loop*> loops;
  auto note = [&]() -> Task<absl::Status> {
    const std::lock_guard lock(mutex);
    threads.insert(std::this_thread::get_id());
    loops.insert(&Loop::Current());
    co_return absl::OkStatus();
  };
  EXPECT_EQ(runtime.RunOnEveryLoop(note), absl::OkStatus());
  EXPECT_EQ(threads.size(), 4u);
  EXPECT_EQ(loops.size(), 4u);
  std::atomic<int> runs{0};
  auto without_status = [&runs]() -> Task<> {
    ++runs;
    co_return;
  };
  EXPECT_EQ(runtime.RunOnEveryLoop(without_status), absl::OkStatus());
  EXPECT_EQ(runs, 4);
}

TEST(Runtime, TellsTheCallableItsLoop) {
  OnLoopsEverywhere(4, [](Runtime& runtime) {
    std::atomic<int> right{0};
    auto look = [&](size_t loop) -> Task<> {
      if (&runtime.loop(loop) == &Loop::Current()) ++right;
      co_return;
    };
    EXPECT_EQ(runtime.RunOnEveryLoop(look), absl::OkStatus());
    EXPECT_EQ(right, 4);
  });
}

TEST(Runtime, TheFirstErrorOnALoopStopsTheOthersAndIsGiven) {
  OnLoopsEverywhere(4, [](Runtime& runtime) {
    auto fails = [&runtime]() -> Task<absl::Status> {
      if (&Loop::Current() == &runtime.loop(2)) co_return absl::AbortedError("the third");
      co_await SleepFor(kForever);
      co_return absl::OkStatus();
    };
    EXPECT_EQ(runtime.RunOnEveryLoop(fails), absl::AbortedError("the third"));
    auto throws = [&runtime]() -> Task<> {
      if (&Loop::Current() == &runtime.loop(1)) throw std::runtime_error("the second");
      co_await SleepFor(kForever);
    };
    EXPECT_THROW(static_cast<void>(runtime.RunOnEveryLoop(throws)), std::runtime_error);
  });
}

TEST(Runtime, FurtherErrorsOfLoopsGoToTheHook) {
  std::mutex mutex;
  std::vector<std::string> reported;
  auto hook = [&](const UnhandledError& error) {
    const std::lock_guard lock(mutex);
    reported.push_back(error.ToString());
  };
  Runtime runtime(RuntimeOptions().set_loops(2).set_unhandled_error_hook(hook));
  auto fails = [&runtime]() -> Task<absl::Status> {
    if (&Loop::Current() == &runtime.loop(0)) co_return absl::AbortedError("the first");
    static_cast<void>(co_await AsOutcome(SleepFor(kForever)));
    co_return absl::DataLossError("the other");
  };
  EXPECT_EQ(runtime.RunOnEveryLoop(fails), absl::AbortedError("the first"));
  ASSERT_EQ(reported.size(), 1u);
  EXPECT_NE(reported[0].find("the other"), std::string::npos) << reported[0];
}

// A loop whose callable has ended serves the others until theirs have.
TEST(Runtime, EveryLoopIsThereUntilAllHaveEnded) {
  OnLoopsEverywhere(3, [](Runtime& runtime) {
    std::atomic<int> answers{0};
    auto ask_next = [&]() -> Task<> {
      size_t own = 0;
      while (&runtime.loop(own) != &Loop::Current()) ++own;
      for (size_t i = 0; i < own * 200; ++i) answers += co_await RunOn(runtime.loop((own + 1) % 3), Give, 1);
    };
    EXPECT_EQ(runtime.RunOnEveryLoop(ask_next), absl::OkStatus());
    EXPECT_EQ(answers, 600);
  });
}

TEST(Runtime, StartsAndEndsAThousandTimes) {
  Runtime runtime(RuntimeOptions().set_loops(2));
#ifdef GYRE_DEBUG_CHECKS
  constexpr int kRuns = 100;
#else
  constexpr int kRuns = 1000;
#endif
  for (int i = 0; i < kRuns; ++i) {
    auto root = [&]() -> Task<int> { co_return co_await RunOn(runtime.loop(1), Give, i); };
    EXPECT_EQ(runtime.Run(root), i);
  }
}

TEST(Runtime, SeveralRunBesideOneAnother) {
  auto run = [] {
    Runtime runtime(RuntimeOptions().set_loops(2));
    auto root = [&]() -> Task<int> {
      int sum = 0;
      for (int i = 0; i < 100; ++i) sum += co_await RunOn(runtime.loop(1), Give, 1);
      co_return sum;
    };
    EXPECT_EQ(runtime.Run(root), 100);
  };
  std::thread other(run);
  run();
  other.join();
}

TEST(Runtime, PinsItsLoopsAndGivesTheThreadItsMaskBack) {
  const std::vector<int> before = internal::AffinityCpus();
  Runtime runtime(RuntimeOptions().set_loops(2).set_pin_loops(true));
  auto root = [&]() -> Task<> {
    EXPECT_EQ(internal::AffinityCpus().size(), 1u);
    const std::vector<int> there = co_await RunOn(runtime.loop(1), &internal::AffinityCpus);
    EXPECT_EQ(there.size(), 1u);
    EXPECT_EQ(there[0], before[1 % before.size()]);
  };
  runtime.Run(root);
  EXPECT_EQ(internal::AffinityCpus(), before);
}

TEST(Runtime, WhereItsLoopsCantBeMadeNothingRunsAndAStatusSaysWhy) {
  Runtime runtime(RuntimeOptions().set_loops(2).set_backend(BackendKind::kIoUring));
  auto never = []() -> Task<absl::Status> {
    ADD_FAILURE() << "it ran";
    co_return absl::OkStatus();
  };
  EXPECT_EQ(runtime.RunOnEveryLoop(never).code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(runtime.Run(never).code(), absl::StatusCode::kUnimplemented);
}

TEST(RuntimeDeathTest, OneRunAtATimeAndNoneOnALoop) {
  Runtime runtime(RuntimeOptions().set_loops(2));
  auto nested = [&]() -> Task<> {
    runtime.Run(Give(1));
    co_return;
  };
  EXPECT_DEATH(runtime.Run(nested), "while it runs already");
  auto on_a_loop = []() -> Task<> {
    Runtime(RuntimeOptions().set_loops(2)).Run(Give(1));
    co_return;
  };
  EXPECT_DEATH(gyre::Run(on_a_loop), "on a thread whose loop is running");
}

TEST(RuntimeDeathTest, HasNoLoopsWhileItDoesNotRun) {
  Runtime runtime(RuntimeOptions().set_loops(2));
  EXPECT_DEATH(runtime.loop(0), "the runtime does not run");
}

}  // namespace
}  // namespace gyre
