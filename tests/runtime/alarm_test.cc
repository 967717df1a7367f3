#include "gyre/runtime/alarm.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "gyre/runtime/internal/rng.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/run_on.h"
#include "gyre/runtime/runtime.h"
#include "gyre/runtime/sim/sim_world.h"
#include "gyre/runtime/sleep.h"
#include "gyre/tests/support/refused_memory.h"
#include "gyre/tests/support/worlds.h"

namespace gyre::testing {
namespace {

using namespace std::chrono_literals;

// Calls what it is given, which may destroy it.
class Bell final : public Alarm {
 public:
  explicit Bell(std::function<void()> ring) : ring_(std::move(ring)) {}
  ~Bell() { Disarm(); }

  using Alarm::Arm;
  using Alarm::ArmAfter;
  using Alarm::Disarm;

 private:
  void OnAlarm() override {
    const std::function<void()> ring = ring_;
    ring();
  }

  std::function<void()> ring_;
};

TimePoint Now() { return Loop::Current().Now(); }

TEST(Alarm, RingsAtItsTimeOnceAndIsNotArmedThen) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Now();
    std::vector<Duration> rung;
    Bell bell([&] {
      EXPECT_FALSE(bell.is_armed());
      rung.push_back(Now() - begin);
    });
    EXPECT_FALSE(bell.is_armed());
    bell.Arm(begin + 3ms);
    EXPECT_TRUE(bell.is_armed());
    co_await SleepFor(10ms);
    bell.ArmAfter(5ms);
    co_await SleepFor(10ms);
    EXPECT_EQ(rung, (std::vector<Duration>{3ms, 15ms}));
  });
}

TEST(Alarm, OnEpollItRings) {
  OnEpoll([]() -> Task<> {
    int rung = 0;
    Bell bell([&] {
      if (++rung < 3) bell.ArmAfter(100us);
    });
    bell.ArmAfter(100us);
    while (rung < 3) co_await SleepFor(50us);
  });
}

TEST(Alarm, EqualTimesRingInOrderOfArmingAmongOtherTimers) {
  InSimulation([]() -> Task<> {
    std::string log;
    const TimePoint when = Now() + 5ms;
    Bell a([&] { log += 'a'; });
    Bell b([&] { log += 'b'; });
    b.Arm(when);
    a.Arm(when);
    const Timer timer = Loop::Current().CallAt(when, [&] { log += 't'; });
    b.Arm(when);  // moved: behind them
    co_await SleepFor(5ms);
    EXPECT_EQ(log, "atb");
  });
}

TEST(Alarm, MovedItRingsAtTheNewTimeOnlyAndDisarmedNever) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Now();
    std::vector<Duration> rung;
    Bell bell([&] { rung.push_back(Now() - begin); });
    bell.Arm(begin + 3ms);
    bell.Arm(begin + 7ms);
    co_await SleepFor(5ms);
    bell.Arm(begin + 6ms);
    co_await SleepFor(5ms);
    bell.Arm(kNever);
    EXPECT_TRUE(bell.is_armed());
    co_await SleepFor(1h);
    bell.Arm(begin + 2h);
    bell.Disarm();
    EXPECT_FALSE(bell.is_armed());
    bell.Disarm();
    co_await SleepFor(2h);
    EXPECT_EQ(rung, std::vector<Duration>{6ms});
  });
}

TEST(Alarm, OfATimeThatHasPassedRingsInTheNextTimerStepNotInsideArm) {
  InSimulation([]() -> Task<> {
    int rung = 0;
    Bell bell([&] { ++rung; });
    co_await SleepFor(1ms);
    bell.Arm(Now() - 1ms);
    EXPECT_EQ(rung, 0);
    while (rung == 0) co_await Yield();
  });
}

TEST(Alarm, MayDisarmAnotherThatIsDueArmItselfOrDestroyItself) {
  InSimulation([]() -> Task<> {
    std::string log;
    auto second = std::make_unique<Bell>([&] { log += "second "; });
    auto third = std::unique_ptr<Bell>();
    third = std::make_unique<Bell>([&] {
      log += "third ";
      third.reset();
    });
    Bell first([&] {
      log += "first ";
      second->Disarm();
      if (log == "first ") first.ArmAfter(1ms);
    });
    const TimePoint when = Now() + 3ms;
    first.Arm(when);
    second->Arm(when);
    third->Arm(when);
    co_await SleepFor(10ms);
    EXPECT_EQ(log, "first third first ");
    EXPECT_EQ(third, nullptr);
  });
}

