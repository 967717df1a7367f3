#include "gyre/runtime/when_all.h"

#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/counted.h"
#include "gyre/tests/support/gate.h"
#include "gyre/tests/support/tasks.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using namespace std::chrono_literals;
using testing::Counted;
using testing::Gate;
using testing::HookLog;
using testing::InEveryWorld;
using testing::InSimulation;
using testing::Noting;

Task<int> After(int wait_ms, int value) {
  co_await SleepFor(std::chrono::milliseconds(wait_ms));
  co_return value;
}
Task<> Turns(int count) {
  for (int i = 0; i < count; ++i) co_await Yield();
}
Task<int> Fail(int turns, std::string text) {
  co_await Turns(turns);
  throw std::runtime_error(text);
}
Task<absl::Status> BadStatus(std::string text) { co_return absl::DataLossError(text); }
Task<int> WaitAt(Gate& gate, std::string& log) {
  Noting end(log, "stopped ");
  co_await gate.Wait();
  log += "went on ";
  co_return 0;
}
Task<> BothOf(Task<int> a, Task<int> b) { (void)co_await WhenAll(std::move(a), std::move(b)); }
Task<absl::StatusOr<int>> WaitForNumber(Gate& gate) {
  co_await gate.Wait();
  co_return 1;
}

TEST(WhenAll, GivesResultsInArgumentOrderHoweverTheyFinish) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Loop::Current().Now();
    auto all = co_await WhenAll(After(30, 1), After(20, 2), After(10, 3));
    EXPECT_EQ(all, std::make_tuple(1, 2, 3));
    EXPECT_EQ(Loop::Current().Now() - begin, 30ms) << "they run side by side";
  });
}

TEST(WhenAll, OfAVectorGivesAVector) {
  InSimulation([]() -> Task<> {
    std::vector<Task<int>> tasks;
    for (int i = 0; i < 10; ++i) tasks.push_back(After(10 - i, i));
    const std::vector<int> all = co_await WhenAll(std::move(tasks));
    EXPECT_EQ(all, (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  });
}

TEST(WhenAll, OfNothingIsDoneAtOnce) {
  InEveryWorld([]() -> Task<> {
    const auto none = co_await WhenAll();
    static_assert(std::is_same_v<decltype(none), const std::tuple<>>);
    const std::vector<int> empty = co_await WhenAll(std::vector<Task<int>>());
    EXPECT_TRUE(empty.empty());
    const std::vector<std::monostate> nothing = co_await WhenAll(std::vector<Task<>>());
    EXPECT_TRUE(nothing.empty());
  });
}

Task<int&> ReferTo(int& number) { co_return number; }
Task<Counted&&> MoveOf(Counted& counted) { co_return std::move(counted); }
Task<std::unique_ptr<int>> Unique(int number) { co_return std::make_unique<int>(number); }
Task<Counted> MakeCounted() { co_return Counted(); }

TEST(WhenAll, MixesResultsOfEveryKindWithoutCopying) {
  Counted::Reset();
  InEveryWorld([]() -> Task<> {
    int number = 0;
    Counted counted;
    auto all = co_await WhenAll(Turns(1), ReferTo(number), MoveOf(counted), Unique(3), MakeCounted(), Yield());
    EXPECT_EQ(&std::get<1>(all), &number);
    EXPECT_EQ(&std::get<2>(all), &counted);
    EXPECT_EQ(*std::get<3>(all), 3);
    static_assert(std::is_same_v<std::tuple_element_t<0, decltype(all)>, std::monostate>);
  });
  EXPECT_EQ(Counted::copies(), 0);
  EXPECT_EQ(Counted::live(), 0);
}

TEST(WhenAll, TheFirstExceptionStopsTheSiblingsAndIsRethrownWhenAllHaveEnded) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    std::string log;
    std::string caught;
    try {
      (void)co_await WhenAll(WaitAt(never, log), Fail(2, "boom"), WaitAt(never, log));
    } catch (const std::runtime_error& error) {
      caught = error.what();
    }
    EXPECT_EQ(caught, "boom");
    EXPECT_EQ(log, "stopped stopped ");
    co_await Yield();  // no stop is pending
  });
}

