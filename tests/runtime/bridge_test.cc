#include "gyre/runtime/bridge.h"

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/when_all.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/tasks.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using testing::HookLog;
using testing::InEveryWorld;
using testing::OnEpoll;
using testing::Turns;

TEST(Bridge, GivesAResultThatCameBeforeTheWaitOrComesDuringIt) {
  InEveryWorld([]() -> Task<> {
    Bridge<std::unique_ptr<int>> before;
    before.Complete(std::make_unique<int>(1));
    std::unique_ptr<int> first = co_await before.Wait();
    EXPECT_EQ(*first, 1);
    auto body = [](Scope& scope) -> Task<> {
      Bridge<> during;
      scope.Spawn([&during]() -> Task<> {
        co_await Turns(3);
        during.Complete();
      });
      co_await during.Wait();
    };
    co_await WithScope(body);
  });
}

TEST(Bridge, IsCompletedByAnyThread) {
  OnEpoll([]() -> Task<> {
    for (int i = 0; i < 1000; ++i) {
      Bridge<int> bridge;
      std::thread thread([&bridge, i] { bridge.Complete(i); });
      const int result = co_await bridge.Wait();
      EXPECT_EQ(result, i);
      thread.join();
    }
  });
}

TEST(Bridge, FailsWithAnExceptionOrEndsStopped) {
  InEveryWorld([]() -> Task<> {
    Bridge<int> fails;
    fails.FailWith(std::make_exception_ptr(std::runtime_error("foreign")));
    const Outcome<int> failed = co_await AsOutcome(fails.Wait());
    EXPECT_EQ(HookLog::What(failed.exception()), "foreign");
    for (const bool is_before : {false, true}) {
      auto body = [is_before](Scope& scope) -> Task<> {
        Bridge<int> stops;
        if (is_before) stops.CompleteStopped();
        scope.Spawn([&stops, is_before]() -> Task<> {
          co_await Yield();
          if (!is_before) stops.CompleteStopped();
        });
        const Outcome<int> stopped = co_await AsOutcome(stops.Wait());
        EXPECT_TRUE(stopped.stopped());
      };
      co_await WithScope(body);
    }
  });
}

// The foreign side may still write into the frame, so the frame stays until it has answered.
TEST(Bridge, AStopTellsTheForeignSideAndWaitsForIt) {
  for (const bool has_value : {false, true}) {
    InEveryWorld([has_value]() -> Task<> {
      std::string log;
      auto body = [&](Scope& scope) -> Task<> {
        std::optional<Bridge<int>> bridge;
        bridge.emplace([&log] { log += "told "; });
        auto wait = [&]() -> Task<> {
          const Outcome<int> outcome = co_await AsOutcome(bridge->Wait());
          log += outcome.stopped() ? "stopped" : std::to_string(outcome.value());
        };
        TaskHandle<> waiter = scope.Spawn(wait);
        co_await Turns(2);
        waiter.RequestStop();
        co_await Turns(5);
        EXPECT_EQ(log, "told ");
        if (has_value) {
          bridge->Complete(3);
        } else {
          bridge->CompleteStopped();
        }
        co_await waiter.Join();
        EXPECT_EQ(log, has_value ? "told 3" : "told stopped");
      };
      co_await WithScope(body);
    });
  }
}

// What has been started has to be waited for, whenever the stop came.
TEST(Bridge, InAStoppedScopeItTellsTheForeignSideAndWaitsToo) {
  for (const bool is_before : {false, true}) {
    InEveryWorld([is_before]() -> Task<> {
      std::string log;
      Bridge<int>* given = nullptr;
      auto waits = [&](Scope& scope) -> Task<> {
        Bridge<int> bridge([&log] { log += "told "; });
        given = &bridge;
        if (is_before) bridge.Complete(3);
        scope.RequestStop();
        const Outcome<int> outcome = co_await AsOutcome(bridge.Wait());
        log += outcome.has_value() ? "3" : "stopped";
      };
      auto completes = [&]() -> Task<> {
        co_await Turns(5);
        log += "completes ";
        if (!is_before) given->Complete(3);
      };
      co_await WhenAll(WithScope(waits), completes());
      EXPECT_EQ(log, is_before ? "3completes " : "told completes 3");
    });
  }
}

TEST(Bridge, WhatOnStopThrowsGoesToTheHook) {
  InEveryWorld([]() -> Task<> {
    HookLog log;
    log.Attach();
    auto body = [](Scope& scope) -> Task<> {
      Bridge<> bridge([] { throw std::runtime_error("no wish to stop"); });
      scope.Spawn([&bridge]() -> Task<> {
        bridge.Complete();  // before its first suspension, where the stop would end it
        co_return;
      });
      scope.RequestStop();
      co_await bridge.Wait();
    };
    co_await WithScope(body);
    EXPECT_EQ(log.Texts(), std::vector<std::string>{"no wish to stop"});
  });
}

TEST(Bridge, WhatMakingItsValueThrowsTheWaitThrows) {
  InEveryWorld([]() -> Task<> {
    struct Throwing {
      explicit Throwing(int) { throw std::runtime_error("made badly"); }
      Throwing(Throwing&&) = default;
    };
    Bridge<Throwing> bridge;
    bridge.Complete(1);
    const Outcome<Throwing> outcome = co_await AsOutcome(bridge.Wait());
    EXPECT_EQ(HookLog::What(outcome.exception()), "made badly");
  });
}

TEST(BridgeDeathTest, IsCompletedOnce) {
  EXPECT_DEATH(
      {
        Bridge<int> bridge;
        bridge.Complete(1);
        bridge.Complete(2);
      },
      "a Bridge was completed twice");
}

TEST(BridgeDeathTest, IsAwaitedOnce) {
  auto twice = []() -> Task<> {
    Bridge<> bridge;
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn([&]() -> Task<> { co_await bridge.Wait(); });
      co_await bridge.Wait();
    };
    co_await WithScope(body);
  };
  EXPECT_DEATH(gyre::Run(twice), "a Bridge was awaited twice");
}

}  // namespace
}  // namespace gyre