TEST(Alarm, WithoutMemoryItIsArmedMovedAndDisarmed) {
  InCalmSimulation([]() -> Task<> {
    int rung = 0;
    Bell other([] { ADD_FAILURE(); });
    Bell bell([&] {
      const RefusedMemory refused;
      if (++rung < 3) return bell.ArmAfter(1ms);
      other.Disarm();
    });
    {
      const RefusedMemory refused;
      other.ArmAfter(1h);
      other.ArmAfter(2h);
      bell.ArmAfter(1ms);
    }
    co_await SleepFor(3ms);
    EXPECT_EQ(rung, 3);
    EXPECT_FALSE(other.is_armed());
  });
}

TEST(Alarm, WhatItThrowsGoesToTheHookAndItMayBeArmedAgain) {
  InCalmSimulation([]() -> Task<> {
    HookLog hook;
    hook.Attach();
    int rung = 0;
    Bell bell([&] {
      if (++rung == 1) throw std::runtime_error("oops");
    });
    bell.ArmAfter(1ms);
    co_await SleepFor(1ms);
    bell.ArmAfter(1ms);
    co_await SleepFor(1ms);
    EXPECT_EQ(rung, 2);
    EXPECT_EQ(hook.Texts(), std::vector<std::string>{"oops"});
    Loop::Current().SetUnhandledErrorHook(nullptr);
  });
}

TEST(Alarm, ArmedWhenItsLoopEndsItIsDisarmedAndCountedAndMayGoToAnotherLoop) {
  int rung = 0;
  Bell bell([&] { ++rung; });
  RunReport report;
  gyre::Run(RunOptions().set_report(&report), [&]() -> Task<> {
    bell.ArmAfter(1h);
    co_return;
  });
  EXPECT_FALSE(bell.is_armed());
  EXPECT_EQ(report.dropped_timers, 1u);
  InCalmSimulation([&]() -> Task<> {
    bell.ArmAfter(1ms);
    co_await SleepFor(1ms);
  });
  EXPECT_EQ(rung, 1);
}

TEST(AlarmDeathTest, DestroyedWhileItIsArmed) {
  class Careless final : public Alarm {
   public:
    explicit Careless(Duration wait) { ArmAfter(wait); }

   private:
    void OnAlarm() override {}
  };
  auto misuse = [] {
    InCalmSimulation([]() -> Task<> {
      const Careless careless(1s);
      co_return;
    });
  };
  EXPECT_DEATH(misuse(), "an Alarm was destroyed while it was armed: disarm it before");
}

TEST(AlarmDeathTest, UsedOutsideALoopOrOnAnotherThanItsOwn) {
  Bell alone([] {});
  EXPECT_DEATH(alone.ArmAfter(1s), "was called outside a loop");
  auto on_a_thread = [] {
    gyre::Run([]() -> Task<> {
      Bell bell([] {});
      bell.ArmAfter(1h);
      std::thread([&] { bell.Disarm(); }).join();
      co_return;
    });
  };
  EXPECT_DEATH(on_a_thread(), "an Alarm was used on another thread than its loop's");
  auto on_a_loop = [] {
    SimWorld world(1);
    Runtime runtime(world.Loops(2));
    auto root = [&]() -> Task<> {
      Bell bell([] {});
      bell.ArmAfter(1h);
      auto arm = [&bell] { bell.ArmAfter(1s); };
      co_await RunOn(runtime.loop(1), arm);
    };
    runtime.Run(root);
  };
  EXPECT_DEATH(on_a_loop(), "an Alarm was used on another loop than its own, in a simulation");
}

// Beside a plain model: each alarm's time, if it has one.
TEST(Alarm, RandomWalkBesideAModel) {
  constexpr uint64_t kSeed = 11;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  InCalmSimulation([]() -> Task<> {
    constexpr size_t kBells = 5;
    gyre::internal::Rng rng(kSeed);
    std::vector<std::optional<TimePoint>> model(kBells);
    std::vector<std::unique_ptr<Bell>> bells;
    int rung = 0;
    for (size_t i = 0; i < kBells; ++i) {
      bells.push_back(std::make_unique<Bell>([&, i] {
        ++rung;
        EXPECT_EQ(model[i], Now());
        model[i].reset();
      }));
    }
    for (int step = 0; step < 20'000 && !::testing::Test::HasFailure(); ++step) {
      const size_t i = rng.Below(kBells);
      if (rng.Below(4) == 0) {
        bells[i]->Disarm();
        model[i].reset();
      } else if (rng.Below(2) == 0) {
        model[i] = Now() + Duration(1 + static_cast<int64_t>(rng.Below(5000)));
        bells[i]->Arm(*model[i]);
      } else {
        co_await SleepFor(Duration(1 + static_cast<int64_t>(rng.Below(1000))));
      }
      for (size_t k = 0; k < kBells; ++k) {
        EXPECT_EQ(bells[k]->is_armed(), model[k].has_value()) << "step " << step;
        EXPECT_TRUE(!model[k].has_value() || *model[k] >= Now()) << "step " << step;
      }
    }
    EXPECT_GT(rung, 1000);
  });
}

}  // namespace
}  // namespace gyre::testing
