#include "gyre/io/until_interrupted.h"

#include <chrono>
#include <csignal>
#include <memory>
#include <stdexcept>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/deadline.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/with_cleanup.h"

namespace gyre {
namespace {

constexpr Duration kLong = std::chrono::hours(1);

volatile std::sig_atomic_t seen_by_old_handler = 0;
void OldHandler(int) { seen_by_old_handler = seen_by_old_handler + 1; }

// What handled the two signals before; counts.
class OldHandlers {
 public:
  OldHandlers() : interrupt_(std::signal(SIGINT, OldHandler)), terminate_(std::signal(SIGTERM, OldHandler)) {
    seen_by_old_handler = 0;
  }
  ~OldHandlers() {
    std::signal(SIGINT, interrupt_);
    std::signal(SIGTERM, terminate_);
  }
  static bool AreBack() { return IsBack(SIGINT) && IsBack(SIGTERM); }

 private:
  static bool IsBack(int number) {
    struct sigaction current = {};
    sigaction(number, nullptr, &current);
    return current.sa_handler == OldHandler;
  }

  void (*interrupt_)(int);
  void (*terminate_)(int);
};

// [I12]
TEST(UntilInterrupted, TheFirstSignalStopsMainAndRunReportsIt) {
  for (const int number : {SIGINT, SIGTERM}) {
    const OldHandlers old;
    bool went_on = false;
    auto main = [&]() -> Task<> {
      std::raise(number);
      co_await SleepFor(kLong);
      went_on = true;
    };
    const absl::Status status = gyre::Run([&] { return UntilInterrupted(main); });
    EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
    const std::string expected = number == SIGINT ? "interrupted by SIGINT" : "interrupted by SIGTERM";
    EXPECT_NE(status.message().find(expected), std::string::npos) << status;
    EXPECT_FALSE(went_on);
    EXPECT_TRUE(OldHandlers::AreBack());
    EXPECT_EQ(seen_by_old_handler, 0);
  }
}

TEST(UntilInterrupted, ASecondSignalDoesWhatItDidBefore) {
  const OldHandlers old;
  int seen_during_cleanup = 0;
  auto work = []() -> Task<> {
    std::raise(SIGINT);
    co_await SleepFor(kLong);
  };
  auto cleanup = [&]() -> Task<> {
    EXPECT_TRUE(OldHandlers::AreBack());
    std::raise(SIGINT);
    seen_during_cleanup = seen_by_old_handler;
    co_await Yield();
  };
  auto main = [&]() -> Task<> { co_await WithCleanup(work(), cleanup); };
  const absl::Status status = gyre::Run([&] { return UntilInterrupted(main); });
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(seen_during_cleanup, 1);
}

TEST(UntilInterrupted, WithoutASignalItGivesMainsResultAndTheHandlersBack) {
  const OldHandlers old;
  auto nothing = []() -> Task<> { co_await Yield(); };
  const absl::Status status = gyre::Run([&] { return UntilInterrupted(nothing); });
  EXPECT_TRUE(status.ok()) << status;
  auto number = []() -> Task<std::unique_ptr<int>> { co_return std::make_unique<int>(7); };
  const absl::StatusOr<std::unique_ptr<int>> seven = gyre::Run([&] { return UntilInterrupted(number); });
  ASSERT_TRUE(seven.ok()) << seven.status();
  EXPECT_EQ(**seven, 7);
  auto failure = []() -> Task<absl::StatusOr<int>> { co_return absl::NotFoundError("no such thing"); };
  const absl::StatusOr<int> failed = gyre::Run([&] { return UntilInterrupted(failure); });
  EXPECT_EQ(failed.status(), absl::NotFoundError("no such thing"));
  auto thrower = []() -> Task<> {
    co_await Yield();
    throw std::runtime_error("thrown by main");
  };
  EXPECT_THROW(static_cast<void>(gyre::Run([&] { return UntilInterrupted(thrower); })), std::runtime_error);
  EXPECT_TRUE(OldHandlers::AreBack());
}

TEST(UntilInterrupted, AResultInSpiteOfTheSignalIsTheResult) {
  const OldHandlers old;
  auto stubborn = []() -> Task<int> {
    std::raise(SIGINT);
    const Outcome<void> outcome = co_await AsOutcome(SleepFor(kLong));
    co_return outcome.stopped() ? 1 : 0;
  };
  const absl::StatusOr<int> result = gyre::Run([&] { return UntilInterrupted(stubborn); });
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(*result, 1);
}

TEST(UntilInterrupted, AStopFromOutsidePassesOn) {
  const OldHandlers old;
  auto main = []() -> Task<> { co_await SleepFor(kLong); };
  auto root = [&]() -> Task<bool> {
    const auto outcome = co_await AsOutcome(MoveOnAfter(Duration::zero(), UntilInterrupted(main)));
    co_return outcome.has_value() && !outcome.value().has_value();
  };
  EXPECT_TRUE(gyre::Run(root));
  EXPECT_TRUE(OldHandlers::AreBack());
}

}  // namespace
}  // namespace gyre
