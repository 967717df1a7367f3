#include "gyre/runtime/when_any.h"

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/deadline.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/when_all.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/counted.h"
#include "gyre/tests/support/gate.h"
#include "gyre/tests/support/tasks.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using namespace std::chrono_literals;
using testing::Counted;
using testing::EndStoppedByItself;
using testing::Fixed;
using testing::Gate;
using testing::Give;
using testing::GiveAfter;
using testing::GiveStubbornly;
using testing::HookLog;
using testing::InCalmSimulation;
using testing::InEveryWorld;
using testing::InSimulation;
using testing::Now;
using testing::Throw;
using testing::Turns;
using testing::WaitAt;
using testing::Watch;

Task<absl::StatusOr<int>> BadAfter(int turns) {
  co_await Turns(turns);
  co_return absl::DataLossError("rotten");
}
Task<absl::StatusOr<int>> GoodAfter(int turns) {
  co_await Turns(turns);
  co_return 7;
}

// --- who wins

TEST(WhenAny, TheFirstToEndWinsAndTheOthersAreStopped) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Now();
    auto race = co_await WhenAny(GiveAfter(20ms, 1), GiveAfter(10ms, 2), SleepFor(1h));
    EXPECT_EQ(race.index, 1u);
    EXPECT_TRUE(std::get<0>(race.outcomes).stopped());
    EXPECT_EQ(std::get<1>(race.outcomes).value(), 2);
    EXPECT_TRUE(std::get<2>(race.outcomes).stopped());
    EXPECT_EQ(Now() - begin, 10ms);
    EXPECT_TRUE(Loop::Current().timers().empty());
  });
}

TEST(WhenAny, OfNothingIsDoneAtOnceAndHasNoWinner) {
  InEveryWorld([]() -> Task<> {
    const auto none = co_await WhenAny();
    EXPECT_FALSE(none.has_winner());
    static_assert(std::is_same_v<decltype(none.outcomes), std::tuple<>>);
    const auto empty = co_await WhenAny(std::vector<Task<int>>());
    EXPECT_FALSE(empty.has_winner());
    EXPECT_TRUE(empty.outcomes.empty());
    const auto none_ok = co_await WhenAnyOk(std::vector<Task<>>());
    EXPECT_FALSE(none_ok.has_winner());
  });
}

TEST(WhenAny, OneThatIsReadyAtOnceStopsThoseBeforeItAndThoseBehindItAreNotStarted) {
  InEveryWorld([]() -> Task<> {
    Gate before;
    Gate behind;
    behind.Open();
    std::string log;
    auto race = co_await WhenAny(Watch(before, log, "before "), Give(2), Watch(behind, log, "behind "));
    EXPECT_EQ(race.index, 1u);
    EXPECT_EQ(log, "before stopped ");
    EXPECT_EQ(behind.asked(), 0u) << "what is behind the winner consumes nothing";
    EXPECT_TRUE(std::get<2>(race.outcomes).stopped());
  });
}

// Through the ends of a scope, of a combinator, of a deadline, and of many of them one in the other.
TEST(WhenAny, OneThatEndsWithoutWaitingWinsFromWithinScopesAndCombinatorsToo) {
  auto starts = [](Task<> winner) -> Task<int> {
    Gate gate;
    gate.Open();
    auto race = co_await WhenAny(std::move(winner), WaitAt(gate));
    EXPECT_EQ(race.index, 0u);
    co_return static_cast<int>(gate.asked());
  };
  InEveryWorld([&starts]() -> Task<> {
    auto scope_of_nothing = []() -> Task<> {
      auto body = [](Scope&) -> Task<> { co_return; };
      co_await WithScope(body);
    };
    auto both = []() -> Task<> { co_await WhenAll(Give(1), Give(2)); };
    auto in_time = []() -> Task<> { EXPECT_TRUE((co_await Timeout(1h, Give(1))).ok()); };
    auto deep = [&](auto& self, int depth) -> Task<> {
      if (depth == 0) co_return;
      co_await WhenAll(self(self, depth - 1), scope_of_nothing());
    };
    EXPECT_EQ(co_await starts(scope_of_nothing()), 0) << "what is behind the winner is not started";
    EXPECT_EQ(co_await starts(both()), 0);
    EXPECT_EQ(co_await starts(in_time()), 0);
    EXPECT_EQ(co_await starts(deep(deep, 20)), 0);
  });
}

TEST(WhenAny, OfAVectorGivesAnOutcomeForEachPlace) {
  InSimulation([]() -> Task<> {
    std::vector<Task<int>> tasks;
    for (int i = 0; i < 5; ++i) tasks.push_back(GiveAfter(std::chrono::milliseconds(5 - i), i));
    const auto race = co_await WhenAny(std::move(tasks));
    EXPECT_EQ(race.index, 4u);
    EXPECT_EQ(race.outcomes.size(), 5u);
    EXPECT_EQ(race.outcomes.at(4).value(), 4);
    for (int i = 0; i < 4; ++i) EXPECT_TRUE(race.outcomes.at(i).stopped());
  });
}

