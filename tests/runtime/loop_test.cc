#include "gyre/runtime/loop.h"

#include <pthread.h>

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "gyre/runtime/alarm.h"
#include "gyre/runtime/backend/epoll_backend.h"
#include "gyre/runtime/log.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/contract_ops.h"
#include "gyre/tests/support/counted.h"
#include "gyre/tests/support/gate.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using namespace std::chrono_literals;
using testing::Counted;
using testing::Gate;
using testing::HookLog;
using testing::InCalmSimulation;
using testing::InEveryWorld;
using testing::InSimulation;
using testing::Noting;
using testing::OnEpoll;

Loop& Current() { return Loop::Current(); }

Task<> Turns(int count) {
  for (int i = 0; i < count; ++i) co_await Yield();
}

// --- the current loop

TEST(Loop, IsCurrentInsideItsRunAlone) {
  EXPECT_EQ(Loop::TryCurrent(), nullptr);
  OnEpoll([]() -> Task<> {
    EXPECT_EQ(Loop::TryCurrent(), &Loop::Current());
    EXPECT_TRUE(Current().IsRunning());
    std::thread([] { EXPECT_EQ(Loop::TryCurrent(), nullptr); }).join();
    co_return;
  });
  EXPECT_EQ(Loop::TryCurrent(), nullptr);
}

TEST(LoopDeathTest, CurrentOutsideALoopIsAUsageError) {
  EXPECT_DEATH((void)Loop::Current(), "Loop::Current\\(\\) was called outside a loop");
}

// --- order

TEST(Loop, CallsAreMadeInOrderAlsoWhereTasksAreShuffled) {
  InEveryWorld([]() -> Task<> {
    std::string log;
    for (char name = 'a'; name <= 'z'; ++name) Current().CallSoon([&log, name] { log += name; });
    EXPECT_EQ(log, "");
    co_await Turns(3);
    EXPECT_EQ(log, "abcdefghijklmnopqrstuvwxyz");
  });
}

TEST(Loop, PostsOfOneThreadAreMadeInOrderAlsoWhereTasksAreShuffled) {
  InEveryWorld([]() -> Task<> {
    std::string log;
    for (char name = 'a'; name <= 'z'; ++name) {
      EXPECT_EQ(Current().Post([&log, name] { log += name; }), PostResult::kAccepted);
    }
    EXPECT_EQ(log, "");
    co_await Turns(4);
    EXPECT_EQ(log, "abcdefghijklmnopqrstuvwxyz");
  });
}

TEST(Loop, ACallMadeInACallWaitsForTheNextTurn) {
  InCalmSimulation([]() -> Task<> {
    std::string log;
    Current().CallSoon([&] {
      log += "1";
      Current().CallSoon([&] { log += "3"; });
    });
    Current().CallSoon([&] { log += "2"; });
    co_await Turns(3);
    EXPECT_EQ(log, "123");
  });
}

TEST(Loop, TakesMoveOnlyCallables) {
  InEveryWorld([]() -> Task<> {
    int sum = 0;
    Current().CallSoon([&sum, one = std::make_unique<int>(1)] { sum += *one; });
    Current().Post([&sum, two = std::make_unique<int>(2)] { sum += *two; });
    Timer timer = Current().CallLater(0s, [&sum, four = std::make_unique<int>(4)] { sum += *four; });
    while (timer.IsActive()) co_await Yield();
    co_await Turns(2);
    EXPECT_EQ(sum, 7);
  });
}

TEST(Loop, WhatACallThrowsGoesToTheHookAndTheLoopGoesOn) {
  InEveryWorld([]() -> Task<> {
    HookLog hook;
    hook.Attach();
    Current().Post([] { throw std::runtime_error("posted"); });
    co_await Turns(3);
    Current().CallSoon([] { throw std::runtime_error("called"); });
    co_await Turns(3);
    Timer timer = Current().CallLater(0s, [] { throw std::runtime_error("timed"); });
    while (timer.IsActive()) co_await Yield();
    EXPECT_EQ(hook.Texts(), (std::vector<std::string>{"posted", "called", "timed"}));
    Current().SetUnhandledErrorHook(nullptr);
  });
}

std::vector<std::string>& Lines() {
  static std::vector<std::string> lines;
  return lines;
}

