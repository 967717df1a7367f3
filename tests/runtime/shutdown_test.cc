// Shutdown: on one loop in every world, and on the loops of a Runtime. Each sentence of its header.
#include "gyre/runtime/shutdown.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <latch>
#include <optional>
#include <semaphore>
#include <stop_token>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/log.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/runtime.h"
#include "gyre/runtime/sim/sim_world.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/when_any.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/tasks.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using namespace std::chrono_literals;
using testing::InEveryWorld;
using testing::InSimulation;
using testing::SimWorld;
using testing::Turns;

constexpr Duration kGrace = 10s;

TimePoint ReadClock() { return Loop::Current().ReadClock(); }

// A root with a scope of its own.
testing::WorldRoot InScope(std::function<Task<>(Scope&)> body) {
  return [body = std::move(body)]() -> Task<> { co_await WithScope(body); };
}

// --- the steps, on one loop

TEST(Shutdown, TheRequestReachesAllWhoWaitAndThoseWhoAskLater) {
  InEveryWorld(InScope([](Scope& scope) -> Task<> {
    const Shutdown shutdown(kForever);
    int heard = 0;
    auto wait = [&]() -> Task<> {
      co_await shutdown.Requested();
      ++heard;
    };
    for (int i = 0; i < 5; ++i) scope.Spawn(wait);
    co_await Turns(4);
    EXPECT_FALSE(shutdown.requested());
    EXPECT_EQ(heard, 0);
    EXPECT_TRUE(shutdown.Request());
    EXPECT_TRUE(shutdown.requested());
    EXPECT_EQ(heard, 0) << "nobody runs inside the request";
    co_await Turns(4);
    EXPECT_EQ(heard, 5);
    co_await wait();
    EXPECT_EQ(heard, 6);
  }));
}

TEST(Shutdown, OnlyTheFirstRequestCountsWithItsReasonAndTime) {
  InSimulation([]() -> Task<> {
    const Shutdown shutdown(kGrace);
    EXPECT_EQ(shutdown.reason().message(), "");
    EXPECT_EQ(shutdown.deadline(), kNever);
    const TimePoint begin = ReadClock();
    EXPECT_TRUE(shutdown.Request("out of disk"));
    co_await SleepFor(1s);
    EXPECT_FALSE(shutdown.Request("impatience"));
    EXPECT_EQ(shutdown.reason().message(), "out of disk");
    EXPECT_EQ(shutdown.deadline(), begin + kGrace);
    co_await shutdown.GraceOver();
    EXPECT_FALSE(shutdown.Request("too late"));
    EXPECT_EQ(shutdown.reason().message(), "out of disk");
    EXPECT_EQ(shutdown.deadline(), begin + kGrace);
  });
}

TEST(Shutdown, TheGraceTimeIsOverForAllAtItsDeadlineWheneverTheyBeganToWait) {
  InSimulation(InScope([](Scope& scope) -> Task<> {
    const Shutdown shutdown(kGrace);
    std::vector<TimePoint> ends;
    auto wait = [&]() -> Task<> {
      co_await shutdown.GraceOver();
      ends.push_back(ReadClock());
    };
    std::vector<TaskHandle<>> waits = {scope.Spawn(wait)};
    co_await SleepFor(1s);
    shutdown.Request();
    const TimePoint deadline = shutdown.deadline();
    waits.push_back(scope.Spawn(wait));
    co_await SleepFor(9s);
    waits.push_back(scope.Spawn(wait));
    co_await SleepFor(500ms);
    EXPECT_TRUE(ends.empty());
    for (TaskHandle<>& end : waits) co_await end.Join();
    EXPECT_EQ(ends, std::vector<TimePoint>(3, deadline));
  }));
}

TEST(Shutdown, CutShortEndsTheGraceTimeAtOnce) {
  InEveryWorld(InScope([](Scope& scope) -> Task<> {
    const Shutdown shutdown(kGrace);
    auto wait = [&]() -> Task<> { co_await shutdown.GraceOver(); };
    TaskHandle<> over = scope.Spawn(wait);
    shutdown.Request("please");
    co_await Turns(4);
    EXPECT_FALSE(over.Done());
    EXPECT_TRUE(shutdown.CutShort("now"));
    EXPECT_LE(shutdown.deadline(), ReadClock());
    EXPECT_EQ(shutdown.reason().message(), "please") << "of the call that began";
    co_await over.Join();
    EXPECT_FALSE(shutdown.CutShort("now!")) << "it was over";
  }));
}