TEST(WhenAny, AnExceptionOrABadStatusWinsAsAnyEndDoes) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    auto thrown = co_await WhenAny(WaitAt(never), Throw(2, "boom"));
    EXPECT_EQ(thrown.index, 1u);
    EXPECT_EQ(HookLog::What(std::get<1>(thrown.outcomes).exception()), "boom");
    auto bad = co_await WhenAny(WaitAt(never), BadAfter(2));
    EXPECT_EQ(bad.index, 1u);
    EXPECT_EQ(std::get<1>(bad.outcomes).status(), absl::DataLossError("rotten"));
  });
}

TEST(WhenAny, OneThatEndsStoppedByItselfWinsTooIfTheOwnerIsNotStopped) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    auto race = co_await WhenAny(WaitAt(never), EndStoppedByItself());
    EXPECT_EQ(race.index, 1u);
    EXPECT_TRUE(std::get<1>(race.outcomes).stopped());
  });
}

TEST(WhenAny, OfTwoThatWakeInTheSameTurnOneWinsAndTheOtherHasConsumedNothing) {
  InEveryWorld([]() -> Task<> {
    Gate gate;
    std::string log;
    auto open = [&]() -> Task<int> {
      co_await Turns(3);
      gate.Open();
      co_await Turns(100);
      co_return 0;
    };
    auto race = co_await WhenAny(Watch(gate, log), Watch(gate, log), open());
    EXPECT_TRUE(race.index == 0 || race.index == 1) << race.index;
    EXPECT_TRUE(log == "passed stopped ") << log;
  });
}

TEST(WhenAnyOk, TheFirstGoodEndWinsAndBadOnesBeforeItStopNobody) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    auto race = co_await WhenAnyOk(Throw(0, "boom"), BadAfter(1), GoodAfter(4), WaitAt(never));
    EXPECT_EQ(race.index, 2u);
    EXPECT_EQ(HookLog::What(std::get<0>(race.outcomes).exception()), "boom");
    EXPECT_EQ(std::get<1>(race.outcomes).status(), absl::DataLossError("rotten"));
    EXPECT_EQ(*std::get<2>(race.outcomes).value(), 7);
    EXPECT_TRUE(std::get<3>(race.outcomes).stopped());
  });
}

TEST(WhenAnyOk, WhereNoneEndsWellThereIsNoWinnerAndEveryEndIsInItsSlot) {
  InEveryWorld([]() -> Task<> {
    HookLog hook;
    hook.Attach();
    auto race = co_await WhenAnyOk(Throw(2, "boom"), BadAfter(1), EndStoppedByItself());
    EXPECT_FALSE(race.has_winner());
    EXPECT_EQ(HookLog::What(std::get<0>(race.outcomes).exception()), "boom");
    EXPECT_EQ(std::get<1>(race.outcomes).status(), absl::DataLossError("rotten"));
    EXPECT_TRUE(std::get<2>(race.outcomes).stopped());
    EXPECT_TRUE(hook.errors.empty());
    Loop::Current().SetUnhandledErrorHook(nullptr);
  });
}

// --- losers

TEST(WhenAny, ALosersErrorWhileItIsStoppedStaysInItsSlotAndReachesNoHook) {
  InEveryWorld([]() -> Task<> {
    HookLog hook;
    hook.Attach();
    Gate never;
    auto fails_when_stopped = [&]() -> Task<> {
      (void)co_await AsOutcome(WaitAt(never));
      throw std::runtime_error("late");
    };
    auto race = co_await WhenAny(fails_when_stopped(), Turns(2));
    EXPECT_EQ(race.index, 1u);
    EXPECT_EQ(HookLog::What(std::get<0>(race.outcomes).exception()), "late");
    EXPECT_TRUE(hook.errors.empty());
    co_await Yield();  // no stop is pending
    Loop::Current().SetUnhandledErrorHook(nullptr);
  });
}

TEST(WhenAny, ALoserThatRefusesToStopIsWaitedForAndKeepsItsResult) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Now();
    int stops = 0;
    auto race = co_await WhenAny(GiveStubbornly(10ms, stops, 1), GiveAfter(1ms, 2));
    EXPECT_EQ(race.index, 1u);
    EXPECT_EQ(std::get<0>(race.outcomes).value(), 1) << "it had its effect: that is not lost";
    EXPECT_EQ(Now() - begin, 10ms);
    EXPECT_EQ(stops, 1);
  });
}

TEST(WhenAny, ALosersStopSaysThatAnotherOperationWon) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    auto race = co_await WhenAny(WaitAt(never), Turns(1));
    EXPECT_EQ(std::get<0>(race.outcomes).stop_reason().message(), "another operation won");
  });
}

// --- stops of the owner

