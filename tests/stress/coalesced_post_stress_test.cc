// Coalesced posts from several threads: none is lost, each run sees what was done before the posts it answers, and neither
// the end of the loop nor a callable that destroys its own post leaves a thread in what is gone.
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <optional>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "gyre/runtime/backend/epoll_backend.h"
#include "gyre/runtime/coalesced_post.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/sleep.h"
#include "gyre/tests/support/gate.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using testing::Gate;
using testing::OnEpoll;

#ifdef GYRE_DEBUG_CHECKS  // the sanitizers' builds: some ten times slower
constexpr int kPosts = 5'000;
constexpr int kRounds = 200;
#else
constexpr int kPosts = 100'000;
constexpr int kRounds = 300;
#endif
constexpr size_t kThreads = 3;

TEST(CoalescedPostStress, ARunComesAfterEveryPost) {
  OnEpoll([]() -> Task<> {
    std::array<std::atomic<int>, kThreads> posted{};
    Gate all_seen;
    int runs = 0;
    CoalescedPost post(Loop::Current(), [&] {
      ++runs;
      size_t done = 0;
      for (const std::atomic<int>& count : posted) done += count.load(std::memory_order_relaxed) == kPosts;
      if (done == kThreads) all_seen.Open();
    });
    std::vector<std::thread> threads;
    for (std::atomic<int>& mine : posted) {
      threads.emplace_back([&mine, &post] {
        for (int i = 1; i <= kPosts; ++i) {
          mine.store(i, std::memory_order_relaxed);
          if (post.Post() != PostResult::kAccepted) return;
        }
      });
    }
    co_await all_seen.Wait();  // nothing else would wake the loop: a lost post hangs here
    for (std::thread& thread : threads) thread.join();
    EXPECT_LE(runs, static_cast<int>(kThreads) * kPosts);
  });
}

// The threads write plain memory, and only their posts, which merge, order that before the run: for TSan.
TEST(CoalescedPostStress, TheRunAfterAPostSeesWhatWasDoneBeforeIt) {
  OnEpoll([]() -> Task<> {
    std::array<int, kThreads> written{};
    std::atomic<int> round{0};
    std::atomic<size_t> posts{0};
    int runs = 0;
    int sum = 0;
    CoalescedPost post(Loop::Current(), [&] {
      ++runs;
      sum = std::accumulate(written.begin(), written.end(), 0);
    });
    std::vector<std::thread> threads;
    for (int& mine : written) {
      threads.emplace_back([&] {
        for (int i = 1; i <= kRounds; ++i) {
          while (round.load(std::memory_order_acquire) < i) std::this_thread::yield();
          mine = i;
          post.Post();
          posts.fetch_add(1, std::memory_order_relaxed);
        }
      });
    }
    for (int i = 1; i <= kRounds; ++i) {
      round.store(i, std::memory_order_release);
      while (posts.load(std::memory_order_relaxed) < kThreads * static_cast<size_t>(i)) std::this_thread::yield();
      while (runs < i) co_await Yield();
      EXPECT_EQ(sum, static_cast<int>(kThreads) * i);
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(runs, kRounds) << "the loop was busy until all had posted";
  });
}

TEST(CoalescedPostStress, TheEndOfTheLoopRefusesEveryThread) {
  for (int round = 0; round < kRounds; ++round) {
    std::unique_ptr<Backend> backend = *EpollBackend::Create();
    auto loop = std::make_unique<Loop>(*backend);
    bool is_done = false;
    int runs = 0;
    std::optional<CoalescedPost> post(std::in_place, *loop, [&] { is_done = ++runs > round % 4; });
    std::vector<std::thread> threads;
    for (size_t i = 0; i < 2; ++i) {
      threads.emplace_back([&post] {
        while (post->Post() == PostResult::kAccepted) std::this_thread::yield();
      });
    }
    loop->RunUntil(is_done);
    for (std::thread& thread : threads) thread.join();
    post.reset();
  }
}

TEST(CoalescedPostStress, TheRunMayDestroyItWhileThePosterStillReturns) {
  OnEpoll([]() -> Task<> {
    for (int round = 0; round < kRounds; ++round) {
      Gate is_gone;
      std::unique_ptr<CoalescedPost> post;
      post = std::make_unique<CoalescedPost>(Loop::Current(), [&] {
        post.reset();
        is_gone.Open();
      });
      std::thread poster([posted = post.get()] { posted->Post(); });
      co_await is_gone.Wait();
      poster.join();
    }
  });
}

}  // namespace
}  // namespace gyre