TEST(Loop, AHookThatThrowsIsLoggedAndTheLoopGoesOn) {
  Lines().clear();
  const LogSink before = SetLogSink([](std::string_view line) { Lines().emplace_back(line); });
  OnEpoll([]() -> Task<> {
    Current().SetUnhandledErrorHook([](const UnhandledError&) { throw std::runtime_error("from the hook"); });
    Current().CallSoon([] { throw std::runtime_error("called"); });
    co_await Turns(2);
    Current().SetUnhandledErrorHook(nullptr);
    Current().CallSoon([] { throw std::runtime_error("logged"); });
    co_await Turns(2);
  });
  SetLogSink(before);
  EXPECT_EQ(Lines(),
            (std::vector<std::string>{"from the hook", "gyre: unhandled error in a callback: UNKNOWN: logged"}));
}

// --- timers

TEST(Timer, EqualDeadlinesFireInOrderAlsoWhereTasksAreShuffled) {
  InSimulation([]() -> Task<> {
    std::string log;
    std::vector<Timer> timers;
    const TimePoint when = Current().Now() + 5ms;
    for (char name : {'a', 'b', 'c', 'd'}) timers.push_back(Current().CallAt(when, [&log, name] { log += name; }));
    co_await SleepFor(5ms);
    EXPECT_EQ(log, "abcd");
  });
}

TEST(Timer, FiresAtItsTimeOnceAndThenIsInactive) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Current().Now();
    std::vector<Duration> fired;
    Timer timer = Current().CallLater(3ms, [&] { fired.push_back(Current().Now() - begin); });
    EXPECT_TRUE(timer.IsActive());
    co_await SleepFor(10ms);
    EXPECT_FALSE(timer.IsActive());
    EXPECT_EQ(fired, std::vector<Duration>{3ms});
  });
}

TEST(Timer, CancelledItNeverFiresAndItsCallableIsDestroyedAtOnce) {
  Counted::Reset();
  InSimulation([]() -> Task<> {
    Timer timer = Current().CallLater(3ms, [counted = Counted()] { ADD_FAILURE(); });
    EXPECT_EQ(Counted::live(), 1);
    timer.Cancel();
    EXPECT_EQ(Counted::live(), 0);
    EXPECT_FALSE(timer.IsActive());
    timer.Cancel();
    co_await SleepFor(10ms);
  });
}

TEST(Timer, ItsCallableIsDestroyedAfterItFiredThoughTheHandleLives) {
  Counted::Reset();
  InSimulation([]() -> Task<> {
    Timer timer = Current().CallLater(3ms, [counted = Counted()] { EXPECT_EQ(Counted::live(), 1); });
    co_await SleepFor(3ms);
    EXPECT_EQ(Counted::live(), 0);
  });
}

TEST(Timer, DroppingItsHandleChangesNothing) {
  InSimulation([]() -> Task<> {
    bool has_fired = false;
    {
      const Timer timer = Current().CallLater(3ms, [&] { has_fired = true; });
    }
    co_await SleepFor(3ms);
    EXPECT_TRUE(has_fired);
  });
}

TEST(Timer, MayCancelAnotherThatIsDueOrItselfFromInsideACallback) {
  InSimulation([]() -> Task<> {
    std::string log;
    Timer second;
    Timer first = Current().CallLater(3ms, [&] {
      log += "first ";
      first.Cancel();
      second.Cancel();
    });
    second = Current().CallLater(3ms, [&] { log += "second "; });
    co_await SleepFor(10ms);
    EXPECT_EQ(log, "first ");
  });
}

TEST(Timer, MayBeReplacedFromInsideItsOwnCallback) {
  InSimulation([]() -> Task<> {
    int fired = 0;
    Timer timer;
    std::function<void()> again = [&] {
      if (++fired < 5) timer = Current().CallLater(2ms, std::ref(again));
    };
    timer = Current().CallLater(2ms, std::ref(again));
    const TimePoint begin = Current().Now();
    while (fired < 5) co_await SleepFor(1ms);
    EXPECT_EQ(Current().Now() - begin, 10ms);
  });
}

TEST(Timer, AHandleThatOutlivesItsLoopIsHarmless) {
  Counted::Reset();
  Timer timer;
  InCalmSimulation([&]() -> Task<> {
    timer = Current().CallLater(1h, [counted = Counted()] { ADD_FAILURE(); });
    co_return;
  });
  EXPECT_EQ(Counted::live(), 0) << "the callable dies with the loop";
  EXPECT_FALSE(timer.IsActive());
  timer.Cancel();
}

// --- fairness

TEST(Loop, ATaskThatYieldsForEverDoesNotStarveTimers) {
  InSimulation([]() -> Task<> {
    bool has_fired = false;
    Timer timer = Current().CallLater(1ms, [&] { has_fired = true; });
    while (!has_fired) co_await Yield();
  });
  OnEpoll([]() -> Task<> {
    bool has_fired = false;
    Timer timer = Current().CallLater(1ms, [&] { has_fired = true; });
    while (!has_fired) co_await Yield();
  });
}

