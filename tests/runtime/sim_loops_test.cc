// Several loops in one simulated world: whose turn it is, what time does, and what is sent from loop to loop.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/block_on.h"
#include "gyre/runtime/bridge.h"
#include "gyre/runtime/coalesced_post.h"
#include "gyre/runtime/deadline.h"
#include "gyre/runtime/internal/rng.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/offload/offload.h"
#include "gyre/runtime/remote.h"
#include "gyre/runtime/remote_scope.h"
#include "gyre/runtime/run_on.h"
#include "gyre/runtime/runtime.h"
#include "gyre/runtime/sim/sim_world.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/stop_handle.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/simulated_loops.h"
#include "gyre/tests/support/tasks.h"

namespace gyre::testing {
namespace {

using namespace std::chrono_literals;

// --- order

struct Course {
  std::string order;
  uint64_t hash;
};

Course TakeTurns(uint64_t seed, const SimOptions& options) {
  Course course;
  SimWorld world(seed, options);
  Runtime runtime(world.Loops(3));
  auto note = [&course](size_t loop) -> Task<> {
    for (int i = 0; i < 4; ++i) {
      course.order += std::to_string(loop);
      co_await Yield();
    }
  };
  EXPECT_TRUE(runtime.RunOnEveryLoop(note).ok());
  course.hash = world.trace_hash();
  return course;
}

// [L02]
TEST(SimLoops, TheSeedChoosesWhoseTurnItIs) {
  std::vector<std::string> orders;
  std::vector<uint64_t> hashes;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    const Course course = TakeTurns(seed, SimOptions());
    const Course again = TakeTurns(seed, SimOptions());
    EXPECT_EQ(course.order, again.order) << "seed " << seed;
    EXPECT_EQ(course.hash, again.hash) << "seed " << seed;
    orders.push_back(course.order);
    hashes.push_back(course.hash);
  }
  auto lets_one_run_alone = [](const std::string& order) {
    return order.find("0000") != order.npos || order.find("1111") != order.npos || order.find("2222") != order.npos;
  };
  EXPECT_GT(std::ranges::count_if(orders, lets_one_run_alone), 0);
  std::ranges::sort(orders);
  EXPECT_GT(std::ranges::unique(orders).begin() - orders.begin(), 35);
  std::ranges::sort(hashes);
  EXPECT_EQ(std::ranges::adjacent_find(hashes), hashes.end());
}

TEST(SimLoops, InACalmWorldTheyTakeTurnsInACircle) {
  EXPECT_EQ(TakeTurns(1, SimOptions::Calm()).order, "012012012012");
}

TEST(SimLoops, AreAllOnOneThreadAndEachKnowsItself) {
  InSimulatedLoops(3, [](Runtime& runtime) {
    const std::thread::id thread = std::this_thread::get_id();
    auto look = [&](size_t loop) -> Task<> {
      for (int i = 0; i < 10; ++i) {
        EXPECT_EQ(&Loop::Current(), &runtime.loop(loop));
        EXPECT_EQ(std::this_thread::get_id(), thread);
        co_await Yield();
      }
    };
    EXPECT_EQ(runtime.RunOnEveryLoop(look), absl::OkStatus());
    EXPECT_EQ(Loop::TryCurrent(), nullptr);
  });
}

// --- time

TEST(SimLoops, ShareOneClockThatJumpsToTheNextDeadlineOfAnyOfThem) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SimWorld world(seed);
    Runtime runtime(world.Loops(3));
    std::vector<Duration> seen;
    auto sleep = [&](size_t loop) -> Task<> {
      for (int i = 0; i < 2; ++i) {
        co_await SleepFor(Duration(1h) * static_cast<int>(loop + 1));
        seen.push_back(world.Elapsed());
        EXPECT_EQ(Loop::Current().Now(), world.Now());
      }
    };
    EXPECT_EQ(runtime.RunOnEveryLoop(sleep), absl::OkStatus());
    EXPECT_EQ(seen, std::vector<Duration>({1h, 2h, 2h, 3h, 4h, 6h}));
  }
}

