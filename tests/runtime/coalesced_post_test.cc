#include "gyre/runtime/coalesced_post.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "gyre/runtime/backend/epoll_backend.h"
#include "gyre/runtime/internal/rng.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/sleep.h"
#include "gyre/tests/support/counted.h"
#include "gyre/tests/support/gate.h"
#include "gyre/tests/support/tasks.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using testing::Counted;
using testing::Gate;
using testing::HookLog;
using testing::InEveryWorld;
using testing::InSimulation;
using testing::OnEpoll;
using testing::Turns;

Loop& Current() { return Loop::Current(); }

// [I03]
TEST(CoalescedPost, PostedOftenBeforeItRunsItRunsOnce) {
  InEveryWorld([]() -> Task<> {
    int runs = 0;
    CoalescedPost post(Current(), [&runs] { ++runs; });
    for (int round = 1; round <= 3; ++round) {
      for (int i = 0; i < 100; ++i) EXPECT_EQ(post.Post(), PostResult::kAccepted);
      EXPECT_EQ(runs, round - 1) << "never at once";
      co_await Turns(4);
      EXPECT_EQ(runs, round);
    }
  });
}

// [I03]
TEST(CoalescedPost, PostedWhileItRunsItRunsOnceMoreInALaterTurn) {
  InEveryWorld([]() -> Task<> {
    std::string log;
    std::optional<CoalescedPost> post;
    int runs = 0;
    post.emplace(Current(), [&] {
      log += "run ";
      if (++runs > 1) return;
      post->Post();
      post->Post();
      Current().CallSoon([&log] { log += "turn "; });
    });
    post->Post();
    co_await Turns(6);
    EXPECT_EQ(log, "run turn run ");
  });
}

TEST(CoalescedPost, RunsWhereItsFirstPostStandsAmongThePostsOfTheLoop) {
  InEveryWorld([]() -> Task<> {
    std::string log;
    CoalescedPost a(Current(), [&log] { log += "a"; });
    CoalescedPost b(Current(), [&log] { log += "b"; });
    Current().Post([&log] { log += "1"; });
    b.Post();
    Current().Post([&log] { log += "2"; });
    a.Post();
    b.Post();
    Current().Post([&log] { log += "3"; });
    co_await Turns(4);
    EXPECT_EQ(log, "1b2a3");
  });
}

TEST(CoalescedPost, KeepsAMoveOnlyCallableAndCallsItAgainAndAgain) {
  InEveryWorld([]() -> Task<> {
    int sum = 0;
    CoalescedPost post(Current(), [&sum, step = std::make_unique<int>(2)]() mutable { sum += (*step)++; });
    for (int i = 0; i < 3; ++i) {
      post.Post();
      co_await Turns(3);
    }
    EXPECT_EQ(sum, 2 + 3 + 4);
  });
}

TEST(CoalescedPost, WhatItThrowsGoesToTheHookAndItCanBePostedAgain) {
  InEveryWorld([]() -> Task<> {
    HookLog hook;
    hook.Attach();
    CoalescedPost post(Current(), [] { throw std::runtime_error("posted"); });
    for (int i = 0; i < 2; ++i) {
      post.Post();
      co_await Turns(3);
    }
    EXPECT_EQ(hook.Texts(), (std::vector<std::string>{"posted", "posted"}));
    Current().SetUnhandledErrorHook(nullptr);
  });
}

// --- other threads

TEST(CoalescedPost, WakesALoopThatSleeps) {
  OnEpoll([]() -> Task<> {
    for (int i = 0; i < 20; ++i) {
      Gate gate;
      CoalescedPost post(Current(), [&gate] { gate.Open(); });
      std::thread poster([&post] { post.Post(); });
      co_await gate.Wait();  // nothing else would wake it: a lost wake-up hangs here
      poster.join();
    }
  });
}

TEST(CoalescedPost, WhilePendingWakesNobody) {
  OnEpoll([]() -> Task<> {
    int runs = 0;
    CoalescedPost post(Current(), [&runs] { ++runs; });
    const BackendCounters& counters = Current().backend().counters();
    const uint64_t wakes = counters.wakes.value();
    std::thread([&post] {
      for (int i = 0; i < 1000; ++i) post.Post();
    }).join();  // the loop's thread is busy here all the while
    co_await Turns(2);
    EXPECT_EQ(runs, 1);
    EXPECT_EQ(counters.wakes.value() - wakes, 0u);
  });
}

CoalescedPost* g_posted_by_signal = nullptr;

TEST(CoalescedPost, MayBePostedByASignalHandler) {
  OnEpoll([]() -> Task<> {
    int runs = 0;
    CoalescedPost post(Current(), [&runs] { ++runs; });
    g_posted_by_signal = &post;
    const auto before = std::signal(SIGUSR1, [](int) { g_posted_by_signal->Post(); });
    std::raise(SIGUSR1);
    std::raise(SIGUSR1);
    std::signal(SIGUSR1, before);
    co_await Turns(3);
    EXPECT_EQ(runs, 1);
  });
}

