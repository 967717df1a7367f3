#include "gyre/runtime/run.h"

#include <dirent.h>
#include <stdlib.h>

#include <algorithm>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/when_all.h"
#include "gyre/tests/support/counted.h"
#include "gyre/tests/support/tasks.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using testing::Counted;

Task<int> Answer() { co_return 42; }
Task<int&> Refer(int& number) { co_return number; }
Task<std::unique_ptr<int>> Unique() { co_return std::make_unique<int>(7); }

TEST(Run, GivesTheResultOfATaskWhateverItsType) {
  EXPECT_EQ(gyre::Run(Answer()), 42);
  EXPECT_EQ(*gyre::Run(Unique()), 7);
  int number = 0;
  EXPECT_EQ(&gyre::Run(Refer(number)), &number);
  gyre::Run([]() -> Task<> { co_await Yield(); });
}

TEST(Run, TakesACallableABodyOrAnyAwaitable) {
  EXPECT_EQ(gyre::Run(Answer), 42);
  auto body = [](Scope& scope) -> Task<absl::StatusOr<int>> {
    TaskHandle<int> answer = scope.Spawn(Answer);
    const Outcome<int>& outcome = co_await answer.Join();
    co_return outcome.value();
  };
  const absl::StatusOr<int> from_body = gyre::Run(body);
  EXPECT_EQ(*from_body, 42);
  const auto both = gyre::Run(WhenAll(Answer(), Answer()));
  EXPECT_EQ(std::get<0>(both) + std::get<1>(both), 84);
}

TEST(Run, KeepsACapturingLambdaAsLongAsItRuns) {
  const std::string result =
      gyre::Run([text = std::string("a text too long for the small string buffer")]() -> Task<std::string> {
        co_await Yield();
        co_return text;
      });
  EXPECT_EQ(result, "a text too long for the small string buffer");
}

TEST(Run, RethrowsTheRootsException) {
  auto throws = []() -> Task<int> {
    throw std::out_of_range("root");
    co_return 0;
  };
  EXPECT_THROW(gyre::Run(throws), std::out_of_range);
  auto throws_early = []() -> Task<int> { throw std::out_of_range("no coroutine"); };
  EXPECT_THROW(gyre::Run(throws_early), std::out_of_range);
}

TEST(Run, AStoppedRootGivesCancelledOrThrowsStoppedWhereItsTypeCantHoldAStatus) {
  EXPECT_THROW(gyre::Run(testing::EndStoppedByItself()), Stopped);
  EXPECT_THROW(gyre::Run([]() -> Task<> { co_await testing::EndsStopped(); }), Stopped);
  const absl::StatusOr<int> value = gyre::Run([]() -> Task<absl::StatusOr<int>> {
    co_await testing::EndsStopped();
    co_return 1;
  });
  EXPECT_TRUE(absl::IsCancelled(value.status())) << value.status();
}

TEST(Run, ABodysOwnStopGivesCancelledWithTheReasonOrNothing) {
  const absl::Status status = gyre::Run([](Scope& scope) -> Task<absl::Status> {
    scope.RequestStop("lunch");
    co_await Yield();
    co_return absl::OkStatus();
  });
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_NE(status.message().find("lunch"), absl::string_view::npos) << status;
  bool went_on = false;
  gyre::Run([&](Scope& scope) -> Task<> {
    scope.RequestStop();
    co_await Yield();
    went_on = true;
  });
  EXPECT_FALSE(went_on);
}

TEST(Run, TheRootsCallableAndFrameAreGoneWhenItReturns) {
  Counted::Reset();
  gyre::Run([counted = Counted()]() -> Task<> {
    Counted local;
    co_await Yield();
  });
  EXPECT_EQ(Counted::live(), 0);
}

TEST(Run, ReportsErrorsThatNobodyReceivesToTheHook) {
  testing::HookLog hook;
  gyre::Run(hook.Options(), []() -> Task<> {
    Loop::Current().CallSoon([] { throw std::runtime_error("lost"); });
    co_await Yield();
    co_await Yield();
  });
  EXPECT_EQ(hook.Texts(), std::vector<std::string>{"lost"});
}

TEST(Run, TellsTheLoopWhenItStarts) {
  Loop* told = nullptr;
  Loop* seen = nullptr;
  gyre::Run(RunOptions().set_on_start([&](Loop& loop) { told = &loop; }), [&]() -> Task<> {
    seen = &Loop::Current();
    co_return;
  });
  EXPECT_NE(told, nullptr);
  EXPECT_EQ(told, seen);
}

// --- choosing a backend

TEST(ParseBackendKind, KnowsTheNamesAndSaysThemOtherwise) {
  EXPECT_EQ(*ParseBackendKind("auto"), BackendKind::kAuto);
  EXPECT_EQ(*ParseBackendKind("epoll"), BackendKind::kEpoll);
  EXPECT_EQ(*ParseBackendKind("io_uring"), BackendKind::kIoUring);
  const absl::Status unknown = ParseBackendKind("kqueue").status();
  EXPECT_EQ(unknown.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(unknown.message().find("expected auto, epoll or io_uring"), absl::string_view::npos);
}

class Environment : public ::testing::Test {
 protected:
  void SetUp() override { setenv("GYRE_BACKEND", "nonsense", /*overwrite=*/1); }
  void TearDown() override { unsetenv("GYRE_BACKEND"); }
};

TEST_F(Environment, CountsOnlyWhereTheOptionsAllowIt) {
  EXPECT_EQ(gyre::Run(Answer()), 42);
  auto status = []() -> Task<absl::Status> { co_return absl::OkStatus(); };
  EXPECT_EQ(gyre::Run(RunOptions().set_allow_environment(true), status).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THROW(gyre::Run(RunOptions().set_allow_environment(true), Answer()), StatusError);
}

// --- nothing is left

std::set<std::string> OpenDescriptors() {
  std::set<std::string> names;
  DIR* const directory = opendir("/proc/self/fd");
  while (const dirent* entry = readdir(directory)) names.insert(entry->d_name);
  closedir(directory);
  return names;
}

TEST(Run, LeavesNoDescriptorHoweverOftenItRuns) {
  const std::set<std::string> before = OpenDescriptors();
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(gyre::Run(Answer()), 42);
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST(Run, TwoRunSideBySideOnTwoThreads) {
  const std::set<std::string> before = OpenDescriptors();
  auto count = [](int& turns) -> Task<> {
    for (int i = 0; i < 1000; ++i) {
      co_await Yield();
      ++turns;
    }
  };
  std::vector<std::thread> threads;
  std::vector<int> turns(2);
  for (int& mine : turns) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) gyre::Run(count(mine));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(turns, (std::vector<int>{20000, 20000}));
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST(Run, WhatOnStartThrowsIsItsResult) {
  auto run = [] {
    const RunOptions options = RunOptions().set_on_start([](Loop&) { throw std::runtime_error("refused"); });
    gyre::Run(options, []() -> Task<> { co_return; });
  };
  EXPECT_THROW(run(), std::runtime_error);
}

}  // namespace
}  // namespace gyre