TEST(WhenAny, StoppedFromOutsideItStopsAndAwaitsEveryChildAndPassesTheStopOn) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    std::string log;
    auto owner = [&]() -> Task<> {
      (void)co_await WhenAny(Watch(never, log), Watch(never, log), Watch(never, log));
      log += "went on ";
    };
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> task = scope.Spawn(owner);
      co_await Turns(3);
      EXPECT_EQ(never.waiting(), 3u);
      task.RequestStop();
      const Outcome<>& outcome = co_await task.Join();
      EXPECT_TRUE(outcome.stopped());
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "stopped stopped stopped ");
  });
}

TEST(WhenAny, AWinThatCameBeforeTheStopOfTheOwnerIsDeliveredAndTheNextAwaitIsStopped) {
  InSimulation([]() -> Task<> {
    int stops = 0;
    size_t winner = 99;
    bool went_on = false;
    auto owner = [&]() -> Task<> {
      const auto race = co_await WhenAny(GiveAfter(1ms, 1), GiveStubbornly(10ms, stops, 2));
      winner = race.index;
      co_await Yield();
      went_on = true;
    };
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> task = scope.Spawn(owner);
      co_await SleepFor(5ms);
      task.RequestStop();
    };
    co_await WithScope(body);
    EXPECT_EQ(winner, 0u);
    EXPECT_FALSE(went_on);
  });
}

TEST(WhenAny, AChildThatHasItsEffectAlthoughTheOwnerIsStoppedIsDelivered) {
  InSimulation([]() -> Task<> {
    int stops = 0;
    int value = 0;
    auto owner = [&]() -> Task<> {
      auto race = co_await WhenAny(SleepFor(1h), GiveStubbornly(10ms, stops, 2));
      value = race.index == 1 ? std::get<1>(race.outcomes).value() : -1;
    };
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> task = scope.Spawn(owner);
      co_await SleepFor(5ms);
      task.RequestStop();
    };
    co_await WithScope(body);
    EXPECT_EQ(value, 2);
  });
}

TEST(WhenAny, InAStoppedScopeEachChildStartsAndIsStoppedAtItsFirstSuspension) {
  InEveryWorld([]() -> Task<> {
    Gate open;
    open.Open();
    std::string log;
    auto body = [&](Scope& scope) -> Task<> {
      scope.RequestStop();
      (void)co_await WhenAny(Watch(open, log, "a "), Watch(open, log, "b "));
      log += "went on";
    };
    co_await WithScope(body);
    EXPECT_TRUE(log == "a stopped b stopped " || log == "b stopped a stopped ") << log;
    EXPECT_EQ(open.asked(), 0u);
  });
}

// --- results

TEST(WhenAny, KeepsResultsOfEveryKindWithoutCopying) {
  Counted::Reset();
  InEveryWorld([]() -> Task<> {
    Gate never;
    int number = 5;
    auto counted = []() -> Task<Counted> { co_return Counted(); };
    auto fixed = co_await WhenAny(testing::GiveFixed(3), WaitAt(never));
    EXPECT_EQ(std::get<0>(fixed.outcomes).value().number, 3);
    auto unique = co_await WhenAny(testing::GiveUnique(4), WaitAt(never));
    EXPECT_EQ(*std::get<0>(unique.outcomes).value(), 4);
    auto lvalue = co_await WhenAny(testing::Refer(number), WaitAt(never));
    EXPECT_EQ(&std::get<0>(lvalue.outcomes).value(), &number);
    auto rvalue = co_await WhenAny(testing::Move(number), WaitAt(never));
    EXPECT_EQ(&std::get<0>(rvalue.outcomes).value(), &number);
    auto nothing = co_await WhenAny(Yield(), WaitAt(never));
    EXPECT_TRUE(std::get<0>(nothing.outcomes).has_value());
    auto whole = co_await WhenAny(counted(), WaitAt(never));
    EXPECT_TRUE(std::get<0>(whole.outcomes).has_value());
  });
  EXPECT_EQ(Counted::copies(), 0);
  EXPECT_EQ(Counted::live(), 0);
}

TEST(WhenAny, NotAwaitedItDestroysItsTasksUnstarted) {
  Counted::Reset();
  InEveryWorld([]() -> Task<> {
    auto task = [](Counted) -> Task<> { co_return; };
    { [[maybe_unused]] auto unused = WhenAny(task(Counted()), task(Counted())); }
    EXPECT_EQ(Counted::live(), 0);
    co_return;
  });
}

TEST(WhenAny, OfManyThatAreReadyAtOnceOnlyTheFirstIsStarted) {
  InEveryWorld([]() -> Task<> {
    int started = 0;
    auto count = [&]() -> Task<int> {
      ++started;
      co_return started;
    };
    std::vector<Task<int>> tasks;
    for (int i = 0; i < 1000; ++i) tasks.push_back(count());
    const auto race = co_await WhenAny(std::move(tasks));
    EXPECT_EQ(race.index, 0u);
    EXPECT_EQ(started, 1);
  });
}

}  // namespace
}  // namespace gyre