TEST(Loop, ATaskThatYieldsForEverDoesNotStarveInputAndOutput) {
  InEveryWorld([]() -> Task<> {
    testing::SocketPair pair = co_await testing::MakePair();
    bool has_received = false;
    auto receiver = [&]() -> Task<> {
      char byte = 0;
      const int count = co_await testing::Receive(pair.server, &byte, 1);
      EXPECT_EQ(count, 1);
      has_received = true;
    };
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(receiver);
      co_await Turns(10);
      const int sent = co_await testing::Send(pair.client, "x");
      EXPECT_EQ(sent, 0);
      while (!has_received) co_await Yield();
    };
    co_await WithScope(body);
  });
}

TEST(Loop, TasksThatWakeOneAnotherDoNotStarveTimers) {
  OnEpoll([]() -> Task<> {
    Gate ping;
    Gate pong;
    bool has_fired = false;
    auto player = [&](Gate& mine, Gate& other) -> Task<> {
      while (!has_fired) {
        co_await mine.Wait();
        if (other.waiting() > 0) other.LetOnePassNext();
      }
      mine.Open();
      other.Open();
    };
    auto body = [&](Scope& scope) -> Task<> {
      Timer timer = Current().CallLater(1ms, [&] { has_fired = true; });
      scope.Spawn(player, std::ref(ping), std::ref(pong));
      scope.Spawn(player, std::ref(pong), std::ref(ping));
      co_await Turns(2);
      ping.LetOnePassNext();
      while (!has_fired) co_await Yield();
      ping.Open();
      pong.Open();
    };
    co_await WithScope(body);
  });
}

// --- other threads

TEST(Loop, PostsFromFourThreadsAreAllMadeOnTheLoop) {
  OnEpoll([]() -> Task<> {
    constexpr int kPosts = 5000;
    const std::thread::id home = std::this_thread::get_id();
    std::array<int, 4> next{};
    int out_of_order = 0;
    std::vector<std::thread> threads;
    for (size_t who = 0; who < next.size(); ++who) {
      threads.emplace_back([&, who, &loop = Current()] {
        for (int i = 0; i < kPosts; ++i) {
          loop.Post([&, who, i] {
            if (std::this_thread::get_id() != home || next[who]++ != i) ++out_of_order;
          });
        }
      });
    }
    while (next[0] + next[1] + next[2] + next[3] < 4 * kPosts) co_await SleepFor(100us);
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(out_of_order, 0);
  });
}

TEST(Loop, APostWakesALoopThatSleeps) {
  OnEpoll([]() -> Task<> {
    for (int i = 0; i < 20; ++i) {
      Gate gate;
      std::thread poster([&gate, &loop = Current()] { loop.Post([&gate] { gate.Open(); }); });
      co_await gate.Wait();  // nothing else would wake it: a lost wake-up hangs here
      poster.join();
    }
  });
}

TEST(Loop, PostsToALoopThatIsAwakeWakeNobody) {
  OnEpoll([]() -> Task<> {
    int made = 0;
    const BackendCounters& counters = Current().backend().counters();
    const uint64_t wakes = counters.wakes.value();
    std::thread([&, &loop = Current()] {
      for (int i = 0; i < 1000; ++i) loop.Post([&] { ++made; });
    }).join();  // the loop's thread is busy here all the while
    co_await Yield();
    co_await Yield();
    EXPECT_EQ(made, 1000);
    EXPECT_EQ(counters.wakes.value() - wakes, 0u);
  });
}

TEST(Loop, PostedToAfterItsEndItDestroysTheCallable) {
  Counted::Reset();
  std::unique_ptr<Backend> backend = *EpollBackend::Create();
  Loop loop(*backend);
  bool is_done = false;
  loop.CallSoon([&] { is_done = true; });
  loop.RunUntil(is_done);
  EXPECT_FALSE(loop.IsRunning());
  EXPECT_EQ(loop.Post([counted = Counted()] { ADD_FAILURE(); }), PostResult::kClosed);
  EXPECT_EQ(Counted::live(), 0);
}

// --- the end

