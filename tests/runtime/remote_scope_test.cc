#include "gyre/runtime/remote_scope.h"

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/tasks.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using testing::HookLog;
using testing::InEveryWorld;
using testing::Throw;

// [A13]
TEST(RemoteScope, EveryTaskThatFourThreadsSpawnRunsOnce) {
  constexpr int kThreads = 4;
#ifdef GYRE_DEBUG_CHECKS
  constexpr int kEach = 2'000;
#else
  constexpr int kEach = 50'000;
#endif
  for (int run = 0; run < 10; ++run) {
    int count = 0;
    auto add = [&count]() -> Task<> {
      ++count;
      co_return;
    };
    auto root = [&](Scope& scope) -> Task<> {
      const RemoteScope remote(scope);
      std::vector<std::thread> threads;
      for (int i = 0; i < kThreads; ++i) {
        threads.emplace_back([remote, &add] {
          for (int j = 0; j < kEach; ++j) {
            if (!remote.Spawn(add)) std::abort();
          }
        });
      }
      for (std::thread& thread : threads) thread.join();  // what is under way keeps the scope open
      co_return;
    };
    gyre::Run(root);
    EXPECT_EQ(count, kThreads * kEach);
  }
}

TEST(RemoteScope, RefusesOnceTheScopeHasEnded) {
  InEveryWorld([]() -> Task<> {
    std::optional<RemoteScope> remote;
    auto body = [&](Scope& scope) -> Task<> {
      remote.emplace(scope);
      co_return;
    };
    co_await WithScope(body);
    const auto kept = std::make_shared<int>(1);
    auto never = [kept]() -> Task<> {
      ADD_FAILURE() << "it ran";
      co_return;
    };
    EXPECT_FALSE(remote->Spawn(never));
    EXPECT_EQ(kept.use_count(), 2) << "kept itself, and never";
  });
}

TEST(RemoteScope, AChildsErrorIsTheScopes) {
  InEveryWorld([]() -> Task<> {
    auto body = [](Scope& scope) -> Task<> {
      EXPECT_TRUE(RemoteScope(scope).Spawn(Throw, 1, "from afar"));
      co_await SleepFor(kForever);
    };
    const Outcome<> outcome = co_await AsOutcome(WithScope(body));
    EXPECT_EQ(HookLog::What(outcome.exception()), "from afar");
  });
}

TEST(RemoteScope, InAStoppedScopeTheChildIsStoppedAtItsFirstSuspension) {
  InEveryWorld([]() -> Task<> {
    std::string log;
    auto child = [&log]() -> Task<> {
      log += "starts ";
      co_await Yield();
      log += "goes on";
    };
    auto body = [&](Scope& scope) -> Task<> {
      scope.RequestStop();
      EXPECT_TRUE(RemoteScope(scope).Spawn(child));
      co_return;
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "starts ");
  });
}

}  // namespace
}  // namespace gyre
