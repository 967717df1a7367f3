#include "gyre/runtime/try.h"

#include <exception>
#include <memory>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/is_unwinding.h"
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

Task<absl::StatusOr<int>> Give(int number) { co_return number; }
Task<absl::StatusOr<int>> Refuse() { co_return absl::NotFoundError("none"); }
Task<absl::Status> Good() { co_return absl::OkStatus(); }

Task<absl::StatusOr<std::string>> Add(std::string& log) {
  Noting end(log, "unwound ");
  const int two = co_await Try(co_await Give(2));
  co_await Try(co_await Good());
  co_await Try(absl::OkStatus());
  log += "two ";
  const int none = co_await Try(co_await Refuse());
  log += "went on ";
  co_return std::to_string(two + none);
}

TEST(Try, UnwrapsGoodOnesAndEndsTheCoroutineAtABadOne) {
  InEveryWorld([]() -> Task<> {
    std::string log;
    const absl::StatusOr<std::string> sum = co_await Add(log);
    EXPECT_EQ(sum.status(), absl::NotFoundError("none"));
    EXPECT_EQ(log, "two unwound ");
  });
}

TEST(Try, MovesAMoveOnlyValueOut) {
  InEveryWorld([]() -> Task<> {
    auto unwrap = []() -> Task<absl::StatusOr<std::unique_ptr<int>>> {
      absl::StatusOr<std::unique_ptr<int>> value = std::make_unique<int>(3);
      std::unique_ptr<int> unwrapped = co_await Try(std::move(value));
      *unwrapped += 1;
      co_return unwrapped;
    };
    const absl::StatusOr<std::unique_ptr<int>> result = co_await unwrap();
    EXPECT_EQ(**result, 4);
  });
}

TEST(Try, PassesAStatusUpThroughSeveralCoroutines) {
  InEveryWorld([]() -> Task<> {
    auto inner = []() -> Task<absl::Status> {
      co_await Yield();
      co_await Try(absl::Status(absl::DataLossError("deep")));
      co_return absl::OkStatus();
    };
    auto outer = [&]() -> Task<absl::StatusOr<int>> {
      co_await Try(co_await inner());
      co_return 1;
    };
    const absl::StatusOr<int> result = co_await outer();
    EXPECT_EQ(result.status(), absl::DataLossError("deep"));
    const Outcome<absl::StatusOr<int>> outcome = co_await AsOutcome(outer());
    EXPECT_EQ(outcome.status(), absl::DataLossError("deep"));
  });
}

TEST(Try, InABodyOfWithScopeItStopsTheChildrenAndIsTheScopesStatus) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    std::string log;
    auto child = [&]() -> Task<> {
      Noting end(log, "child stopped ");
      co_await never.Wait();
      log += "went on ";
    };
    auto body = [&](Scope& scope) -> Task<absl::Status> {
      scope.Spawn(child);
      for (int i = 0; i < 2; ++i) co_await Yield();
      co_await Try(co_await Refuse());
      co_return absl::OkStatus();
    };
    const absl::Status status = co_await WithScope(body);
    EXPECT_EQ(status, absl::NotFoundError("none"));
    EXPECT_EQ(log, "child stopped ");
  });
}

TEST(Try, InAChildItStopsTheScope) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    auto child = []() -> Task<absl::Status> {
      co_await Try(absl::Status(absl::AbortedError("child")));
      co_return absl::OkStatus();
    };
    auto body = [&](Scope& scope) -> Task<absl::Status> {
      scope.Spawn(child);
      co_await never.Wait();
      co_return absl::OkStatus();
    };
    const absl::Status status = co_await WithScope(body);
    EXPECT_EQ(status, absl::AbortedError("child"));
  });
}

// Tells how it was destroyed.
class Guard {
 public:
  explicit Guard(std::string& log) : log_(log) {}
  Guard(const Guard&) = delete;
  ~Guard() {
    log_ += IsUnwinding() ? "unwinding" : "orderly";
    log_ += std::uncaught_exceptions() > 0 ? "+exception " : " ";
  }

 private:
  std::string& log_;
};

Task<absl::Status> EndByTry(std::string& log, bool is_bad) {
  Guard guard(log);
  absl::Status status;
  if (is_bad) status = absl::AbortedError("");
  co_await Try(std::move(status));
  co_return absl::OkStatus();
}

TEST(IsUnwinding, IsTrueForLocalsThatTryDestroysAndFalseAfterAReturn) {
  InEveryWorld([]() -> Task<> {
    std::string log;
    (void)co_await EndByTry(log, true);
    (void)co_await EndByTry(log, false);
    EXPECT_FALSE(IsUnwinding());
    EXPECT_EQ(log, "unwinding orderly ");
  });
}

TEST(IsUnwinding, IsTrueForLocalsThatAStopDestroys) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    std::string log;
    auto child = [&]() -> Task<> {
      Guard guard(log);
      co_await never.Wait();
    };
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(child);
      for (int i = 0; i < 2; ++i) co_await Yield();
      scope.RequestStop();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "unwinding ");
  });
}

TEST(IsUnwinding, IsFalseForAnException) {
  InEveryWorld([]() -> Task<> {
    std::string log;
    auto thrower = [&]() -> Task<> {
      Guard guard(log);
      throw 1;
      co_return;
    };
    const Outcome<> outcome = co_await AsOutcome(thrower());
    EXPECT_TRUE(outcome.has_exception());
    EXPECT_EQ(log, "orderly+exception ");
  });
}

TEST(IsUnwinding, IsFalseOutsideAnyLoop) { EXPECT_FALSE(IsUnwinding()); }

}  // namespace
}  // namespace gyre
