#include "gyre/runtime/deadline.h"

#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/shielded.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/counted.h"
#include "gyre/tests/support/gate.h"
#include "gyre/tests/support/tasks.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using namespace std::chrono_literals;
using testing::Gate;
using testing::GiveStubbornly;
using testing::HookLog;
using testing::InCalmSimulation;
using testing::InEveryWorld;
using testing::InSimulation;
using testing::Now;
using testing::OnEpoll;
using testing::StubbornWait;

Task<int> Answer() { co_return 42; }
Task<int> AnswerAfter(Duration wait) {
  co_await SleepFor(wait);
  co_return 42;
}

TEST(Timeout, ALongerSleepGivesDeadlineExceededAtTheDeadline) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Loop::Current().Now();
    const absl::Status status = co_await Timeout(10ms, SleepFor(1h));
    EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
    EXPECT_NE(status.message().find("deadline_test.cc"), std::string::npos) << "it says where: " << status;
    EXPECT_EQ(Loop::Current().Now() - begin, 10ms);
  });
}

TEST(MoveOnAfter, ALongerSleepGivesNothing) {
  InSimulation([]() -> Task<> {
    const bool slept = co_await MoveOnAfter(10ms, SleepFor(1h));
    EXPECT_FALSE(slept);
    const std::optional<int> answer = co_await MoveOnAfter(10ms, AnswerAfter(1h));
    EXPECT_EQ(answer, std::nullopt);
  });
}

TEST(Timeout, GivesTheValueOfABodyThatEndsEarlyAndItsTimerIsGone) {
  InEveryWorld([]() -> Task<> {
    const absl::StatusOr<int> answer = co_await Timeout(1h, Answer());
    EXPECT_EQ(*answer, 42);
    const std::optional<int> same = co_await MoveOnAfter(1h, Answer());
    EXPECT_EQ(same, 42);
    EXPECT_TRUE(Loop::Current().timers().empty());
  });
}

TEST(Timeout, FlattensStatusesAndKeepsReferences) {
  InEveryWorld([]() -> Task<> {
    auto status = []() -> Task<absl::Status> { co_return absl::DataLossError("x"); };
    auto status_or = []() -> Task<absl::StatusOr<int>> { co_return 7; };
    int number = 3;
    auto reference = [&]() -> Task<int&> { co_return number; };
    auto movable = []() -> Task<std::unique_ptr<int>> { co_return std::make_unique<int>(5); };
    const absl::Status plain = co_await Timeout(1h, status());
    EXPECT_TRUE(absl::IsDataLoss(plain));
    const absl::StatusOr<int> seven = co_await Timeout(1h, status_or());
    EXPECT_EQ(*seven, 7);
    const absl::StatusOr<std::reference_wrapper<int>> three = co_await Timeout(1h, reference());
    EXPECT_EQ(&three->get(), &number);
    const std::optional<std::reference_wrapper<int>> again = co_await MoveOnAfter(1h, reference());
    EXPECT_EQ(&again->get(), &number);
    const absl::StatusOr<std::unique_ptr<int>> five = co_await Timeout(1h, movable());
    EXPECT_EQ(**five, 5);
  });
}

TEST(Timeout, RethrowsWhatTheBodyThrows) {
  InEveryWorld([]() -> Task<> {
    auto fail = []() -> Task<int> {
      co_await Yield();
      throw std::runtime_error("bad");
    };
    const auto outcome = co_await AsOutcome(Timeout(1h, fail()));
    EXPECT_TRUE(outcome.has_exception());
  });
}

TEST(Deadline, ThatHasPassedLetsAReadyOperationWin) {
  InEveryWorld([]() -> Task<> {
    Gate open;
    open.Open();
    const absl::Status zero = co_await Timeout(Duration::zero(), open.Wait());
    EXPECT_TRUE(zero.ok()) << zero;
    const absl::Status past = co_await Deadline(TimePoint(), open.Wait());
    EXPECT_TRUE(past.ok()) << past;
  });
}

TEST(Deadline, ThatHasPassedStopsAnOperationThatWouldWaitWithoutWaiting) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Loop::Current().Now();
    Gate closed;
    const absl::Status zero = co_await Timeout(Duration::zero(), closed.Wait());
    EXPECT_TRUE(absl::IsDeadlineExceeded(zero)) << zero;
    const absl::Status past = co_await Deadline(TimePoint(), closed.Wait());
    EXPECT_TRUE(absl::IsDeadlineExceeded(past)) << past;
    EXPECT_EQ(Loop::Current().Now(), begin);
    EXPECT_EQ(closed.waiting(), 0u);
  });
}

