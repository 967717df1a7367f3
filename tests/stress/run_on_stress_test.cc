// Calls from loop to loop, with stops that race with their ends: each delivers exactly one of its value and the stop, and
// nothing is under way when it has. [J11]
#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/bridge.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/run_on.h"
#include "gyre/runtime/runtime.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"

namespace gyre {
namespace {

#ifdef GYRE_DEBUG_CHECKS  // the sanitizers' builds: some ten times slower
constexpr int kCalls = 20'000;
#else
constexpr int kCalls = 1'000'000;
#endif
constexpr int kAtOnce = 50;

struct Tally {
  int started = 0;   // on the loop that is called
  int finished = 0;  // ... to the end
  int values = 0;    // on the caller's
  int stops = 0;
  int wrong = 0;
};

Task<int> Echo(Tally* tally, int number) {
  ++tally->started;
  for (int i = 0; i < number % 3; ++i) co_await Yield();
  ++tally->finished;
  co_return number;
}

Task<> Call(Loop* other, Tally* there, Tally* here, int number) {
  const Outcome<int> outcome = co_await AsOutcome(RunOn(*other, Echo, there, number));
  ++(outcome.stopped() ? here->stops : here->values);
  if (!outcome.stopped() && outcome.value() != number) ++here->wrong;
}

TEST(RunOnStress, EachCallDeliversItsValueOrTheStop) {
  Runtime runtime(RuntimeOptions().set_loops(2));
  Tally there;
  Tally here;
  int stopped_unsent = 0;
  auto root = [&]() -> Task<> {
    for (int first = 0; first < kCalls; first += kAtOnce) {
      auto body = [&](Scope& scope) -> Task<> {
        std::vector<TaskHandle<>> calls;
        for (int i = 0; i < kAtOnce; ++i) {
          calls.push_back(scope.Spawn(Call, &runtime.loop(1), &there, &here, first + i));
        }
        for (int i = 0; i < kAtOnce; ++i) {
          if (i % 4 == 0) co_await Yield();
          if (i % 2 == 0) calls[static_cast<size_t>(i)].RequestStop();
        }
      };
      co_await WithScope(body);
    }
  };
  runtime.Run(root);
  stopped_unsent = kCalls - there.started;
  EXPECT_EQ(here.values + here.stops, kCalls);
  EXPECT_EQ(here.wrong, 0);
  EXPECT_EQ(here.values, there.finished) << "what has its end is delivered, in spite of a stop";
  EXPECT_GT(here.values, 0);
  EXPECT_GT(here.stops, stopped_unsent) << "no stop reached a call under way";
  std::printf("%d values, %d stops, of which %d before the call was sent\n", here.values, here.stops, stopped_unsent);
}

// A loop of its own whose root ends as soon as it has a guest, while the caller of that asks it to stop: the loop has to stay
// for the request, which may be on its way when the guest has ended.
TEST(RunOnStress, ALoopThatEndsWaitsForTheStopOfItsGuest) {
  constexpr int kEnds = 1000;
  int stops = 0;
  auto root = [&]() -> Task<> {
    for (int i = 0; i < kEnds; ++i) {
      Bridge<Loop*> begun;
      Bridge<> has_guest;
      std::thread thread([&] {
        auto until_guest = [&]() -> Task<> {
          begun.Complete(&Loop::Current());
          co_await has_guest.Wait();
        };
        gyre::Run(until_guest);
      });
      Loop* const other = co_await begun.Wait();
      std::atomic<bool> is_there{false};
      auto body = [&](Scope& scope) -> Task<> {
        auto guest = [&]() -> Task<> {
          is_there = true;
          has_guest.Complete();
          co_await SleepFor(kForever);
        };
        TaskHandle<> call = scope.Spawn([&]() -> Task<> { co_await RunOn(*other, guest); });
        while (!is_there) co_await Yield();
        for (int turn = 0; turn < i % 50; ++turn) co_await Yield();
        call.RequestStop();
        const Outcome<>& outcome = co_await call.Join();
        stops += outcome.stopped() ? 1 : 0;
      };
      co_await WithScope(body);
      thread.join();
    }
  };
  gyre::Run(root);
  EXPECT_EQ(stops, kEnds);
}

// A call that can't wait is over by itself; its stop may be decided on while it runs, and come when its loop would be gone.
TEST(RunOnStress, ALoopThatEndsWaitsForTheStopOfAPlainCall) {
  constexpr int kEnds = 1000;
  int ends = 0;
  auto root = [&]() -> Task<> {
    for (int i = 0; i < kEnds; ++i) {
      Bridge<Loop*> begun;
      Bridge<> was_called;
      std::thread thread([&] {
        auto until_called = [&]() -> Task<> {
          begun.Complete(&Loop::Current());
          co_await was_called.Wait();
        };
        gyre::Run(until_called);
      });
      Loop* const other = co_await begun.Wait();
      std::atomic<bool> is_there{false};
      std::atomic<bool> is_stopping{false};
      auto body = [&](Scope& scope) -> Task<> {
        auto guest = [&] {
          was_called.Complete();
          is_there = true;
          while (!is_stopping) std::this_thread::yield();
        };
        TaskHandle<> call = scope.Spawn([&]() -> Task<> { co_await RunOn(*other, guest); });
        while (!is_there) co_await Yield();
        is_stopping = true;
        call.RequestStop();
        co_await call.Join();
        ++ends;
      };
      co_await WithScope(body);
      thread.join();
    }
  };
  gyre::Run(root);
  EXPECT_EQ(ends, kEnds);
}

}  // namespace
}  // namespace gyre