TEST(WhenAll, FurtherExceptionsReachTheHook) {
  InEveryWorld([]() -> Task<> {
    HookLog hook;
    hook.Attach();
    Gate never;
    auto fails_when_stopped = [&]() -> Task<> {
      std::string log;
      (void)co_await AsOutcome(WaitAt(never, log));
      throw std::runtime_error("second");
    };
    auto both = [&]() -> Task<> { (void)co_await WhenAll(fails_when_stopped(), Fail(2, "first")); };
    const Outcome<> outcome = co_await AsOutcome(both());
    EXPECT_EQ(HookLog::What(outcome.exception()), "first");
    EXPECT_EQ(hook.Texts(), std::vector<std::string>{"second"});
    Loop::Current().SetUnhandledErrorHook(nullptr);
  });
}

TEST(WhenAll, ABadStatusStaysInItsSlotAndStoppedSiblingsHoldCancelled) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    const auto all = co_await WhenAll(WaitForNumber(never), BadStatus("rotten"));
    EXPECT_EQ(std::get<0>(all).status().code(), absl::StatusCode::kCancelled);
    EXPECT_EQ(std::get<1>(all), absl::DataLossError("rotten"));
  });
}

TEST(WhenAll, ABadStatusIsThrownWhereAStoppedSiblingCantHoldOne) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    std::string log;
    absl::Status thrown;
    try {
      (void)co_await WhenAll(WaitAt(never, log), BadStatus("rotten"));
    } catch (const StatusError& error) {
      thrown = error.status();
    }
    EXPECT_EQ(thrown, absl::DataLossError("rotten"));
    EXPECT_EQ(log, "stopped ");
  });
}

TEST(WhenAll, AStatusThatItThrewIsAnExceptionForTheScopeAround) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    std::string log;
    auto body = [&](Scope&) -> Task<absl::Status> {
      (void)co_await WhenAll(WaitAt(never, log), BadStatus("rotten"));
      co_return absl::OkStatus();
    };
    const Outcome<absl::Status> outcome = co_await AsOutcome(WithScope(body));
    EXPECT_TRUE(outcome.has_exception());
    EXPECT_EQ(outcome.status(), absl::DataLossError("rotten"));
  });
}

TEST(WhenAll, AnExceptionAfterABadStatusReachesTheHookOnly) {
  InEveryWorld([]() -> Task<> {
    HookLog hook;
    hook.Attach();
    Gate never;
    auto throws_when_stopped = [&]() -> Task<absl::Status> {
      const Outcome<absl::StatusOr<int>> outcome = co_await AsOutcome(WaitForNumber(never));
      EXPECT_TRUE(outcome.stopped());
      throw std::runtime_error("second");
    };
    auto all = co_await WhenAll(throws_when_stopped(), BadStatus("rotten"));
    EXPECT_EQ(std::get<0>(all).message(), "second");
    EXPECT_EQ(std::get<1>(all), absl::DataLossError("rotten"));
    EXPECT_EQ(hook.Texts(), std::vector<std::string>{"second"});
    Loop::Current().SetUnhandledErrorHook(nullptr);
  });
}

TEST(WhenAll, SeveralBadStatusesAllStayVisible) {
  InEveryWorld([]() -> Task<> {
    std::vector<Task<absl::Status>> tasks;
    tasks.push_back(BadStatus("a"));
    tasks.push_back(BadStatus("b"));
    const std::vector<absl::Status> all = co_await WhenAll(std::move(tasks));
    EXPECT_EQ(all, (std::vector<absl::Status>{absl::DataLossError("a"), absl::DataLossError("b")}));
  });
}