TEST(Shutdown, CutShortSaysWhetherTheGraceTimeWasOverThoughNobodyHasWaitedForThat) {
  InSimulation([]() -> Task<> {
    const Shutdown shutdown(kGrace);
    const Shutdown passed(kGrace);
    shutdown.Request();
    passed.Request();
    const TimePoint deadline = passed.deadline();
    co_await SleepFor(kGrace - 1ns);
    EXPECT_TRUE(shutdown.CutShort()) << "a nanosecond was left";
    co_await SleepFor(1ns);
    EXPECT_FALSE(passed.CutShort()) << "it was over, and nobody had said so";
    EXPECT_EQ(passed.deadline(), deadline);
    co_await passed.GraceOver();
    EXPECT_EQ(ReadClock(), deadline);
  });
  const Shutdown without_grace(Duration::zero());
  EXPECT_TRUE(without_grace.Request());
  EXPECT_FALSE(without_grace.CutShort());
}

TEST(Shutdown, CutShortBeginsIfNobodyHas) {
  InEveryWorld([]() -> Task<> {
    const Shutdown shutdown(kForever);
    EXPECT_TRUE(shutdown.CutShort("now"));
    EXPECT_TRUE(shutdown.requested());
    EXPECT_TRUE(shutdown.stop_token().stop_requested());
    EXPECT_EQ(shutdown.reason().message(), "now");
    EXPECT_LE(shutdown.deadline(), ReadClock());
    EXPECT_FALSE(shutdown.Request("later"));
    co_await shutdown.Requested();
    co_await shutdown.GraceOver();
  });
}

TEST(Shutdown, AGraceTimeForEverIsOverOnlyWhenItIsCutShort) {
  InSimulation(InScope([](Scope& scope) -> Task<> {
    const Shutdown shutdown(kForever);
    auto wait = [&]() -> Task<> { co_await shutdown.GraceOver(); };
    TaskHandle<> over = scope.Spawn(wait);
    shutdown.Request();
    EXPECT_EQ(shutdown.deadline(), kNever);
    co_await SleepFor(std::chrono::hours(10000));
    EXPECT_FALSE(over.Done());
    shutdown.CutShort();
    co_await over.Join();
  }));
}

TEST(Shutdown, StopsNobodyByItself) {
  InSimulation(InScope([](Scope& scope) -> Task<> {
    const Shutdown shutdown(1s);
    int end = 0;
    auto work = [&]() -> Task<> {
      co_await SleepFor(5s);
      end = 1;
    };
    scope.Spawn(work);
    shutdown.Request();
    co_await shutdown.GraceOver();
    EXPECT_FALSE(scope.StopRequested());
    co_await SleepFor(5s);
    EXPECT_EQ(end, 1);
  }));
}

// --- intakes

TEST(Shutdown, NobodyIsCutOffWhileAnIntakeIsOpen) {
  InEveryWorld(InScope([](Scope& scope) -> Task<> {
    const Shutdown shutdown(Duration::zero());
    std::optional<Shutdown::Intake> first(shutdown);
    Shutdown::Intake second(shutdown);
    auto wait = [&]() -> Task<> { co_await shutdown.GraceOver(); };
    TaskHandle<> over = scope.Spawn(wait);
    shutdown.Request();
    co_await shutdown.Requested();
    second.Close();
    second.Close();  // idempotent
    co_await Turns(8);
    EXPECT_FALSE(over.Done());
    first.reset();
    co_await over.Join();
  }));
}

TEST(Shutdown, AnIntakeClosedInTimeDelaysNothing) {
  InSimulation([]() -> Task<> {
    const Shutdown shutdown(kGrace);
    Shutdown::Intake intake(shutdown);
    shutdown.Request();
    intake.Close();
    co_await shutdown.GraceOver();
    EXPECT_EQ(ReadClock(), shutdown.deadline());
  });
}

TEST(Shutdown, AnIntakeMayMoveAndCountsOnce) {
  InEveryWorld(InScope([](Scope& scope) -> Task<> {
    const Shutdown shutdown(Duration::zero());
    Shutdown::Intake first(shutdown);
    Shutdown::Intake second(std::move(first));
    first = std::move(second);
    auto wait = [&]() -> Task<> { co_await shutdown.GraceOver(); };
    TaskHandle<> over = scope.Spawn(wait);
    shutdown.Request();
    second.Close();
    co_await Turns(8);
    EXPECT_FALSE(over.Done());
    first.Close();
    co_await over.Join();
  }));
}

class LogCapture {
 public:
  LogCapture() : before_(SetLogSink([](std::string_view line) { Lines().emplace_back(line); })) { Lines().clear(); }
  LogCapture(const LogCapture&) = delete;
  LogCapture& operator=(const LogCapture&) = delete;
  ~LogCapture() { SetLogSink(before_); }

  static std::vector<std::string>& Lines() {
    static std::vector<std::string> lines;
    return lines;
  }