TEST(Loop, WhatIsStillPostedOrTimedAtTheEndIsDestroyedNotRunAndCounted) {
  Counted::Reset();
  RunReport report;
  gyre::Run(RunOptions().set_report(&report), []() -> Task<> {
    Current().CallSoon([counted = Counted()] { ADD_FAILURE(); });
    Current().Post([counted = Counted()] { ADD_FAILURE(); });
    Current().Post([counted = Counted()] { ADD_FAILURE(); });
    (void)Current().CallLater(1h, [counted = Counted()] { ADD_FAILURE(); });
    co_return;
  });
  EXPECT_EQ(Counted::live(), 0);
  EXPECT_EQ(report.dropped_callbacks, 3u);
  EXPECT_EQ(report.dropped_timers, 1u);
  EXPECT_EQ(report.backend, "epoll");
}

class PostsAtItsEnd {
 public:
  PostsAtItsEnd(Loop& loop, PostResult& result) : loop_(&loop), result_(&result) {}
  PostsAtItsEnd(PostsAtItsEnd&& other) noexcept : loop_(std::exchange(other.loop_, nullptr)), result_(other.result_) {}
  ~PostsAtItsEnd() {
    if (loop_ == nullptr) return;
    loop_->CallSoon([counted = Counted()] { ADD_FAILURE(); });
    *result_ = loop_->Post([counted = Counted()] { ADD_FAILURE(); });
  }

 private:
  Loop* loop_;
  PostResult* result_;
};

TEST(Loop, WhatIsDestroyedAtTheEndMayPostAndCall) {
  Counted::Reset();
  PostResult result = PostResult::kAccepted;
  OnEpoll([&]() -> Task<> {
    Current().CallSoon([posts = PostsAtItsEnd(Current(), result)] { ADD_FAILURE(); });
    co_return;
  });
  EXPECT_EQ(result, PostResult::kClosed);
  EXPECT_EQ(Counted::live(), 0);
}

TEST(LoopDeathTest, OnAnotherThreadOnlyPostIsAllowedAndTheMessageNamesBoth) {
  auto misuse = [](auto use) {
    pthread_setname_np(pthread_self(), "owner");
    gyre::Run([use]() -> Task<> {
      Loop& loop = Loop::Current();
      Timer timer = loop.CallLater(1h, [] {});
      std::thread([&] {
        pthread_setname_np(pthread_self(), "stranger");
        use(loop, timer);
      }).join();
      co_return;
    });
  };
  const std::string threads = "its loop runs on thread \"owner\" \\(.+\\), and this is thread \"stranger\" \\(.+\\)";
  EXPECT_DEATH(misuse([](Loop& loop, Timer&) { loop.CallSoon([] {}); }), "a Loop was used .*" + threads);
  EXPECT_DEATH(misuse([](Loop& loop, Timer&) { loop.CallLater(1s, [] {}); }), "a Loop was used .*" + threads);
  EXPECT_DEATH(misuse([](Loop&, Timer& timer) { timer.Cancel(); }), "a Timer was used .*" + threads);
}

TEST(LoopDeathTest, RunInsideARunningLoopIsAUsageError) {
  auto nested = []() -> Task<> {
    auto root = []() -> Task<> { co_return; };
    gyre::Run(root);
    co_return;
  };
  EXPECT_DEATH(gyre::Run(nested), "gyre::Run was called on a thread whose loop is running: await the task instead");
}

class Ring final : public Alarm {
 public:
  ~Ring() { Disarm(); }
  void ArmForThePast() { Arm(Loop::Current().Now() - std::chrono::seconds(1)); }
  int rings() const { return rings_; }

 private:
  void OnAlarm() override { ++rings_; }
  int rings_ = 0;
};

// Where the two of them are all that is ready, one turn begins where another ends.
TEST(Loop, TwoThatYieldToEachOtherKeepNothingElseWaiting) {
  OnEpoll([]() -> Task<> {
    bool is_over = false;
    auto body = [&is_over](Scope& scope) -> Task<> {
      Loop& loop = Loop::Current();
      auto other = [&is_over]() -> Task<> {
        while (!is_over) co_await Yield();
      };
      scope.Spawn(other);
      const uint64_t turns = loop.metrics().turns;
      for (int i = 0; i < 1000; ++i) co_await Yield();
      EXPECT_GE(loop.metrics().turns - turns, 900u);
      for (int i = 0; i < 100; ++i) {
        Ring ring;
        ring.ArmForThePast();
        int yields = 0;
        while (ring.rings() == 0 && ++yields < 100) co_await Yield();
        EXPECT_LE(yields, 3) << "a timer that is due was kept waiting";

        bool has_run = false;
        loop.Post([&has_run] { has_run = true; });
        yields = 0;
        while (!has_run && ++yields < 100) co_await Yield();
        EXPECT_LE(yields, 3) << "a message was kept waiting";
      }
      is_over = true;
    };
    co_await WithScope(body);
  });
}

}  // namespace
}  // namespace gyre