TEST(WhenAll, StoppedFromOutsideItStopsAndAwaitsEveryChildAndPassesTheStopOn) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    std::string log;
    auto owner = [&]() -> Task<> {
      (void)co_await WhenAll(WaitAt(never, log), WaitAt(never, log), WaitAt(never, log));
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

TEST(WhenAll, WhoseChildrenHaveAllFinishedDeliversThoughItsOwnerWasJustStopped) {
  InEveryWorld([]() -> Task<> {
    std::string log;
    auto number = []() -> Task<int> { co_return 1; };
    auto body = [&](Scope& scope) -> Task<> {
      scope.RequestStop();
      const auto all = co_await WhenAll(number(), number());  // neither meets a suspension
      log += std::to_string(std::get<0>(all) + std::get<1>(all));
      co_await Yield();
      log += "went on";
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "2");
  });
}

TEST(WhenAll, NotAwaitedItDestroysItsTasksUnstarted) {
  Counted::Reset();
  InEveryWorld([]() -> Task<> {
    auto task = [](Counted) -> Task<> { co_return; };
    { [[maybe_unused]] auto unused = WhenAll(task(Counted()), task(Counted())); }
    EXPECT_EQ(Counted::live(), 0);
    co_return;
  });
}

TEST(WhenAll, RunsOneHundredThousandChildrenOfAVector) {
  testing::OnEpoll([]() -> Task<> {
    constexpr int kChildren = 100000;
    auto number = [](int value) -> Task<int> {
      co_await Yield();
      co_return value;
    };
    std::vector<Task<int>> tasks;
    for (int i = 0; i < kChildren; ++i) tasks.push_back(number(i));
    const std::vector<int> all = co_await WhenAll(std::move(tasks));
    int64_t sum = 0;
    for (int value : all) sum += value;
    EXPECT_EQ(sum, int64_t{kChildren} * (kChildren - 1) / 2);
  });
}

TEST(WhenAll, AChildThatRefusesToStopIsWaitedForBeforeTheErrorIsRethrown) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Loop::Current().Now();
    int stops = 0;
    const Outcome<> outcome = co_await AsOutcome(BothOf(testing::GiveStubbornly(10ms, stops, 1), Fail(1, "boom")));
    EXPECT_EQ(HookLog::What(outcome.exception()), "boom");
    EXPECT_EQ(stops, 1);
    EXPECT_EQ(Loop::Current().Now() - begin, 10ms);
  });
}

TEST(WhenAll, AChildBehindOneThatFailsAtOnceStartsAndIsStoppedAtItsFirstSuspension) {
  InEveryWorld([]() -> Task<> {
    Gate open;
    open.Open();
    std::string log;
    const Outcome<> outcome = co_await AsOutcome(BothOf(Fail(0, "boom"), WaitAt(open, log)));
    EXPECT_EQ(HookLog::What(outcome.exception()), "boom");
    EXPECT_EQ(log, "stopped ");
    EXPECT_EQ(open.asked(), 0u);
  });
}

TEST(WhenAll, AnErrorWinsOverAStopOfTheOwnerWhichShowsAtTheNextSuspension) {
  InSimulation([]() -> Task<> {
    std::string log;
    auto owner = [&]() -> Task<> {
      int stops = 0;
      const Outcome<> outcome = co_await AsOutcome(BothOf(testing::GiveStubbornly(10ms, stops, 1), Fail(1, "boom ")));
      log += HookLog::What(outcome.exception());
      Noting end(log, "stopped");
      co_await Yield();
      log += "went on ";
    };
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> task = scope.Spawn(owner);
      co_await SleepFor(5ms);
      task.RequestStop();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "boom stopped");
  });
}

TEST(WhenAll, StoppedFromOutsideWhileChildrenThrowTheFirstErrorWinsAndTheOtherReachesTheHook) {
  InEveryWorld([]() -> Task<> {
    HookLog hook;
    hook.Attach();
    Gate never;
    auto fails_when_stopped = [&]() -> Task<int> {
      std::string log;
      (void)co_await AsOutcome(WaitAt(never, log));
      throw std::runtime_error("clean-up");
    };
    std::string seen;
    auto owner = [&]() -> Task<> {
      const Outcome<> outcome = co_await AsOutcome(BothOf(fails_when_stopped(), fails_when_stopped()));
      seen = HookLog::What(outcome.exception());
    };
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> task = scope.Spawn(owner);
      co_await Turns(3);
      task.RequestStop();
    };
    co_await WithScope(body);
    EXPECT_EQ(seen, "clean-up");
    EXPECT_EQ(hook.Texts(), std::vector<std::string>{"clean-up"});
    Loop::Current().SetUnhandledErrorHook(nullptr);
  });
}

TEST(WhenAll, ASingleChildThatIsReadyIsDoneWithoutATurn) {
  testing::InCalmSimulation([]() -> Task<> {
    bool has_turned = false;
    Loop::Current().CallSoon([&] { has_turned = true; });
    const auto all = co_await WhenAll(testing::Give(1), testing::Give(2));
    EXPECT_EQ(all, std::make_tuple(1, 2));
    EXPECT_FALSE(has_turned);
  });
}

// --- WhenAllOutcomes