TEST(Timeout, AStopFromOutsideIsNoTimeout) {
  InSimulation([]() -> Task<> {
    bool was_timeout = false;
    auto body = [&](Scope& scope) -> Task<> {
      auto wait = [&]() -> Task<> {
        static_cast<void>(co_await Timeout(1h, SleepFor(2h)));
        was_timeout = true;
      };
      TaskHandle<> task = scope.Spawn(wait);
      co_await SleepFor(1ms);
      task.RequestStop();
      const Outcome<>& outcome = co_await task.Join();
      EXPECT_TRUE(outcome.stopped());
    };
    co_await WithScope(body);
    EXPECT_FALSE(was_timeout);
    EXPECT_TRUE(Loop::Current().timers().empty());
  });
}

TEST(Timeout, AHandledTimeoutLeavesTheTaskUnstopped) {
  InSimulation([]() -> Task<> {
    for (int i = 0; i < 3; ++i) {
      const absl::Status status = co_await Timeout(1ms, SleepFor(1h));
      EXPECT_TRUE(absl::IsDeadlineExceeded(status));
      co_await SleepFor(1ms);
    }
  });
}

TEST(Timeout, WhereTwoNestedOnesExpireTogetherTheOuterWins) {
  InSimulation([]() -> Task<> {
    bool inner_reported = false;
    auto inner = [&]() -> Task<> {
      static_cast<void>(co_await Timeout(10ms, SleepFor(1h)));
      inner_reported = true;
    };
    const absl::Status outer = co_await Timeout(10ms, inner());
    EXPECT_TRUE(absl::IsDeadlineExceeded(outer));
    EXPECT_FALSE(inner_reported);
  });
}

TEST(Timeout, FiresInABodyThatReadsAnAlwaysReadySource) {
  const auto root = []() -> Task<> {
    Gate open;
    open.Open();
    auto read = [&]() -> Task<> {
      for (;;) co_await open.Wait();
    };
    const absl::Status status = co_await Timeout(1ms, read());
    EXPECT_TRUE(absl::IsDeadlineExceeded(status));
  };
  OnEpoll(root);
  InCalmSimulation(root);  // nothing else is ready: no seed would change its order
}

TEST(MovableDeadline, MovedEarlierLaterOrToNeverTheNewOneRules) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Loop::Current().Now();
    MovableDeadline later(begin + 10ms);
    auto extend = [&]() -> Task<> {
      co_await SleepFor(5ms);
      EXPECT_TRUE(later.MoveTo(begin + 30ms));
      co_await SleepFor(1h);
    };
    const absl::Status moved = co_await Deadline(later, extend());
    EXPECT_TRUE(absl::IsDeadlineExceeded(moved));
    EXPECT_EQ(Loop::Current().Now(), begin + 30ms);
    EXPECT_TRUE(later.expired());

    MovableDeadline earlier;
    auto shorten = [&]() -> Task<> {
      EXPECT_TRUE(earlier.MoveToAfter(2ms));
      co_await SleepFor(1h);
    };
    const bool ended = co_await MoveOnAt(earlier, shorten());
    EXPECT_FALSE(ended);
    EXPECT_EQ(Loop::Current().Now(), begin + 32ms);

    MovableDeadline never(begin + 40ms);
    auto cancel = [&]() -> Task<> {
      never.MoveTo(kNever);
      co_await SleepFor(1h);
    };
    const absl::Status unbounded = co_await Deadline(never, cancel());
    EXPECT_TRUE(unbounded.ok());
    EXPECT_FALSE(never.expired());
  });
}

TEST(MovableDeadlineDeathTest, CantBeMovedAfterItsAwait) {
  EXPECT_DEATH(gyre::Run([]() -> Task<> {
                 MovableDeadline deadline;
                 static_cast<void>(co_await Deadline(deadline, Answer()));
                 deadline.MoveTo(kNever);
               }),
               "moved after its await had ended");
}

