#include "gyre/io/signal_watcher.h"

#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"

namespace gyre {
namespace {

SignalWatcher Watch(int first) { return *SignalWatcher::Watch(first); }
SignalWatcher Watch(int first, int second) { return *SignalWatcher::Watch(first, second); }

Task<int> NextOf(SignalWatcher& watcher) { co_return co_await watcher.Next(); }

// Lets every other task of the loop run until it waits.
Task<> LetOthersWait() {
  for (int i = 0; i < 4; ++i) co_await Yield();
}

void (*HandlerOf(int number))(int) {
  struct sigaction current = {};
  sigaction(number, nullptr, &current);
  return current.sa_handler;
}

TEST(SignalWatcher, SignalBeforeNextIsKept) {
  SignalWatcher watcher = Watch(SIGUSR1);
  std::raise(SIGUSR1);
  EXPECT_EQ(gyre::Run(watcher.Next()), SIGUSR1);
}

TEST(SignalWatcher, SignalWakesTheNextThatWaits) {
  int number = 0;
  gyre::Run([&](Scope& scope) -> Task<> {
    SignalWatcher watcher = Watch(SIGUSR1);
    TaskHandle<int> next = scope.Spawn(NextOf(watcher));
    co_await LetOthersWait();
    EXPECT_FALSE(next.Done());
    std::raise(SIGUSR1);
    const Outcome<int>& outcome = co_await next.Join();
    number = outcome.value();
  });
  EXPECT_EQ(number, SIGUSR1);
}

TEST(SignalWatcher, SignalOnAnotherThreadWakesASleepingLoop) {
  std::thread other;
  const int number = gyre::Run([&]() -> Task<int> {
    SignalWatcher watcher = Watch(SIGUSR1);
    other = std::thread([] { pthread_kill(pthread_self(), SIGUSR1); });
    co_return co_await watcher.Next();
  });
  other.join();
  EXPECT_EQ(number, SIGUSR1);
}

TEST(SignalWatcher, EachSignalIsGivenLowestFirst) {
  SignalWatcher watcher = Watch(SIGUSR2, SIGUSR1);
  std::raise(SIGUSR2);
  std::raise(SIGUSR1);
  EXPECT_EQ(gyre::Run(watcher.Next()), SIGUSR1);
  EXPECT_EQ(gyre::Run(watcher.Next()), SIGUSR2);
}

TEST(SignalWatcher, SameSignalTwiceBeforeNextCountsOnce) {
  SignalWatcher watcher = Watch(SIGUSR1, SIGUSR2);
  std::raise(SIGUSR1);
  std::raise(SIGUSR1);
  EXPECT_EQ(gyre::Run(watcher.Next()), SIGUSR1);
  std::raise(SIGUSR2);
  EXPECT_EQ(gyre::Run(watcher.Next()), SIGUSR2);
}

TEST(SignalWatcher, EveryWatcherOfEveryLoopSeesTheSignal) {
  std::vector<SignalWatcher> watchers;
  for (int i = 0; i < 4; ++i) watchers.push_back(Watch(SIGUSR1));
  std::atomic<int> seen{0};
  std::vector<std::thread> loops;
  for (SignalWatcher& watcher : watchers) {
    loops.emplace_back([&watcher, &seen] { seen += gyre::Run(watcher.Next()) == SIGUSR1; });
  }
  std::raise(SIGUSR1);
  for (std::thread& loop : loops) loop.join();
  EXPECT_EQ(seen, 4);
}

TEST(SignalWatcher, WatcherHearsOnlyWhatItNames) {
  SignalWatcher first = Watch(SIGUSR1);
  SignalWatcher second = Watch(SIGUSR2);
  std::raise(SIGUSR1);
  std::raise(SIGUSR2);
  EXPECT_EQ(gyre::Run(second.Next()), SIGUSR2);
  EXPECT_EQ(gyre::Run(first.Next()), SIGUSR1);
}

TEST(SignalWatcher, MovedWatcherKeepsWhatCame) {
  SignalWatcher first = Watch(SIGUSR1);
  std::raise(SIGUSR1);
  SignalWatcher second = std::move(first);
  first = Watch(SIGUSR2);
  EXPECT_EQ(gyre::Run(second.Next()), SIGUSR1);
}

// --- stops

TEST(SignalWatcher, StopBeforeTheSignalLosesNothing) {
  const absl::Status status = gyre::Run([](Scope& scope) -> Task<absl::Status> {
    SignalWatcher watcher = Watch(SIGUSR1);
    TaskHandle<int> next = scope.Spawn(NextOf(watcher));
    co_await LetOthersWait();
    next.RequestStop();
    const Outcome<int>& outcome = co_await next.Join();
    EXPECT_TRUE(outcome.stopped());
    std::raise(SIGUSR1);
    const int number = co_await watcher.Next();
    EXPECT_EQ(number, SIGUSR1);
    co_return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
}

TEST(SignalWatcher, StopAfterTheSignalLosesNothing) {
  const absl::Status status = gyre::Run([](Scope& scope) -> Task<absl::Status> {
    SignalWatcher watcher = Watch(SIGUSR1);
    TaskHandle<int> next = scope.Spawn(NextOf(watcher));
    co_await LetOthersWait();
    std::raise(SIGUSR1);
    next.RequestStop();  // before the loop has looked into its inbox
    const Outcome<int>& outcome = co_await next.Join();
    EXPECT_TRUE(outcome.stopped());
    const int number = co_await watcher.Next();
    EXPECT_EQ(number, SIGUSR1);
    co_return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
}

TEST(SignalWatcher, StopDuringNextWithSignalThereLosesNothing) {
  const absl::Status status = gyre::Run([](Scope& scope) -> Task<absl::Status> {
    SignalWatcher watcher = Watch(SIGUSR1);
    std::raise(SIGUSR1);
    TaskHandle<int> next = scope.Spawn(NextOf(watcher));
    next.RequestStop();
    const Outcome<int>& outcome = co_await next.Join();
    EXPECT_TRUE(outcome.stopped());
    const int number = co_await watcher.Next();
    EXPECT_EQ(number, SIGUSR1);
    co_return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
}

// --- handlers

void OldHandler(int) {}
void NewerHandler(int) {}

TEST(SignalWatcher, LastWatcherRestoresWhatWasThereBefore) {
  std::signal(SIGUSR1, &OldHandler);
  {
    const SignalWatcher outer = Watch(SIGUSR1);
    EXPECT_NE(HandlerOf(SIGUSR1), &OldHandler);
    { const SignalWatcher inner = Watch(SIGUSR1, SIGUSR2); }
    EXPECT_NE(HandlerOf(SIGUSR1), &OldHandler);
    EXPECT_EQ(HandlerOf(SIGUSR2), SIG_DFL);
  }
  EXPECT_EQ(HandlerOf(SIGUSR1), &OldHandler);
  std::signal(SIGUSR1, SIG_DFL);
}

TEST(SignalWatcher, HandlerThatSomebodyPutOverOursStays) {
  {
    const SignalWatcher watcher = Watch(SIGUSR1);
    std::signal(SIGUSR1, &NewerHandler);
  }
  EXPECT_EQ(HandlerOf(SIGUSR1), &NewerHandler);
  std::signal(SIGUSR1, SIG_DFL);
}

TEST(SignalWatcher, NewWatcherGetsNothingThatAnOldOneLeft) {
  {
    const SignalWatcher old = Watch(SIGUSR1);
    std::raise(SIGUSR1);
  }
  SignalWatcher fresh = Watch(SIGUSR1, SIGUSR2);
  std::raise(SIGUSR2);
  EXPECT_EQ(gyre::Run(fresh.Next()), SIGUSR2);
}

TEST(SignalWatcher, RefusesWhatCannotBeWatched) {
  for (const int number : {0, -1, 65, 1000, SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, 32}) {
    const absl::StatusOr<SignalWatcher> watcher = SignalWatcher::Watch(SIGUSR1, number);
    EXPECT_EQ(watcher.status().code(), absl::StatusCode::kInvalidArgument) << number << ": " << watcher.status();
    EXPECT_EQ(HandlerOf(SIGUSR1), SIG_DFL) << "a refusal leaves nothing behind";
  }
  EXPECT_FALSE(SignalWatcher::Watch(std::span<const int>()).ok());
}

TEST(SignalWatcherDeathTest, SecondNextAtTheSameTimeIsRefused) {
  EXPECT_DEATH(gyre::Run([](Scope& scope) -> Task<> {
                 SignalWatcher watcher = Watch(SIGUSR1);
                 scope.Spawn(NextOf(watcher));
                 co_await LetOthersWait();
                 co_await watcher.Next();
               }),
               "another Next of the same watcher waits");
}

TEST(SignalWatcherDeathTest, WatcherThatIsWaitedForMustNotBeDestroyed) {
  EXPECT_DEATH(gyre::Run([](Scope& scope) -> Task<> {
                 std::optional<SignalWatcher> watcher = Watch(SIGUSR1);
                 scope.Spawn(NextOf(*watcher));
                 co_await LetOthersWait();
                 watcher.reset();
               }),
               "destroyed while its Next waits");
}

// --- handlers on other threads, at any moment

// Makes SIGUSR1 rain, on threads of its own.
class Rain {
 public:
  Rain() : before_(std::signal(SIGUSR1, SIG_IGN)) {
    for (int i = 0; i < 2; ++i) {
      threads_.emplace_back([this] {
        while (!is_over_) pthread_kill(pthread_self(), SIGUSR1);
      });
    }
  }
  ~Rain() {
    is_over_ = true;
    for (std::thread& thread : threads_) thread.join();
    std::signal(SIGUSR1, before_);
  }

 private:
  void (*const before_)(int);
  std::atomic<bool> is_over_{false};
  std::vector<std::thread> threads_;
};

TEST(SignalWatcher, LoopsMayComeAndGoInTheRain) {
  const Rain rain;
  for (int i = 0; i < 300; ++i) {
    const int number = gyre::Run([]() -> Task<int> {
      SignalWatcher watcher = Watch(SIGUSR1);
      co_return co_await watcher.Next();
    });
    ASSERT_EQ(number, SIGUSR1);
  }
}

// A stop and a signal meet in every order: the Next gives the signal or is stopped, and never both or neither.
TEST(SignalWatcher, RandomStopsInTheRainEndEveryNextOnce) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 rng(seed);
  const Rain rain;
  int given = 0;
  gyre::Run([&](Scope& scope) -> Task<> {
    SignalWatcher watcher = Watch(SIGUSR1);
    for (int i = 0; i < 2000 || given < 10; ++i) {
      TaskHandle<int> next = scope.Spawn(NextOf(watcher));
      for (uint64_t turns = rng() % 4; turns != 0; --turns) co_await Yield();
      next.RequestStop();
      const Outcome<int>& outcome = co_await next.Join();
      EXPECT_TRUE(outcome.stopped() || outcome.value() == SIGUSR1);
      given += outcome.has_value();
    }
    const int number = co_await watcher.Next();
    EXPECT_EQ(number, SIGUSR1);
  });
}

}  // namespace
}  // namespace gyre