TEST(WhenAllOutcomes, OneThatFailsStopsNobodyAndEachSlotHoldsItsOwnEnd) {
  InSimulation([]() -> Task<> {
    HookLog hook;
    hook.Attach();
    auto all = co_await WhenAllOutcomes(Fail(1, "boom"), After(10, 2), BadStatus("rotten"), Fail(2, "again"));
    EXPECT_EQ(HookLog::What(std::get<0>(all).exception()), "boom");
    EXPECT_EQ(std::get<1>(all).value(), 2);
    EXPECT_EQ(std::get<2>(all).status(), absl::DataLossError("rotten"));
    EXPECT_EQ(HookLog::What(std::get<3>(all).exception()), "again");
    EXPECT_TRUE(hook.errors.empty()) << "every error is in its slot";
    Loop::Current().SetUnhandledErrorHook(nullptr);
  });
}

TEST(WhenAllOutcomes, OneThatEndsStoppedByItselfStopsNobody) {
  InEveryWorld([]() -> Task<> {
    auto all = co_await WhenAllOutcomes(testing::EndStoppedByItself(), testing::GiveUnique(4));
    EXPECT_TRUE(std::get<0>(all).stopped());
    EXPECT_EQ(*std::get<1>(all).value(), 4);
    co_await Yield();  // no stop is pending
  });
}

TEST(WhenAllOutcomes, OfNothingIsDoneAtOnceAndOfAVectorGivesAVector) {
  InEveryWorld([]() -> Task<> {
    const auto none = co_await WhenAllOutcomes();
    static_assert(std::is_same_v<decltype(none), const std::tuple<>>);
    const std::vector<Outcome<int>> empty = co_await WhenAllOutcomes(std::vector<Task<int>>());
    EXPECT_TRUE(empty.empty());
    std::vector<Task<int>> tasks;
    for (int i = 0; i < 3; ++i) tasks.push_back(testing::Give(i));
    const std::vector<Outcome<int>> all = co_await WhenAllOutcomes(std::move(tasks));
    for (int i = 0; i < 3; ++i) EXPECT_EQ(all.at(i).value(), i);
  });
}

TEST(WhenAllOutcomes, KeepsResultsOfEveryKindWithoutCopying) {
  Counted::Reset();
  InEveryWorld([]() -> Task<> {
    int number = 0;
    auto all = co_await WhenAllOutcomes(testing::GiveFixed(3), testing::GiveUnique(4), testing::Refer(number),
                                        testing::Move(number), MakeCounted(), Yield());
    EXPECT_EQ(std::get<0>(all).value().number, 3);
    EXPECT_EQ(*std::get<1>(all).value(), 4);
    EXPECT_EQ(&std::get<2>(all).value(), &number);
    EXPECT_EQ(&std::get<3>(all).value(), &number);
    EXPECT_TRUE(std::get<5>(all).has_value());
  });
  EXPECT_EQ(Counted::copies(), 0);
  EXPECT_EQ(Counted::live(), 0);
}

TEST(WhenAllOutcomes, StoppedFromOutsideItStopsAndAwaitsEveryChildAndPassesTheStopOn) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    std::string log;
    auto owner = [&]() -> Task<> {
      (void)co_await WhenAllOutcomes(WaitAt(never, log), testing::Give(1), WaitAt(never, log));
      log += "went on ";
    };
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> task = scope.Spawn(owner);
      co_await Turns(3);
      EXPECT_EQ(never.waiting(), 2u);
      task.RequestStop();
      const Outcome<>& outcome = co_await task.Join();
      EXPECT_TRUE(outcome.stopped());
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "stopped stopped ");
  });
}

TEST(WhenAllOutcomes, WhoseChildrenAllHaveTheirEffectDeliversAlthoughItsOwnerIsStopped) {
  InSimulation([]() -> Task<> {
    int stops = 0;
    std::string log;
    auto owner = [&]() -> Task<> {
      auto all = co_await WhenAllOutcomes(testing::GiveStubbornly(10ms, stops, 1), testing::Give(2));
      log += std::to_string(std::get<0>(all).value() + std::get<1>(all).value());
      co_await Yield();
      log += "went on";
    };
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> task = scope.Spawn(owner);
      co_await SleepFor(5ms);
      task.RequestStop();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "3");
    EXPECT_EQ(stops, 1);
  });
}

}  // namespace
}  // namespace gyre
