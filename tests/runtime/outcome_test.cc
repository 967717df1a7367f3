#include "gyre/runtime/outcome.h"

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/counted.h"
#include "gyre/tests/support/gate.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using testing::Gate;
using testing::InEveryWorld;
using testing::Noting;

std::exception_ptr Error(const char* text) { return std::make_exception_ptr(std::runtime_error(text)); }

TEST(Outcome, IsExactlyOneOfValueExceptionAndStopped) {
  const auto value = Outcome<int>::FromValue(3);
  const auto exception = Outcome<int>::FromException(Error("no"));
  const Outcome<int> stopped;
  EXPECT_TRUE(value.has_value() && !value.has_exception() && !value.stopped());
  EXPECT_TRUE(!exception.has_value() && exception.has_exception() && !exception.stopped());
  EXPECT_TRUE(!stopped.has_value() && !stopped.has_exception() && stopped.stopped());
  EXPECT_EQ(value.value(), 3);
  EXPECT_THROW((void)exception.value(), std::runtime_error);
  EXPECT_EQ(value.exception(), nullptr);
}

// Its place is shared: what a failed move has left there must not be taken for something else.
TEST(Outcome, WhoseValueCantBeMovedInIsStopped) {
  struct Unmovable {
    explicit Unmovable(uint64_t bits) : bits(bits) {}
    Unmovable(Unmovable&& other) : bits(other.bits) { throw std::runtime_error("not moved"); }
    uint64_t bits;
  };
  Outcome<Unmovable> outcome;
  EXPECT_THROW(outcome = Outcome<Unmovable>::FromValue(uint64_t{0x1000}), std::runtime_error);
  EXPECT_TRUE(outcome.stopped());
}

TEST(Outcome, OfVoidThrowsItsExceptionToo) {
  Outcome<>::FromValue().value();
  const auto exception = Outcome<>::FromException(Error("no"));
  EXPECT_THROW(exception.value(), std::runtime_error);
}

TEST(Outcome, MovesAMoveOnlyValueOut) {
  auto outcome = Outcome<std::unique_ptr<int>>::FromValue(std::make_unique<int>(4));
  const std::unique_ptr<int> taken = std::move(outcome).value();
  EXPECT_EQ(*taken, 4);
}

TEST(Outcome, OfAReferenceKeepsItsIdentity) {
  int number = 0;
  auto lvalue = Outcome<int&>::FromValue(&number);
  auto rvalue = Outcome<int&&>::FromValue(&number);
  EXPECT_EQ(&lvalue.value(), &number);
  int& taken = std::move(lvalue).value();
  EXPECT_EQ(&taken, &number);
  int&& moved = std::move(rvalue).value();
  EXPECT_EQ(&moved, &number);
}

TEST(Outcome, SaysItsStatus) {
  EXPECT_TRUE(Outcome<int>::FromValue(1).status().ok());
  EXPECT_EQ(Outcome<int>().status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(Outcome<int>::FromException(Error("no")).status(), absl::UnknownError("no"));
  const absl::Status not_found = absl::NotFoundError("gone");
  EXPECT_EQ(Outcome<absl::Status>::FromValue(not_found).status(), not_found);
  EXPECT_EQ(Outcome<absl::StatusOr<int>>::FromValue(not_found).status(), not_found);
  EXPECT_EQ(Outcome<>::FromException(std::make_exception_ptr(StatusError(not_found))).status(), not_found);
}

TEST(Outcome, IsOkOnlyWithAGoodValue) {
  EXPECT_TRUE(Outcome<int>::FromValue(1).ok());
  EXPECT_FALSE(Outcome<int>().ok());
  EXPECT_TRUE(Outcome<absl::Status>::FromValue(absl::OkStatus()).ok());
  EXPECT_FALSE(Outcome<absl::Status>::FromValue(absl::NotFoundError("")).ok());
  EXPECT_FALSE(Outcome<absl::StatusOr<int>>::FromException(Error("no")).ok());
}

TEST(OutcomeDeathTest, AStoppedOneHasNoValue) {
  const Outcome<int> stopped;
  EXPECT_DEATH((void)stopped.value(), "of a stopped outcome: ask stopped");
}

// --- AsOutcome

Task<int> Answer() { co_return 42; }
Task<int> Fail() {
  throw std::runtime_error("failed");
  co_return 0;
}
Task<int&> Refer(int& number) { co_return number; }
Task<int> WaitAt(Gate& gate) {
  co_await gate.Wait();
  co_return 1;
}

TEST(AsOutcome, ObservesValueExceptionAndStop) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    std::string seen;
    auto body = [&](Scope& scope) -> Task<> {
      const Outcome<int> answer = co_await AsOutcome(Answer());
      EXPECT_EQ(answer.value(), 42);
      const Outcome<int> failed = co_await AsOutcome(Fail());
      EXPECT_EQ(testing::HookLog::What(failed.exception()), "failed");
      scope.RequestStop();
      const Outcome<int> stopped = co_await AsOutcome(WaitAt(never));
      seen = stopped.stopped() ? "stopped" : "not stopped";
    };
    co_await WithScope(body);
    EXPECT_EQ(seen, "stopped");
  });
}

TEST(AsOutcome, TakesAnyAwaitableAndKeepsReferences) {
  InEveryWorld([]() -> Task<> {
    int number = 0;
    Outcome<int&> reference = co_await AsOutcome(Refer(number));
    EXPECT_EQ(&reference.value(), &number);
    const Outcome<> yielded = co_await AsOutcome(Yield());
    EXPECT_TRUE(yielded.has_value());
  });
}

TEST(AsOutcome, DestroysTheTaskBeforeItsAwaiterGoesOn) {
  InEveryWorld([]() -> Task<> {
    std::string log;
    auto task = [](std::string&, Noting) -> Task<> { co_return; };
    const Outcome<> outcome = co_await AsOutcome(task(log, Noting(log, "task ")));
    log += "awaiter";
    EXPECT_TRUE(outcome.has_value());
    EXPECT_EQ(log, "task awaiter");
  });
}

TEST(AsOutcome, ObservingAStopCostsATurnSoThatALoopAroundItLetsOthersRun) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    bool other_has_run = false;
    auto other = [&]() -> Task<> {
      other_has_run = true;
      co_return;
    };
    auto body = [&](Scope& scope) -> Task<> {
      scope.RequestStop();
      int rounds = 0;
      scope.Spawn(other);
      while (!other_has_run && rounds < 100) {
        const Outcome<int> outcome = co_await AsOutcome(WaitAt(never));
        EXPECT_TRUE(outcome.stopped());
        ++rounds;
      }
      EXPECT_LT(rounds, 100);
    };
    co_await WithScope(body);
  });
}

TEST(AsOutcome, NotAwaitedItDestroysItsTaskUnstarted) {
  testing::Counted::Reset();
  InEveryWorld([]() -> Task<> {
    auto task = [](testing::Counted) -> Task<> { co_return; };
    { [[maybe_unused]] auto unused = AsOutcome(task(testing::Counted())); }
    EXPECT_EQ(testing::Counted::live(), 0);
    co_return;
  });
}

}  // namespace
}  // namespace gyre