TEST(CurrentDeadline, IsTheEarliestThatHoldsAndAShieldHidesThoseOutside) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Loop::Current().Now();
    auto ask = []() -> Task<TimePoint> { co_return CurrentDeadline(); };
    EXPECT_EQ(CurrentDeadline(), kNever);
    const absl::StatusOr<TimePoint> nested = co_await Timeout(5s, Timeout(10s, ask()));
    EXPECT_EQ(*nested, begin + 5s);
    const absl::StatusOr<TimePoint> shielded = co_await Timeout(5s, Shielded(1s, Timeout(10s, ask())));
    EXPECT_EQ(*shielded, begin + 10s);
    auto stopped = [](Scope& scope) -> Task<> {
      scope.RequestStop();
      EXPECT_EQ(CurrentDeadline(), TimePoint::min());
      co_return;
    };
    co_await WithScope(stopped);
  });
}

// --- a result that is there all the same

TEST(Timeout, AResultThatCantBeUndoneIsGivenThoughTheTimeRanOut) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Now();
    int stops = 0;
    const absl::StatusOr<int> value = co_await Timeout(5ms, GiveStubbornly(10ms, stops, 42));
    EXPECT_TRUE(value.ok()) << value.status();
    const std::optional<int> again = co_await MoveOnAfter(5ms, GiveStubbornly(10ms, stops, 43));
    EXPECT_EQ(again, 43);
    EXPECT_EQ(stops, 2) << "each was asked once";
    EXPECT_EQ(Now() - begin, 20ms) << "what refuses to stop is waited for";
    co_await Yield();  // no stop is pending
  });
}

TEST(Timeout, OfASleepThatEndsInTheSameTurnIsATimeout) {
  InSimulation([]() -> Task<> {
    const absl::Status status = co_await Timeout(10ms, SleepFor(10ms));
    EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << "armed first, and a sleep that has not resumed is undone";
  });
}

TEST(Timeout, FiringAfterAHandOverThatCantBeUndoneAndBeforeTheTaskRanDeliversIt) {
  InSimulation([]() -> Task<> {
    int stops = 0;
    // The hand-over is a timer of 10 ms that is armed behind the deadline's: both fire in one step.
    const absl::StatusOr<int> value = co_await Timeout(10ms, GiveStubbornly(10ms, stops, 42));
    EXPECT_EQ(*value, 42);
  });
}

TEST(Timeout, AnExceptionOfAnAwaitableThatIsBeingStoppedIsRethrown) {
  InSimulation([]() -> Task<> {
    auto fails_when_stopped = []() -> Task<int> {
      (void)co_await AsOutcome(SleepFor(1h));
      throw std::runtime_error("clean-up");
    };
    const auto outcome = co_await AsOutcome(Timeout(1ms, fails_when_stopped()));
    EXPECT_EQ(HookLog::What(outcome.exception()), "clean-up");
    EXPECT_TRUE(Loop::Current().timers().empty());
  });
}

TEST(Timeout, AroundAScopeStopsAllItsChildrenAndWaitsForThem) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Now();
    int stops = 0;
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(GiveStubbornly, Duration(30ms), std::ref(stops), 1);
      auto sleep = []() -> Task<> { co_await SleepFor(1h); };
      scope.Spawn(sleep);
      co_return;
    };
    const absl::Status status = co_await Timeout(10ms, WithScope(body));
    EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
    EXPECT_EQ(Now() - begin, 30ms);
  });
}

// --- with a stop from outside, and with other deadlines

TEST(Timeout, AStopFromOutsideInTheTurnOfTheDeadlineWins) {
  InSimulation([]() -> Task<> {
    for (const Duration stop_at : {Duration(9ms), Duration(10ms), Duration(11ms)}) {
      bool reported = false;
      auto wait = [&]() -> Task<> {
        int stops = 0;
        auto wait_until_asked = [&]() -> Task<> {
          co_await StubbornWait(20ms, stops);
          co_await Yield();
        };
        static_cast<void>(co_await Timeout(10ms, wait_until_asked()));
        reported = true;
      };
      auto body = [&](Scope& scope) -> Task<> {
        TaskHandle<> task = scope.Spawn(wait);
        co_await SleepFor(stop_at);
        task.RequestStop();
      };
      co_await WithScope(body);
      EXPECT_FALSE(reported) << stop_at.count();
    }
  });
}