 private:
  LogSink before_;
};

TEST(Shutdown, AnIntakeThatStaysOpenIsLoggedOnceAndWaitedForNoLongerThanASecond) {
  InSimulation(InScope([](Scope& scope) -> Task<> {
    const LogCapture log;
    const Shutdown shutdown(kGrace);
    const Shutdown::Intake stuck(shutdown);
    auto wait = [&]() -> Task<> { co_await shutdown.GraceOver(); };
    for (int i = 0; i < 3; ++i) scope.Spawn(wait);
    shutdown.Request();
    co_await shutdown.GraceOver();
    EXPECT_EQ(ReadClock(), shutdown.deadline() + 1s);
    EXPECT_EQ(log.Lines().size(), 1u);
    EXPECT_NE(log.Lines().at(0).find("1 that let work in had not stopped"), std::string::npos) << log.Lines().at(0);
  }));
}

// --- taking part

TEST(Shutdown, WorkThatLooksEndsByItself) {
  InSimulation(InScope([](Scope& scope) -> Task<> {
    const Shutdown shutdown(kGrace);
    int pieces = 0;
    auto work = [&]() -> Task<> {
      while (!shutdown.requested()) {
        co_await SleepFor(1s);
        ++pieces;
      }
    };
    TaskHandle<> worker = scope.Spawn(work);
    co_await SleepFor(3500ms);
    shutdown.Request();
    co_await worker.Join();
    EXPECT_EQ(pieces, 4) << "the one under way was finished";
  }));
}

TEST(Shutdown, WorkBesideGraceOverIsStoppedWhenTheGraceTimeIsOver) {
  InSimulation([]() -> Task<> {
    const Shutdown shutdown(kGrace);
    shutdown.Request();
    auto in_time = co_await WhenAny(SleepFor(kGrace - 1ms), shutdown.GraceOver());
    EXPECT_EQ(in_time.index, 0u);
    auto late = co_await WhenAny(SleepFor(kForever), shutdown.GraceOver());
    EXPECT_EQ(late.index, 1u);
    EXPECT_TRUE(std::get<0>(late.outcomes).stopped());
    EXPECT_EQ(ReadClock(), shutdown.deadline());
  });
}

TEST(Shutdown, TheStopTokenIsSetByTheRequestOnTheRequestingThread) {
  const Shutdown shutdown(kGrace);
  const std::stop_token token = shutdown.stop_token();
  std::thread::id called_on;
  const std::stop_callback callback(token, [&] { called_on = std::this_thread::get_id(); });
  EXPECT_FALSE(token.stop_requested());
  std::thread::id requesting;
  std::thread thread([&] {
    requesting = std::this_thread::get_id();
    shutdown.Request();
  });
  thread.join();
  EXPECT_TRUE(token.stop_requested());
  EXPECT_EQ(called_on, requesting);
}

// --- stops

TEST(Shutdown, AStoppedWaitEndsAtOnceAndTheOthersGoOn) {
  InEveryWorld(InScope([](Scope& scope) -> Task<> {
    const Shutdown shutdown(Duration::zero());
    std::vector<TaskHandle<>> stopped;
    std::vector<TaskHandle<>> others;
    for (std::vector<TaskHandle<>>* handles : {&stopped, &others}) {
      handles->push_back(scope.Spawn(shutdown.Requested()));
      handles->push_back(scope.Spawn(shutdown.GraceOver()));
    }
    co_await Turns(4);
    for (TaskHandle<>& handle : stopped) {
      handle.RequestStop();
      const Outcome<>& outcome = co_await handle.Join();
      EXPECT_TRUE(outcome.stopped());
    }
    shutdown.Request();
    for (TaskHandle<>& handle : others) {
      const Outcome<>& outcome = co_await handle.Join();
      EXPECT_TRUE(outcome.has_value());
    }
  }));
}

TEST(Shutdown, InAStoppedScopeAWaitEndsStoppedAlsoOnceRequested) {
  InEveryWorld([]() -> Task<> {
    const Shutdown shutdown(Duration::zero());
    shutdown.Request();
    auto body = [&](Scope& scope) -> Task<> {
      scope.RequestStop();
      const Outcome<> outcome = co_await AsOutcome(shutdown.Requested());
      EXPECT_TRUE(outcome.stopped());
    };
    co_await WithScope(body);
  });
}

TEST(Shutdown, AStopInTheTurnOfTheRequestIsAStop) {
  InEveryWorld(InScope([](Scope& scope) -> Task<> {
    const Shutdown shutdown(Duration::zero());
    TaskHandle<> waiting = scope.Spawn(shutdown.Requested());
    co_await Turns(4);
    shutdown.Request();
    waiting.RequestStop();
    const Outcome<>& outcome = co_await waiting.Join();
    EXPECT_TRUE(outcome.stopped());
  }));
}

