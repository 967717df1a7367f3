#include "gyre/runtime/internal/timer_wheel.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace gyre::internal {
namespace {

using namespace std::chrono_literals;

constexpr int kProductionShift = 16;
constexpr int64_t kTick = int64_t{1} << kProductionShift;

TimePoint At(int64_t ns) { return TimePoint(Duration(ns)); }

struct NamedTimer : TimerNode {
  explicit NamedTimer(std::string name = "") : name(std::move(name)) {}
  std::string name;
};

std::string PopNames(TimerWheel& wheel) {
  std::string names;
  while (TimerNode* timer = wheel.PopDue()) names += static_cast<NamedTimer*>(timer)->name;
  return names;
}

std::string NamesDueAt(TimerWheel& wheel, TimePoint now) {
  wheel.CollectDue(now);
  return PopNames(wheel);
}

// As a loop in simulation does it: time jumps to NextExpiry. "name@ns " for each timer.
std::string RunVirtual(TimerWheel& wheel) {
  std::string log;
  while (const auto next = wheel.NextExpiry()) {
    if (*next == kNever) break;
    wheel.CollectDue(*next);
    while (TimerNode* timer = wheel.PopDue()) {
      EXPECT_EQ(*next, timer->deadline());
      log += static_cast<NamedTimer*>(timer)->name + "@" + std::to_string(next->time_since_epoch().count()) + " ";
    }
  }
  return log;
}

TEST(TimerWheel, FiresAtItsDeadlineInSimulation) {
  TimerWheel wheel(/*tick_shift=*/0);
  NamedTimer a("a"), b("b"), c("c"), d("d");
  wheel.Arm(c, At(5'000'000'000));
  wheel.Arm(a, At(1));
  wheel.Arm(d, At(400'000'000'000'000));  // beyond 2^48 ns: parked first
  wheel.Arm(b, At(4'097));
  EXPECT_EQ(wheel.size(), 4u);
  EXPECT_EQ(RunVirtual(wheel), "a@1 b@4097 c@5000000000 d@400000000000000 ");
  EXPECT_TRUE(wheel.empty());
}

TEST(TimerWheel, NeverFiresEarly) {
  TimerWheel wheel(kProductionShift);
  NamedTimer a("a");
  wheel.Arm(a, At(10 * kTick + 1));
  EXPECT_EQ(NamesDueAt(wheel, At(10 * kTick)), "");
  EXPECT_EQ(NamesDueAt(wheel, At(11 * kTick - 1)), "");
  EXPECT_EQ(NamesDueAt(wheel, At(11 * kTick)), "a");
}

TEST(TimerWheel, IsPunctualWhereTheDeadlineIsATick) {
  TimerWheel wheel(kProductionShift);
  NamedTimer a("a");
  wheel.Arm(a, At(10 * kTick));
  EXPECT_EQ(wheel.NextExpiry(), At(10 * kTick));
  EXPECT_EQ(NamesDueAt(wheel, At(10 * kTick - 1)), "");
  EXPECT_EQ(NamesDueAt(wheel, At(10 * kTick)), "a");
}

TEST(TimerWheel, EqualDeadlinesFireInOrderOfArm) {
  TimerWheel wheel(/*tick_shift=*/0);
  NamedTimer a("a"), b("b"), c("c");
  for (NamedTimer* timer : {&a, &b, &c}) wheel.Arm(*timer, At(100));
  wheel.Rearm(a, At(100));  // goes to the back
  EXPECT_EQ(RunVirtual(wheel), "b@100 c@100 a@100 ");
}

// The older timer is dealt down from a higher level into a slot in which the younger one sits already.
TEST(TimerWheel, DealingDownKeepsOrderOfArm) {
  TimerWheel wheel(/*tick_shift=*/0);
  NamedTimer older("o"), younger("y"), alarm("!");
  wheel.Arm(older, At(5'000));
  wheel.Arm(alarm, At(4'998));
  wheel.CollectDue(At(4'997));
  wheel.Arm(younger, At(5'000));
  EXPECT_EQ(RunVirtual(wheel), "!@4998 o@5000 y@5000 ");
}

TEST(TimerWheel, DeadlinesWithinOneTickFireInOrder) {
  TimerWheel wheel(kProductionShift);
  NamedTimer a("a"), b("b"), c("c"), d("d");
  wheel.Arm(c, At(kTick + 300));
  wheel.Arm(a, At(kTick + 100));
  wheel.Arm(d, At(kTick + 300));
  wheel.Arm(b, At(kTick + 200));
  EXPECT_EQ(NamesDueAt(wheel, At(2 * kTick)), "abcd");
}

TEST(TimerWheel, OneJumpOverEverythingKeepsTheOrder) {
  TimerWheel wheel(kProductionShift);
  std::vector<NamedTimer> timers(20);
  std::string expected;
  for (int i = 19; i >= 0; --i) {
    timers[i].name = std::string(1, static_cast<char>('a' + i));
    wheel.Arm(timers[i], At(int64_t{7} << (2 * i)));
  }
  for (const NamedTimer& timer : timers) expected += timer.name;
  EXPECT_EQ(NamesDueAt(wheel, At(int64_t{1} << 60)), expected);
}

TEST(TimerWheel, APastDeadlineFiresAtTheNextCollection) {
  TimerWheel wheel(kProductionShift, /*start=*/At(100 * kTick));
  NamedTimer a("a"), b("b"), c("c");
  wheel.Arm(b, At(100 * kTick));
  wheel.Arm(a, At(3));
  wheel.Arm(c, TimePoint::min());
  EXPECT_EQ(wheel.NextExpiry(), At(100 * kTick)) << "don't sleep";
  EXPECT_EQ(NamesDueAt(wheel, At(100 * kTick)), "cab");
}

TEST(TimerWheel, ATimerThatRearmsIntoThePastWaitsForTheNextCollection) {
  TimerWheel wheel(/*tick_shift=*/0);
  NamedTimer a("a");
  wheel.Arm(a, At(5));
  wheel.CollectDue(At(10));
  ASSERT_EQ(wheel.PopDue(), &a);
  EXPECT_FALSE(a.is_armed());
  wheel.Arm(a, At(5));
  EXPECT_EQ(wheel.PopDue(), nullptr);
  EXPECT_EQ(wheel.NextExpiry(), At(10));
  EXPECT_EQ(NamesDueAt(wheel, At(10)), "a");
}

TEST(TimerWheel, KNeverNeverFires) {
  for (int shift : {0, kProductionShift}) {
    TimerWheel wheel(shift);
    NamedTimer never("n"), almost("a");
    wheel.Arm(never, kNever);
    EXPECT_EQ(wheel.NextExpiry(), std::nullopt);
    EXPECT_EQ(wheel.size(), 1u);
    wheel.Arm(almost, kNever - 1ns);  // with a coarse tick its tick is out of the clock's reach
    EXPECT_EQ(wheel.NextExpiry(), shift == 0 ? kNever - 1ns : kNever);
    EXPECT_EQ(NamesDueAt(wheel, kNever), shift == 0 ? "a" : "");
    wheel.Disarm(never);
    wheel.Disarm(almost);
  }
}

TEST(TimerWheel, ADisarmedTimerDoesNotFire) {
  TimerWheel wheel(kProductionShift);
  NamedTimer a("a"), b("b");
  wheel.Arm(a, At(1'000'000));
  wheel.Arm(b, At(1'000'000));
  wheel.Disarm(a);
  wheel.Disarm(a);  // nothing to do
  EXPECT_EQ(wheel.size(), 1u);
  EXPECT_EQ(NamesDueAt(wheel, At(2'000'000)), "b");
  EXPECT_EQ(wheel.NextExpiry(), std::nullopt) << "no stale occupancy bit";
}

TEST(TimerWheel, RearmMovesATimerEitherWay) {
  TimerWheel wheel(/*tick_shift=*/0);
  NamedTimer a("a"), b("b");
  wheel.Rearm(a, At(1'000));  // arms
  wheel.Rearm(a, At(2'000'000));
  wheel.Rearm(b, At(1'000));
  wheel.Rearm(b, At(10));
  EXPECT_EQ(wheel.size(), 2u);
  EXPECT_EQ(wheel.NextExpiry(), At(10));
  EXPECT_EQ(RunVirtual(wheel), "b@10 a@2000000 ");
}

TEST(TimerWheel, ACallbackMayDisarmOrDelayOtherDueTimers) {
  TimerWheel wheel(/*tick_shift=*/0);
  NamedTimer a("a"), b("b"), c("c"), d("d");
  for (NamedTimer* timer : {&a, &b, &c, &d}) wheel.Arm(*timer, At(10));
  wheel.CollectDue(At(10));
  ASSERT_EQ(wheel.PopDue(), &a);
  wheel.Disarm(b);
  wheel.Rearm(c, At(20));
  EXPECT_EQ(PopNames(wheel), "d");
  EXPECT_EQ(RunVirtual(wheel), "c@20 ");
}

TEST(TimerWheel, WhatWasNotFetchedComesBeforeLaterCollections) {
  TimerWheel wheel(/*tick_shift=*/0);
  NamedTimer a("a"), b("b"), c("c");
  wheel.Arm(a, At(10));
  wheel.Arm(b, At(10));
  wheel.Arm(c, At(11));
  wheel.CollectDue(At(10));
  ASSERT_EQ(wheel.PopDue(), &a);
  EXPECT_EQ(wheel.NextExpiry(), At(10)) << "b still waits to be fetched";
  EXPECT_EQ(NamesDueAt(wheel, At(11)), "bc");
}

TEST(TimerWheel, ALoneTimerCostsNoExtraWakeUp) {
  TimerWheel wheel(kProductionShift, At(12'345'678'901));
  NamedTimer a("a");
  const TimePoint deadline = At(12'345'678'901) + 10min;
  wheel.Arm(a, deadline);
  ASSERT_GE(wheel.NextExpiry(), deadline);
  ASSERT_LT(wheel.NextExpiry(), deadline + Duration(kTick));
  EXPECT_EQ(NamesDueAt(wheel, *wheel.NextExpiry()), "a");
}

TEST(TimerWheel, NextExpiryTakesFewStepsToAFarTimer) {
  TimerWheel wheel(kProductionShift);
  NamedTimer a("a"), b("b");
  wheel.Arm(a, At(0) + 24h);
  wheel.Arm(b, At(0) + 24h + 1ms);  // shares every slot but the last with a
  int collections = 0;
  for (std::string fired; fired.empty(); ++collections) fired = NamesDueAt(wheel, *wheel.NextExpiry());
  EXPECT_LE(collections, 8) << "one for each level at most";
  wheel.Disarm(b);
}

TEST(TimerWheelDeathTest, TimeGoesForward) {
  TimerWheel wheel(kProductionShift);
  wheel.CollectDue(At(100));
  wheel.CollectDue(At(100));
  EXPECT_DEATH(wheel.CollectDue(At(99)), "time must not go backwards");
}

TEST(TimerWheelDeathTest, ArmingTwiceIsMisuse) {
  TimerWheel wheel(kProductionShift);
  TimerNode a;
  wheel.Arm(a, At(5));
  EXPECT_DEATH(wheel.Arm(a, At(6)), "Rearm takes either");
  wheel.Disarm(a);
}

TEST(TimerWheelDeathTest, MustNotDieWithArmedTimers) {
  TimerNode a;
  EXPECT_DEATH(
      {
        TimerWheel wheel(kProductionShift);
        wheel.Arm(a, At(5));
      },
      "every timer must be disarmed");
}

// A random walk beside a std::multimap, which keeps equal keys in order of insertion.
class ModelWalk {
 public:
  ModelWalk(int shift, unsigned seed, size_t timers) : shift_(shift), random_(seed), wheel_(shift), timers_(timers) {}

  ~ModelWalk() {
    for (Timer& timer : timers_) wheel_.Disarm(timer);
  }

  void Step() {
    const uint64_t kind = random_() % 100;
    if (kind < 35) {
      Arm(Pick(), RandomDeadline());
    } else if (kind < 55) {
      Disarm(Pick());
    } else {
      Collect(RandomNow());
    }
    CheckSleep();
  }

  int64_t fired() const { return fired_; }

 private:
  struct Timer : TimerNode {
    bool is_live = false;  // in live_, at `place`
    bool is_due = false;   // in due_
    std::multimap<int64_t, Timer*>::iterator place;
  };

  Timer& Pick() { return timers_[random_() % timers_.size()]; }

  int64_t FireTime(int64_t deadline) const {
    if (deadline < 0) return 0;
    const uint64_t tick = (static_cast<uint64_t>(deadline) + (uint64_t{1} << shift_) - 1) >> shift_;
    return static_cast<int64_t>(std::min(tick << shift_, uint64_t{std::numeric_limits<int64_t>::max()}));
  }

  int64_t RandomDeadline() {
    const uint64_t kind = random_() % 100;
    if (kind < 2) return kNever.time_since_epoch().count();
    if (kind < 5) return now_ - static_cast<int64_t>(random_() % 1000);
    if (kind < 30) return (now_ / 1024 + 1) * 1024;  // many equal ones
    const int bits = static_cast<int>(random_() % (kind < 90 ? 24 + shift_ : 56));
    return now_ + static_cast<int64_t>(random_() & ((uint64_t{1} << bits) - 1));
  }

  int64_t RandomNow() {
    const uint64_t kind = random_() % 100;
    const auto next = wheel_.NextExpiry();
    if (kind < 60) return next.has_value() && *next != kNever ? next->time_since_epoch().count() : now_;
    const int bits = static_cast<int>(random_() % (kind < 99 ? 8 + shift_ : 44));
    return now_ + static_cast<int64_t>(random_() & ((uint64_t{1} << bits) - 1));
  }

  void Forget(Timer& timer) {
    if (timer.is_live) live_.erase(timer.place);
    if (timer.is_due) std::erase(due_, &timer);
    timer.is_live = timer.is_due = false;
  }

  void Arm(Timer& timer, int64_t deadline) {
    wheel_.Rearm(timer, At(deadline));
    Forget(timer);
    timer.place = live_.emplace(deadline, &timer);
    timer.is_live = true;
  }

  void Disarm(Timer& timer) {
    wheel_.Disarm(timer);
    Forget(timer);
  }

  void Collect(int64_t now) {
    now_ = std::max(now_, now);
    for (auto at = live_.begin(); at != live_.end() && at->first != kNever.time_since_epoch().count();) {
      Timer& timer = *at->second;
      if (FireTime(at->first) > now_) break;
      at = live_.erase(at);
      timer.is_live = false;
      timer.is_due = true;
      due_.push_back(&timer);
    }
    wheel_.CollectDue(At(now_));
    const bool fetch_all = random_() % 10 != 0;
    while (fetch_all || random_() % 2 == 0) {
      TimerNode* const popped = wheel_.PopDue();
      ASSERT_EQ(popped, due_.empty() ? nullptr : due_.front());
      if (popped == nullptr) return;
      Fire(*due_.front());
    }
  }

  void Fire(Timer& timer) {
    due_.pop_front();
    timer.is_due = false;
    ++fired_;
    ASSERT_FALSE(timer.is_armed());
    ASSERT_GE(now_, timer.deadline().time_since_epoch().count()) << "early";
    switch (random_() % 6) {
      case 0:
        return Arm(timer, RandomDeadline());
      case 1:
        return Arm(Pick(), RandomDeadline());
      case 2:
        return Disarm(due_.empty() ? Pick() : *due_.back());
    }
  }

  void CheckSleep() {
    ASSERT_EQ(wheel_.size(), live_.size() + due_.size());
    const auto next = wheel_.NextExpiry();
    if (!due_.empty()) {
      ASSERT_EQ(next, At(now_));
      return;
    }
    if (live_.empty() || live_.begin()->first == kNever.time_since_epoch().count()) {
      ASSERT_EQ(next, std::nullopt);
      return;
    }
    const int64_t first = FireTime(live_.begin()->first);
    ASSERT_TRUE(next.has_value());
    ASSERT_LE(*next, At(std::max(first, now_))) << "would oversleep";
    ASSERT_TRUE(*next > At(now_) || first <= now_) << "would spin";
  }

  const int shift_;
  std::mt19937_64 random_;
  TimerWheel wheel_;
  std::vector<Timer> timers_;
  std::multimap<int64_t, Timer*> live_;
  std::deque<Timer*> due_;
  int64_t now_ = 0;
  int64_t fired_ = 0;
};

TEST(TimerWheel, AgreesWithAMultimapOnRandomWalks) {
  for (const int shift : {0, 3, kProductionShift}) {
    for (const unsigned seed : {1u, 2u, 3u, 4u, 5u}) {
      SCOPED_TRACE("shift " + std::to_string(shift) + ", seed " + std::to_string(seed));
      ModelWalk walk(shift, seed, /*timers=*/seed == 1 ? 5 : 300);
      for (int step = 0; step < 100'000 && !::testing::Test::HasFatalFailure(); ++step) walk.Step();
      EXPECT_GT(walk.fired(), 1'000);
      if (HasFatalFailure()) return;
    }
  }
}

// All in one slot of a high level, in an order that makes the sort work.
TEST(TimerWheel, ManyTimersInReverseOrderAreSorted) {
  TimerWheel wheel(kProductionShift);
  std::vector<TimerNode> timers(10'000);
  for (size_t i = 0; i < timers.size(); ++i) {
    wheel.Arm(timers[i], At(int64_t{1} << 40) + Duration((i * 7919) % timers.size() / 2));
  }
  wheel.CollectDue(At(int64_t{1} << 41));
  TimePoint last = At(0);
  size_t count = 0;
  const TimerNode* before = nullptr;
  while (TimerNode* timer = wheel.PopDue()) {
    ASSERT_LE(last, timer->deadline());
    ASSERT_TRUE(timer->deadline() > last || before < timer) << "armed in order of address";
    before = timer;
    last = timer->deadline();
    ++count;
  }
  EXPECT_EQ(count, timers.size());
}

}  // namespace
}  // namespace gyre::internal