TEST(Timeout, AnInnerOneThatExpiredFirstLosesToAnOuterOneThatExpiresBeforeItIsOver) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Now();
    bool inner_reported = false;
    MovableDeadline inner_deadline(begin + 10ms);
    auto stubborn = []() -> Task<> {
      int stops = 0;
      co_await StubbornWait(30ms, stops);
      co_await Yield();  // here it is stopped
    };
    auto inner = [&]() -> Task<> {
      static_cast<void>(co_await Deadline(inner_deadline, stubborn()));
      inner_reported = true;
    };
    const absl::Status outer = co_await Timeout(20ms, inner());
    EXPECT_TRUE(absl::IsDeadlineExceeded(outer)) << outer;
    EXPECT_FALSE(inner_reported) << "expired is not the same as reported";
    EXPECT_TRUE(inner_deadline.expired());
    EXPECT_EQ(Now() - begin, 30ms);
  });
}

TEST(Timeout, AnInnerOneThatExpiresAloneIsReportedInsideAnOuterOne) {
  InSimulation([]() -> Task<> {
    bool inner_reported = false;
    auto inner = [&]() -> Task<int> {
      const absl::Status status = co_await Timeout(10ms, SleepFor(1h));
      inner_reported = absl::IsDeadlineExceeded(status);
      co_return 42;
    };
    const absl::StatusOr<int> outer = co_await Timeout(20ms, inner());
    EXPECT_EQ(*outer, 42);
    EXPECT_TRUE(inner_reported);
  });
}

TEST(Timeout, WhatIsInsideSeesWhyAndWhereItIsStopped) {
  InSimulation([]() -> Task<> {
    StopReason seen;
    auto observe = [&]() -> Task<> {
      const Outcome<> outcome = co_await AsOutcome(SleepFor(1h));
      seen = outcome.stop_reason();
    };
    static_cast<void>(co_await Timeout(1ms, observe()));
    EXPECT_EQ(seen.message(), "deadline exceeded");
    EXPECT_TRUE(std::string(seen.where().file_name()).ends_with("deadline_test.cc")) << seen.ToString();
    EXPECT_EQ(seen.by_task_id(), 0u) << "a timer asked, no task";
  });
}

// --- nothing is left

TEST(Timeout, LeavesNoTimerHoweverItsAwaitableEnds) {
  InSimulation([]() -> Task<> {
    auto fail = []() -> Task<> {
      throw std::runtime_error("boom");
      co_return;
    };
    (void)co_await AsOutcome(Timeout(1h, fail()));
    EXPECT_TRUE(Loop::Current().timers().empty()) << "an exception";
    (void)co_await AsOutcome(Timeout(1h, testing::EndStoppedByItself()));
    EXPECT_TRUE(Loop::Current().timers().empty()) << "stopped by itself";
    (void)co_await Timeout(1ms, SleepFor(1h));
    EXPECT_TRUE(Loop::Current().timers().empty()) << "the time ran out";
  });
}

TEST(Timeout, OfForEverArmsNoTimer) {
  InEveryWorld([]() -> Task<> {
    auto look = []() -> Task<bool> { co_return Loop::Current().timers().empty(); };
    const absl::StatusOr<bool> is_empty = co_await Timeout(kForever, look());
    EXPECT_TRUE(*is_empty);
    const absl::StatusOr<bool> armed = co_await Timeout(1h, look());
    EXPECT_FALSE(*armed);
  });
}

TEST(Timeout, NotAwaitedItDestroysItsTaskUnstarted) {
  testing::Counted::Reset();
  InEveryWorld([]() -> Task<> {
    auto task = [](testing::Counted) -> Task<> { co_return; };
    { [[maybe_unused]] auto unused = Timeout(1h, task(testing::Counted())); }
    EXPECT_EQ(testing::Counted::live(), 0);
    EXPECT_TRUE(Loop::Current().timers().empty());
    co_return;
  });
}