// [L01]
TEST(SimLoops, TimeStandsStillWhileOneOfThemHasSomethingToDo) {
  InSimulatedLoops(3, [](Runtime& runtime) {
    bool is_busy = true;
    auto play = [&](size_t loop) -> Task<> {
      if (loop == 0) {
        co_await Turns(1000);
        is_busy = false;
      } else {
        co_await SleepFor(Duration(1));
        EXPECT_FALSE(is_busy);
      }
    };
    EXPECT_EQ(runtime.RunOnEveryLoop(play), absl::OkStatus());
  });
}

TEST(SimLoops, OneThatIsAlwaysBusyStillMeetsItsDeadlinesAndTheOthersTheirs) {
  SimOptions options;
  options.busy_turns_max = 1000;
  SimWorld world(1, options);
  Runtime runtime(world.Loops(2));
  int over = 0;
  auto play = [&](size_t loop) -> Task<> {
    if (loop == 1) {
      co_await SleepFor(1h);
      ++over;
    } else {
      Loop::Current().CallLater(2h, [&over] { ++over; });
      while (over < 2) co_await Yield();
    }
  };
  EXPECT_EQ(runtime.RunOnEveryLoop(play), absl::OkStatus());
  EXPECT_GE(world.Elapsed(), 2h);
  EXPECT_LT(world.Elapsed(), 2h + 1ms);
}

TEST(SimLoops, AMessageWakesASleeperAfterAWhileAndOneThatIsAwakeAtOnce) {
  SimOptions options = SimOptions::Calm();
  options.wake_latency_min = options.wake_latency_max = 7us;
  SimWorld world(1, options);
  Runtime runtime(world.Loops(2));
  auto root = [&]() -> Task<> {
    co_await SleepFor(1s);
    auto far = [&world] { return world.Elapsed(); };
    const Duration there = co_await RunOn(runtime.loop(1), far);
    EXPECT_EQ(there, 1s + 7us);
    EXPECT_EQ(world.Elapsed(), 1s + 14us) << "the answer wakes this loop";
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> busy = SpawnOn(scope, runtime.loop(1), Turns, 1000);
      co_await SleepFor(7us);
      const Duration again = co_await RunOn(runtime.loop(1), far);
      EXPECT_EQ(again, 1s + 21us);
      busy.RequestStop();
    };
    co_await WithScope(body);
  };
  runtime.Run(root);
}

// --- from loop to loop

TEST(SimLoops, RunOnGivesValuesErrorsAndStopsBothWays) {
  InSimulatedLoops(2, [](Runtime& runtime) {
    auto root = [&runtime]() -> Task<> {
      Loop& other = runtime.loop(1);
      const int value = co_await RunOn(other, GiveAfter, Duration(1h), 3);
      EXPECT_EQ(value, 3);
      const Outcome<int> thrown = co_await AsOutcome(RunOn(other, Throw, 2, "late"));
      EXPECT_TRUE(thrown.has_exception());
      const Outcome<int> by_itself = co_await AsOutcome(RunOn(other, EndStoppedByItself));
      EXPECT_TRUE(by_itself.stopped());
      std::string log;
      auto forever = [&log]() -> Task<> {
        const NotesStop end(log, "there ");
        co_await SleepFor(kForever);
      };
      const absl::Status late = co_await Timeout(1h, RunOn(other, forever));
      EXPECT_EQ(late.code(), absl::StatusCode::kDeadlineExceeded);
      EXPECT_EQ(log, "there stopped ");
      EXPECT_EQ(&Loop::Current(), &runtime.loop(0));
    };
    runtime.Run(root);
  });
}

TEST(SimLoops, CallOneAnotherInTurnsToAnyDepth) {
  InSimulatedLoops(2, [](Runtime& runtime) {
    std::function<Task<int>(int)> call_down = [&](int left) -> Task<int> {
      if (left == 0) co_return 0;
      auto below = [&call_down, left] { return call_down(left - 1); };
      const int deeper = co_await RunOn(runtime.loop(static_cast<size_t>(left % 2)), below);
      co_return deeper + 1;
    };
    EXPECT_EQ(runtime.Run(call_down(200)), 200);
  });
}

