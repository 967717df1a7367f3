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
#include "gyre/tests/support/gate.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using namespace std::chrono_literals;
using testing::Gate;
using testing::InEveryWorld;
using testing::InSimulation;

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
  InEveryWorld([]() -> Task<> {
    Gate open;
    open.Open();
    auto read = [&]() -> Task<> {
      for (;;) co_await open.Wait();
    };
    const absl::Status status = co_await Timeout(1ms, read());
    EXPECT_TRUE(absl::IsDeadlineExceeded(status));
  });
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

}  // namespace
}  // namespace gyre
