#include "gyre/io/shutdown_on_signal.h"

#include <atomic>
#include <csignal>
#include <cstddef>
#include <optional>
#include <semaphore>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/io/signal_watcher.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/runtime.h"
#include "gyre/runtime/shutdown.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/contract_backends.h"

namespace gyre {
namespace {

void (*HandlerOf(int number))(int) {
  struct sigaction current = {};
  sigaction(number, nullptr, &current);
  return current.sa_handler;
}

Task<> WaitForRequest(Shutdown shutdown) { co_await shutdown.Requested(); }

TEST(ShutdownOnSignal, TheFirstSignalBeginsAndASecondCutsTheGraceTimeShort) {
  for (const int number : {SIGTERM, SIGINT}) {
    const Shutdown shutdown(kForever);
    const absl::StatusOr<ShutdownOnSignal> signals = ShutdownOnSignal::Watch(shutdown);
    ASSERT_TRUE(signals.ok()) << signals.status();
    EXPECT_FALSE(shutdown.requested());
    std::raise(number);
    gyre::Run([&](Scope& scope) -> Task<> {
      co_await shutdown.Requested();
      EXPECT_EQ(shutdown.reason().message(), number == SIGTERM ? "SIGTERM" : "SIGINT");
      EXPECT_EQ(shutdown.deadline(), kNever);
      TaskHandle<> over = scope.Spawn(shutdown.GraceOver());
      co_await Yield();
      EXPECT_FALSE(over.Done());
      std::raise(SIGINT);
      co_await over.Join();
    });
  }
}

TEST(ShutdownOnSignal, OneSignalEndsEveryLoopAndIsNoSecondOneForAny) {
  constexpr size_t kLoops = 4;
  const Shutdown shutdown(kForever);
  const absl::StatusOr<ShutdownOnSignal> signals = ShutdownOnSignal::Watch(shutdown);
  Runtime runtime(RuntimeOptions().set_loops(kLoops));
  std::atomic<size_t> heard{0};
  auto serve = [&](size_t loop) -> Task<> {
    if (loop == 0) std::raise(SIGTERM);
    co_await shutdown.Requested();
    ++heard;
  };
  EXPECT_EQ(runtime.RunOnEveryLoop(serve), absl::OkStatus());
  EXPECT_EQ(heard, kLoops);
  EXPECT_EQ(shutdown.deadline(), kNever) << "nobody has cut it short";
}

TEST(ShutdownOnSignal, ASignalBeforeAnyLoopRunsIsKept) {
  const Shutdown shutdown(kForever);
  const absl::StatusOr<ShutdownOnSignal> signals = ShutdownOnSignal::Watch(shutdown);
  std::raise(SIGTERM);
  gyre::Run(WaitForRequest(shutdown));
}

TEST(ShutdownOnSignal, ALoopThatIsStuckKeepsItFromNoOther) {
  const Shutdown shutdown(kForever);
  const absl::StatusOr<ShutdownOnSignal> signals = ShutdownOnSignal::Watch(shutdown);
  Runtime runtime(RuntimeOptions().set_loops(2));
  std::binary_semaphore is_stuck(0);
  std::binary_semaphore has_heard(0);
  auto serve = [&](size_t loop) -> Task<> {
    if (loop == 0) {
      is_stuck.release();
      has_heard.acquire();  // on purpose: the loop does nothing else meanwhile
      co_return;
    }
    is_stuck.acquire();
    std::raise(SIGTERM);
    co_await shutdown.Requested();
    has_heard.release();
  };
  EXPECT_EQ(runtime.RunOnEveryLoop(serve), absl::OkStatus());
}

TEST(ShutdownOnSignal, AfterTheSecondSignalTheyAreWhatTheyWereBefore) {
  void (*const before)(int) = HandlerOf(SIGTERM);
  const Shutdown shutdown(kForever);
  absl::StatusOr<SignalWatcher> signals = SignalWatcher::Watch(SIGTERM, SIGINT);
  ASSERT_TRUE(signals.ok());
  gyre::Run([&](Scope& scope) -> Task<> {
    TaskHandle<> watching = scope.Spawn(internal::ShutDownAtSignals(*std::move(signals), shutdown));
    std::raise(SIGTERM);
    co_await shutdown.Requested();
    EXPECT_NE(HandlerOf(SIGTERM), before);
    std::raise(SIGTERM);
    co_await watching.Join();
    EXPECT_EQ(HandlerOf(SIGTERM), before);
    co_await shutdown.GraceOver();
  });
}

TEST(ShutdownOnSignal, TheFirstSignalLeavesADrainThatAProgramHasBegunItsTime) {
  const Shutdown shutdown(kForever);
  absl::StatusOr<SignalWatcher> signals = SignalWatcher::Watch(SIGTERM, SIGINT);
  ASSERT_TRUE(signals.ok());
  gyre::Run([&](Scope& scope) -> Task<> {
    TaskHandle<> watching = scope.Spawn(internal::ShutDownAtSignals(*std::move(signals), shutdown));
    shutdown.Request("by hand");
    std::raise(SIGTERM);
    for (int i = 0; i < 8; ++i) co_await Yield();
    EXPECT_EQ(shutdown.deadline(), kNever);
    EXPECT_EQ(shutdown.reason().message(), "by hand");
    std::raise(SIGTERM);
    co_await watching.Join();
    EXPECT_NE(shutdown.deadline(), kNever);
  });
}

TEST(ShutdownOnSignal, DestroyedOrMovedItLeavesTheShutdownAloneAndNothingBehind) {
  void (*const before)(int) = HandlerOf(SIGTERM);
  const size_t fds = testing::CountOpenFds();
  const Shutdown shutdown(kForever);
  {
    absl::StatusOr<ShutdownOnSignal> signals = ShutdownOnSignal::Watch(shutdown);
    ASSERT_TRUE(signals.ok()) << signals.status();
    std::optional<ShutdownOnSignal> moved(*std::move(signals));
    EXPECT_NE(HandlerOf(SIGTERM), before);
    *moved = *ShutdownOnSignal::Watch(shutdown);
    EXPECT_NE(HandlerOf(SIGTERM), before);
  }
  EXPECT_EQ(HandlerOf(SIGTERM), before);
  EXPECT_FALSE(shutdown.requested());
  EXPECT_EQ(testing::CountOpenFds(), fds);
}

TEST(ShutdownOnSignal, MayBeMadeOnARunningLoop) {
  gyre::Run([]() -> Task<> {
    const Shutdown shutdown(kForever);
    const absl::StatusOr<ShutdownOnSignal> signals = ShutdownOnSignal::Watch(shutdown);
    EXPECT_TRUE(signals.ok()) << signals.status();
    std::raise(SIGINT);
    co_await shutdown.Requested();
  });
}

}  // namespace
}  // namespace gyre