TEST(SimLoops, APostToOneThatHasEndedIsRefused) {
  int refused = 0;
  InSimulatedLoops(2, [&refused](Runtime& runtime) {
    std::function<void()> post_once_ended = [&] {
      if (runtime.loop(0).IsRunning()) return Loop::Current().CallSoon(post_once_ended);
      EXPECT_EQ(runtime.loop(0).Post([] { ADD_FAILURE() << "it ran"; }), PostResult::kClosed);
      ++refused;
    };
    auto root = [&]() -> Task<> {
      runtime.loop(1).Post(post_once_ended);
      co_await Turns(5);
    };
    runtime.Run(root);
  });
  EXPECT_GT(refused, 1);
}

TEST(SimLoops, PostsOfOneComeInOrderAndCoalescedOnesOnce) {
  InSimulatedLoops(2, [](Runtime& runtime) {
    std::vector<int> seen;
    int flushes = 0;
    auto root = [&]() -> Task<> {
      Loop& other = runtime.loop(1);
      auto make = [&] { return std::make_unique<CoalescedPost>(Loop::Current(), [&flushes] { ++flushes; }); };
      std::unique_ptr<CoalescedPost> flush = co_await RunOn(other, make);
      for (int i = 0; i < 10; ++i) {
        EXPECT_EQ(other.Post([&seen, i] { seen.push_back(i); }), PostResult::kAccepted);
        flush->Post();
      }
      auto drop = [&flush] { flush.reset(); };
      co_await SleepFor(1ms);
      co_await RunOn(other, drop);
    };
    runtime.Run(root);
    EXPECT_EQ(seen, std::vector<int>({0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
    EXPECT_EQ(flushes, 1);
  });
}

TEST(SimLoops, ABridgeAndAStopHandleReachTheOtherLoop) {
  InSimulatedLoops(2, [](Runtime& runtime) {
    Bridge<int> answer;
    Bridge<StopHandle> sleeper;
    auto play = [&](size_t loop) -> Task<> {
      if (loop == 0) {
        const int value = co_await answer.Wait();
        EXPECT_EQ(value, 7);
        auto sleep = [&](Scope& scope) -> Task<> {
          sleeper.Complete(scope.stop_handle());
          co_await SleepFor(kForever);
        };
        co_await WithScope(sleep);
      } else {
        co_await SleepFor(1h);
        answer.Complete(7);
        const StopHandle stop = co_await sleeper.Wait();
        stop.RequestStop();
      }
    };
    EXPECT_EQ(runtime.RunOnEveryLoop(play), absl::OkStatus());
  });
}

// [A13]
TEST(SimLoops, EveryTaskThatFourOfThemSpawnRunsOnce) {
  InSimulatedLoops(5, [](Runtime& runtime) {
    constexpr int kEach = 100;
    int count = 0;
    std::vector<Bridge<RemoteScope*>> bridges(5);
    auto play = [&](size_t loop) -> Task<> {
      auto add = [&]() -> Task<> {
        EXPECT_EQ(&Loop::Current(), &runtime.loop(0));
        ++count;
        co_return;
      };
      if (loop == 0) {
        std::optional<RemoteScope> remote;
        auto body = [&](Scope& scope) -> Task<> {
          remote.emplace(scope);
          for (Bridge<RemoteScope*>& bridge : bridges) bridge.Complete(&*remote);
          co_await SleepFor(1h);
        };
        co_await WithScope(body);
        co_return;
      }
      const RemoteScope* const remote = co_await bridges[loop].Wait();
      for (int i = 0; i < kEach; ++i) {
        EXPECT_TRUE(remote->Spawn(add));
        if (i % 8 == 0) co_await Yield();
      }
    };
    EXPECT_EQ(runtime.RunOnEveryLoop(play), absl::OkStatus());
    EXPECT_EQ(count, 4 * kEach);
  });
}

TEST(SimLoops, ARemoteObjectIsUsedAndDestroyedOnItsLoop) {
  InSimulatedLoops(2, [](Runtime& runtime) {
    struct Diary {
      explicit Diary(Loop** gone) : gone(gone) {}
      ~Diary() { *gone = &Loop::Current(); }
      Loop** gone;
      int entries = 0;
    };
    Loop* gone = nullptr;
    auto root = [&]() -> Task<> {
      auto make = [&gone] { return Remote<Diary>(std::in_place, &gone); };
      Remote<Diary> diary = co_await RunOn(runtime.loop(1), make);
      auto write = [](Diary& diary) { return ++diary.entries; };
      for (int i = 1; i <= 3; ++i) {
        const int entries = co_await diary.With(write);
        EXPECT_EQ(entries, i);
      }
      diary.Reset();
      co_await SleepFor(1ms);
      EXPECT_EQ(gone, &runtime.loop(1));
    };
    runtime.Run(root);
  });
}

// [J01]
TEST(SimLoops, OffloadedJobsComeBackToTheirOwnLoop) {
  InSimulatedLoops(3, [](Runtime& runtime) {
    auto play = [&](size_t loop) -> Task<> {
      for (size_t i = 0; i < 5; ++i) {
        const size_t result = co_await Offload([loop, i] {
          EXPECT_EQ(Loop::TryCurrent(), nullptr);
          return 10 * loop + i;
        });
        EXPECT_EQ(result, 10 * loop + i);
        EXPECT_EQ(&Loop::Current(), &runtime.loop(loop));
      }
      EXPECT_LT(Loop::Current().Now() - internal::SimEvents::kStart, 1s);
      co_await SleepFor(1h);  // not before the jobs of the others
    };
    EXPECT_EQ(runtime.RunOnEveryLoop(play), absl::OkStatus());
  });
}

TEST(SimLoops, RuntimesMayFollowOneAnotherInOneWorld) {
  SimWorld world(1);
  auto sleep = []() -> Task<> { co_await SleepFor(1h); };
  for (const size_t loops : {3u, 1u, 2u}) {
    Runtime runtime(world.Loops(loops));
    for (int i = 0; i < 2; ++i) EXPECT_EQ(runtime.RunOnEveryLoop(sleep), absl::OkStatus());
  }
  EXPECT_GE(world.Elapsed(), 6h);
  EXPECT_LT(world.Elapsed(), 6h + 1ms);
}

// --- a mesh: each calls the others, which call others in turn, while callers are stopped

class Mesh {
 public:
  Mesh(Runtime& runtime, uint64_t seed) : runtime_(runtime), rng_(seed) {}

  Task<> Play(size_t loop) {
    auto body = [this, loop](Scope& scope) -> Task<> {
      std::vector<TaskHandle<>> to_stop;
      for (int i = 0; i < 4; ++i) {
        const bool will_stop = rng_.Chance(1, 2);
        TaskHandle<> call = scope.Spawn([this, loop, will_stop] { return Ask(loop, /*depth=*/2, will_stop); });
        if (will_stop) to_stop.push_back(std::move(call));
        co_await Pause();
      }
      for (TaskHandle<>& call : to_stop) {
        co_await Pause();
        call.RequestStop();
      }
    };
    co_await WithScope(body);
  }

  int asked = 0;
  int unsent = 0;
  int values = 0;
  int stops = 0;

 private:
  // What the caller learns of the other side, beside the answer.
  struct Progress {
    bool has_begun = false;
    bool is_running = false;
    bool has_finished = false;
  };
  class Running {
   public:
    explicit Running(Progress& progress) : progress_(progress) { progress_.is_running = progress_.has_begun = true; }
    ~Running() { progress_.is_running = false; }

   private:
    Progress& progress_;
  };

  Task<> Pause() {
    const uint64_t kind = rng_.Below(3);
    if (kind == 0) co_await Yield();
    if (kind == 1) {
      const auto wait = static_cast<int64_t>(rng_.Below(100'000));
      co_await SleepFor(Duration(wait));
    }
  }

  // [A11] [C15] [J11]
  Task<> Ask(size_t from, int depth, bool will_stop) {
    const int number = ++asked;
    const size_t to = (from + 1 + rng_.Below(runtime_.loops() - 1)) % runtime_.loops();
    Progress progress;
    auto answer = [this, to, number, depth, will_stop, &progress] {
      return Answer(to, number, depth, will_stop, progress);
    };
    const Outcome<int> outcome = co_await AsOutcome(RunOn(runtime_.loop(to), answer));
    EXPECT_EQ(&Loop::Current(), &runtime_.loop(from));
    EXPECT_FALSE(progress.is_running);
    EXPECT_EQ(outcome.has_value(), progress.has_finished) << "what has its end is delivered, in spite of a stop";
    EXPECT_NE(outcome.has_value(), outcome.stopped());
    if (outcome.has_value()) {
      EXPECT_EQ(outcome.value(), number);
    }
    ++(outcome.stopped() ? stops : values);
    if (!progress.has_begun) ++unsent;
  }

  Task<int> Answer(size_t here, int number, int depth, bool will_stop, Progress& progress) {
    const Running running(progress);
    EXPECT_EQ(&Loop::Current(), &runtime_.loop(here));
    co_await Pause();
    if (depth > 0 && rng_.Chance(1, 2)) co_await Ask(here, depth - 1, will_stop);
    if (will_stop && rng_.Chance(1, 4)) co_await SleepFor(kForever);  // a stop that is lost is a deadlock
    if (rng_.Chance(1, 2)) co_await Pause();
    progress.has_finished = true;
    co_return number;
  }

  Runtime& runtime_;
  internal::Rng rng_;
};

struct Totals {
  int asked = 0;
  int unsent = 0;
  int values = 0;
  int stops = 0;
};

uint64_t RunMesh(uint64_t seed, Totals& totals) {
  SimWorld world(seed);
  Runtime runtime(world.Loops(2 + seed % 3));
  Mesh mesh(runtime, seed);
  EXPECT_EQ(runtime.RunOnEveryLoop([&mesh](size_t loop) { return mesh.Play(loop); }), absl::OkStatus());
  EXPECT_EQ(mesh.values + mesh.stops, mesh.asked);
  totals.asked += mesh.asked;
  totals.unsent += mesh.unsent;
  totals.values += mesh.values;
  totals.stops += mesh.stops;
  return world.trace_hash();
}

// [C15] [J10] [L02]
TEST(SimLoopsMesh, EachCallDeliversItsValueOrTheStopUnderAThousandSeeds) {
  const auto start = std::chrono::steady_clock::now();
  Totals totals;
  std::vector<uint64_t> hashes;
  for (uint64_t seed = 1; seed <= 1000 && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    hashes.push_back(RunMesh(seed, totals));
    Totals again;
    EXPECT_EQ(RunMesh(seed, again), hashes.back());
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf("1000 seeds in %.2f s: %d calls, %d values, %d stops, of which %d before the call had begun\n",
              took.count(), totals.asked, totals.values, totals.stops, totals.unsent);
  EXPECT_GT(totals.values, 1000);
  EXPECT_GT(totals.stops, totals.unsent);
  EXPECT_GT(totals.unsent, 100);
  std::ranges::sort(hashes);
  EXPECT_EQ(std::ranges::adjacent_find(hashes), hashes.end());
}

// --- a bug that only some interleavings show

// Adds one to what lives on the first loop. Planted: between the look and the change another loop may have changed it.
Task<> AddOne(Loop& home, int& balance, bool is_buggy) {
  if (!is_buggy) {
    co_await RunOn(home, [&balance] { ++balance; });
    co_return;
  }
  const int seen = co_await RunOn(home, [&balance] { return balance; });
  co_await RunOn(home, [&balance, seen] { balance = seen + 1; });
}

int BalanceOf(uint64_t seed, bool is_buggy, const SimOptions& options = SimOptions()) {
  int balance = 0;
  SimWorld world(seed, options);
  Runtime runtime(world.Loops(3));
  auto play = [&](size_t loop) -> Task<> {
    co_await SleepFor(120us * static_cast<int>(loop));  // as far apart as that, the two seldom meet
    if (loop > 0) co_await AddOne(runtime.loop(0), balance, is_buggy);
  };
  EXPECT_EQ(runtime.RunOnEveryLoop(play), absl::OkStatus());
  return balance;
}

TEST(SimLoops, SomeSeedsFindALostUpdate) {
  int lost = 0;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    EXPECT_EQ(BalanceOf(seed, /*is_buggy=*/false), 2) << "seed " << seed;
    const int balance = BalanceOf(seed, /*is_buggy=*/true);
    EXPECT_EQ(balance, BalanceOf(seed, /*is_buggy=*/true)) << "seed " << seed;
    if (balance == 1) ++lost;
  }
  std::printf("%d of 300 seeds lose an update\n", lost);
  EXPECT_GT(lost, 0);
  EXPECT_LT(lost, 150) << "that one would have been seen without a simulation";
  EXPECT_EQ(BalanceOf(1, /*is_buggy=*/true, SimOptions::Calm()), 2) << "without surprises it is not found";
}

// --- programs that hang, and misuse

TEST(SimLoopsDeathTest, WhereNothingCanWakeAnyOfThemItIsSaidWhatEachWaitsFor) {
  auto hang = [] {
    SimWorld world(7);
    Runtime runtime(world.Loops(2));
    Bridge<> never;
    auto wait = [&never]() -> Task<> { co_await never.Wait(); };
    auto root = [&]() -> Task<> { co_await RunOn(runtime.loop(1), wait); };
    runtime.Run(root);
  };
  EXPECT_DEATH(hang(), "deadlock: on every loop every task waits.*; loop 0: 0 open descr.*; loop 1: 0 .*; seed 7");
}

TEST(SimLoops, ADeadlockIsNotSaidWhereAnotherThreadWakesOne) {
  SimOptions options;
  options.check_deadlock = false;
  SimWorld world(1, options);
  Runtime runtime(world.Loops(2));
  std::thread other;
  Bridge<> bridge;
  auto wait = [&]() -> Task<> {
    other = std::thread([&bridge] { bridge.Complete(); });
    co_await bridge.Wait();
  };
  auto root = [&]() -> Task<> { co_await RunOn(runtime.loop(1), wait); };
  runtime.Run(root);
  other.join();
}

TEST(SimLoopsDeathTest, WhatBelongsToOneLoopCantBeUsedOnAnother) {
  auto misuse = [] {
    SimWorld world(1);
    Runtime runtime(world.Loops(2));
    auto root = [&]() -> Task<> {
      const Remote<int> number(std::in_place, 1);
      co_await RunOn(runtime.loop(1), [&number] { return number.Get(); });
    };
    runtime.Run(root);
  };
  EXPECT_DEATH(misuse(), "a Remote's object was used on another loop than its own, in a simulation");
}

TEST(SimLoopsDeathTest, HowManyIsTheProgramsChoiceNotTheMachines) {
  SimWorld world(1);
  EXPECT_DEATH(static_cast<void>(world.Loops(0)), "wants a number of loops, from 1 on: a simulation must not depend on");
}

TEST(SimLoopsDeathTest, OneRuntimeAtATimeRunsInAWorld) {
  auto misuse = [] {
    SimWorld world(1);
    Runtime runtime(world.Loops(2));
    Runtime inner(world.Loops(2));
    auto nested = [&inner] { return inner.Run(Give(1)); };
    auto root = [&]() -> Task<int> { co_return co_await OffloadBlocking(nested); };
    runtime.Run(root);
  };
  EXPECT_DEATH(misuse(), "a Runtime was run in a simulation by a job of another one there");
}

TEST(SimLoopsDeathTest, NoneOfThemMayBlockForAnother) {
  auto misuse = [] {
    SimWorld world(1);
    Runtime runtime(world.Loops(2));
    auto root = [&]() -> Task<int> { co_return BlockOn(runtime.loop(1), Give, 1); };
    runtime.Run(root);
  };
  EXPECT_DEATH(misuse(), "BlockOn was called on a thread that runs a loop");
  auto in_a_job = [] {
    SimWorld world(1);
    Runtime runtime(world.Loops(2));
    auto block = [&runtime] { return BlockOn(runtime.loop(1), Give, 1); };
    auto root = [&]() -> Task<int> { co_return co_await OffloadBlocking(block); };
    runtime.Run(root);
  };
  EXPECT_DEATH(in_a_job(), "about to block the only thread that there is");
}

}  // namespace
}  // namespace gyre::testing