// --- destruction

TEST(CoalescedPost, DestroyedWhilePendingItDoesNotRunAndItsCallableIsGoneAtOnce) {
  Counted::Reset();
  InEveryWorld([]() -> Task<> {
    {
      CoalescedPost post(Current(), [counted = Counted()] { ADD_FAILURE(); });
      post.Post();
      EXPECT_EQ(Counted::live(), 1);
    }
    EXPECT_EQ(Counted::live(), 0);
    co_await Turns(4);
  });
}

TEST(CoalescedPost, MayBeDestroyedByItsCallableWhichLivesUntilItReturns) {
  for (const bool is_posted_again : {false, true}) {
    Counted::Reset();
    InEveryWorld([is_posted_again]() -> Task<> {
      std::optional<CoalescedPost> post;
      int runs = 0;
      post.emplace(Current(), [&post, &runs, is_posted_again, counted = Counted()] {
        ++runs;
        if (is_posted_again) post->Post();
        post.reset();
        EXPECT_EQ(Counted::live(), 1);
      });
      post->Post();
      co_await Turns(5);
      EXPECT_EQ(runs, 1);
      EXPECT_EQ(Counted::live(), 0);
    });
  }
}

TEST(CoalescedPost, AfterTheEndOfItsLoopIsRefusedAndMayBeDestroyedAnywhere) {
  Counted::Reset();
  std::unique_ptr<Backend> backend = *EpollBackend::Create();
  Loop loop(*backend);
  bool is_done = false;
  loop.CallSoon([&is_done] { is_done = true; });
  std::optional<CoalescedPost> idle(std::in_place, loop, [counted = Counted()] { ADD_FAILURE(); });
  std::optional<CoalescedPost> pending(std::in_place, loop, [counted = Counted()] { ADD_FAILURE(); });
  EXPECT_EQ(pending->Post(), PostResult::kAccepted);
  loop.RunUntil(is_done);
  EXPECT_EQ(loop.left_over().callbacks, 1u);
  std::thread([&] {
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(idle->Post(), PostResult::kClosed);
      EXPECT_EQ(pending->Post(), PostResult::kClosed);
    }
    EXPECT_EQ(Counted::live(), 2);
    idle.reset();
    pending.reset();
  }).join();
  EXPECT_EQ(Counted::live(), 0);
}

TEST(CoalescedPost, OneThatIsDestroyedWhilePendingAndLeftOverAtTheEndLeaksNothing) {
  Counted::Reset();
  RunReport report;
  gyre::Run(RunOptions().set_report(&report), []() -> Task<> {
    CoalescedPost post(Current(), [counted = Counted()] { ADD_FAILURE(); });
    post.Post();
    co_return;
  });
  EXPECT_EQ(Counted::live(), 0);
  EXPECT_EQ(report.dropped_callbacks, 1u);
}

TEST(CoalescedPostDeathTest, DestroyedOnAnotherThreadThanItsLoopsIsAUsageError) {
  auto root = []() -> Task<> {
    std::optional<CoalescedPost> post(std::in_place, Current(), [] {});
    std::thread([&post] { post.reset(); }).join();
    co_return;
  };
  EXPECT_DEATH(gyre::Run(root), "a CoalescedPost was destroyed on another thread than its loop's");
}

// --- against a model

// Posts, turns and destructions at random: at each turn, what is pending runs once, in the order of the first posts.
class RandomPosts {
 public:
  explicit RandomPosts(uint64_t seed) : rng_(seed) {
    for (size_t key = 0; key < posts_.size(); ++key) Make(key);
  }

  Task<> Run() {
    for (int step = 0; step < 200; ++step) {
      const size_t key = rng_.Below(posts_.size());
      const uint64_t what = rng_.Below(10);
      if (what < 7) {
        Post(key);
      } else if (what < 8) {
        std::erase(expected_, key);
        Make(key);
      } else {
        co_await Turns(4);
        EXPECT_EQ(std::exchange(ran_, {}), std::exchange(expected_, {})) << "step " << step;
      }
    }
  }

 private:
  void Make(size_t key) {
    posts_[key].emplace(Current(), [this, key] { ran_.push_back(key); });
  }
  void Post(size_t key) {
    posts_[key]->Post();
    if (std::find(expected_.begin(), expected_.end(), key) == expected_.end()) expected_.push_back(key);
  }

  internal::Rng rng_;
  std::array<std::optional<CoalescedPost>, 4> posts_;
  std::vector<size_t> ran_;
  std::vector<size_t> expected_;
};

TEST(CoalescedPost, RandomPostsRunAsAModelSays) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    InSimulation([seed]() -> Task<> {
      RandomPosts program(seed);
      co_await program.Run();
    });
  }
}

}  // namespace
}  // namespace gyre