// --- before, and after

TEST(Shutdown, ARequestBeforeALoopHasBegunIsFoundAndInASimulationTheGraceTimeBeginsThen) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    SimWorld world(seed);
    const Shutdown shutdown(kGrace);
    shutdown.Request();
    world.Run([&]() -> Task<> {
      co_await SleepFor(1s);
      co_await shutdown.Requested();
      co_await shutdown.GraceOver();
    });
    EXPECT_EQ(world.Elapsed(), 1s + kGrace);
  }
}

TEST(Shutdown, ARequestFromOutsideAllLoopsCountsByTheSteadyClock) {
  const Shutdown shutdown(Duration::zero());
  shutdown.Request();
  const TimePoint deadline = shutdown.deadline();
  gyre::Run([&]() -> Task<> {
    EXPECT_LE(deadline, ReadClock());
    co_await shutdown.GraceOver();
    EXPECT_EQ(shutdown.deadline(), deadline);
  });
}

TEST(Shutdown, ARequestAfterAllHaveEndedIsHeardByNobody) {
  const Shutdown shutdown(kGrace);
  gyre::Run([&](Scope& scope) -> Task<> {
    scope.Spawn(shutdown.Requested());
    co_await Yield();
    scope.RequestStop();
  });
  EXPECT_TRUE(shutdown.Request());
}

TEST(Shutdown, CopiesReferToOneAndItLivesAsLongAsAnyOfThem) {
  InEveryWorld(InScope([](Scope& scope) -> Task<> {
    std::optional<Shutdown> first(Duration::zero());
    const Shutdown second = *first;
    TaskHandle<> requested = scope.Spawn(first->Requested());
    TaskHandle<> over = scope.Spawn(first->GraceOver());
    first.reset();
    co_await Turns(4);
    second.Request();
    co_await requested.Join();
    co_await over.Join();
  }));
}

// --- the loops of a Runtime

constexpr size_t kLoops = 4;

TEST(ShutdownOfARuntime, ARequestFromAnyThreadReachesEveryLoopWithOneDeadline) {
  const Shutdown shutdown(Duration::zero());
  Runtime runtime(RuntimeOptions().set_loops(kLoops));
  std::array<TimePoint, kLoops> deadlines = {};
  std::latch waiting(kLoops);
  std::thread thread([&] {
    waiting.wait();
    shutdown.Request();
  });
  auto serve = [&](size_t loop) -> Task<> {
    EXPECT_EQ(Loop::Current().number(), loop);
    waiting.count_down();
    co_await shutdown.Requested();
    deadlines[loop] = shutdown.deadline();
    co_await shutdown.GraceOver();
  };
  EXPECT_EQ(runtime.RunOnEveryLoop(serve), absl::OkStatus());
  thread.join();
  for (const TimePoint deadline : deadlines) EXPECT_EQ(deadline, shutdown.deadline());
}

TEST(ShutdownOfARuntime, NoLoopIsCutOffBeforeTheLastIntakeOfAnyIsClosed) {
  for (int round = 0; round < 20; ++round) {
    const Shutdown shutdown(Duration::zero());
    Runtime runtime(RuntimeOptions().set_loops(kLoops));
    std::atomic<size_t> open{kLoops};
    std::latch all_open(kLoops);
    auto serve = [&](size_t loop) -> Task<> {
      Shutdown::Intake intake(shutdown);
      all_open.arrive_and_wait();
      if (loop == 0) shutdown.Request();
      co_await shutdown.Requested();
      --open;
      intake.Close();
      co_await shutdown.GraceOver();
      EXPECT_EQ(open, 0u);
    };
    EXPECT_EQ(runtime.RunOnEveryLoop(serve), absl::OkStatus());
  }
}

TEST(ShutdownOfARuntime, ALoopThatIsStuckHoldsUpNoOther) {
  const Shutdown shutdown(Duration::zero());
  Runtime runtime(RuntimeOptions().set_loops(kLoops));
  std::latch others_over(kLoops - 1);
  std::binary_semaphore is_stuck(0);
  auto serve = [&](size_t loop) -> Task<> {
    if (loop == kLoops - 1) {
      is_stuck.release();
      others_over.wait();  // on purpose: the loop does nothing else meanwhile
      co_await shutdown.GraceOver();
      co_return;
    }
    if (loop == 0) {
      is_stuck.acquire();
      shutdown.Request();
    }
    co_await shutdown.GraceOver();
    others_over.count_down();
  };
  EXPECT_EQ(runtime.RunOnEveryLoop(serve), absl::OkStatus());
}

}  // namespace
}  // namespace gyre