TEST(Timeout, KeepsResultsWithoutCopyingAndWithoutDefaultConstructor) {
  testing::Counted::Reset();
  InEveryWorld([]() -> Task<> {
    auto give = []() -> Task<testing::Counted> { co_return testing::Counted(); };
    int number = 5;
    const absl::StatusOr<testing::Counted> first = co_await Timeout(1h, give());
    EXPECT_TRUE(first.ok());
    const std::optional<testing::Counted> second = co_await MoveOnAfter(1h, give());
    EXPECT_TRUE(second.has_value());
    const absl::StatusOr<testing::Fixed> fixed = co_await Timeout(1h, testing::GiveFixed(3));
    EXPECT_EQ(fixed->number, 3);
    const std::optional<testing::Fixed> again = co_await MoveOnAfter(1h, testing::GiveFixed(4));
    EXPECT_EQ(again->number, 4);
    const absl::StatusOr<std::reference_wrapper<int>> rvalue = co_await Timeout(1h, testing::Move(number));
    EXPECT_EQ(&rvalue->get(), &number);
  });
  EXPECT_EQ(testing::Counted::copies(), 0);
  EXPECT_EQ(testing::Counted::live(), 0);
}

// --- moving

TEST(MovableDeadline, OfABodyThatEndsEarlyHasNotExpired) {
  InEveryWorld([]() -> Task<> {
    MovableDeadline deadline(gyre::After(Now(), 1h));
    const absl::StatusOr<int> value = co_await Deadline(deadline, Answer());
    EXPECT_EQ(*value, 42);
    EXPECT_FALSE(deadline.expired());
    EXPECT_TRUE(Loop::Current().timers().empty());
  });
}

TEST(MovableDeadline, MayBeMovedBeforeItsAwaitAndFromACallback) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Now();
    MovableDeadline deadline;
    EXPECT_TRUE(deadline.MoveTo(begin + 50ms));
    Timer timer = Loop::Current().CallLater(10ms, [&] { deadline.MoveToAfter(5ms); });
    const absl::Status status = co_await Deadline(deadline, SleepFor(1h));
    EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
    EXPECT_EQ(Now() - begin, 15ms);
    EXPECT_EQ(deadline.when(), begin + 15ms);
  });
}

TEST(MovableDeadline, OnceExpiredItCantBeMovedAnyMore) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Now();
    MovableDeadline deadline(begin + 5ms);
    auto move_late = [&]() -> Task<> {
      (void)co_await AsOutcome(SleepFor(1h));
      EXPECT_FALSE(deadline.MoveTo(begin + 1h));
    };
    static_cast<void>(co_await Deadline(deadline, move_late()));
    EXPECT_TRUE(deadline.expired());
    EXPECT_EQ(deadline.when(), begin + 5ms);
  });
}

TEST(MovableDeadline, MovedIntoThePastItFiresInTheNextTimerStep) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Now();
    MovableDeadline deadline(begin + 1h);
    auto rush = [&]() -> Task<> {
      deadline.MoveTo(begin - 1ms);
      co_await SleepFor(1h);
    };
    const absl::Status status = co_await Deadline(deadline, rush());
    EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
    EXPECT_EQ(Now(), begin);
  });
}

TEST(MovableDeadlineDeathTest, CantBoundASecondAwait) {
  EXPECT_DEATH(gyre::Run([]() -> Task<> {
                 MovableDeadline deadline;
                 static_cast<void>(co_await Deadline(deadline, Answer()));
                 static_cast<void>(co_await Deadline(deadline, Answer()));
               }),
               "a MovableDeadline was used for a second await");
}

// --- what holds here

TEST(CurrentDeadline, OfAScopeIsThatAroundItAndChangesWithAMove) {
  InSimulation([]() -> Task<> {
    const TimePoint begin = Now();
    MovableDeadline deadline(begin + 10ms);
    auto body = [&](Scope& scope) -> Task<> {
      EXPECT_EQ(scope.deadline(), begin + 10ms);
      deadline.MoveTo(begin + 20ms);
      EXPECT_EQ(scope.deadline(), begin + 20ms);
      auto child = [&]() -> Task<> {
        EXPECT_EQ(CurrentDeadline(), begin + 20ms);
        co_return;
      };
      scope.Spawn(child);
      co_return;
    };
    static_cast<void>(co_await Deadline(deadline, WithScope(body)));
    EXPECT_EQ(CurrentDeadline(), kNever);
  });
}

TEST(CurrentDeadline, WithoutATaskThereIsNone) {
  EXPECT_EQ(CurrentDeadline(), kNever) << "no loop";
  InEveryWorld([]() -> Task<> {
    TimePoint in_callback;
    Loop::Current().CallSoon([&] { in_callback = CurrentDeadline(); });
    static_cast<void>(co_await Timeout(1h, testing::Turns(2)));
    EXPECT_EQ(in_callback, kNever);
  });
}

}  // namespace
}  // namespace gyre
