#include "gyre/runtime/context_var.h"

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/deadline.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/shielded.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/when_all.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/gate.h"
#include "gyre/tests/support/tasks.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using namespace std::chrono_literals;
using testing::Gate;
using testing::InEveryWorld;
using testing::Turns;

ContextVar<std::string> request_id;
ContextVar<int> tenant;

// The present value, or "none".
std::string Id() {
  const std::string* id = request_id.Get();
  return id != nullptr ? *id : "none";
}

TEST(ContextVar, IsInheritedBySpawnedTasksAndTheirChangesStayTheirs) {
  InEveryWorld([]() -> Task<> {
    request_id.Set("parent");
    auto body = [&](Scope& scope) -> Task<> {
      auto child = []() -> Task<> {
        EXPECT_EQ(Id(), "parent");
        request_id.Set("child");
        co_await Yield();
        EXPECT_EQ(Id(), "child");
      };
      scope.Spawn(child);
      co_await Turns(2);
      EXPECT_EQ(Id(), "parent");
    };
    co_await WithScope(body);
    EXPECT_EQ(Id(), "parent");
  });
}

TEST(ContextVar, AChangeAfterTheSpawnIsNotSeenByTheChild) {
  InEveryWorld([]() -> Task<> {
    request_id.Set("before");
    auto body = [&](Scope& scope) -> Task<> {
      auto child = []() -> Task<> {
        EXPECT_EQ(Id(), "before");
        co_await Turns(3);
        EXPECT_EQ(Id(), "before");
      };
      scope.Spawn(child);
      request_id.Set("after");  // the child has not even started
      co_await Turns(2);
      request_id.Set("later");
    };
    co_await WithScope(body);
    EXPECT_EQ(Id(), "later") << "the body of a scope is part of its task";
  });
}

TEST(ContextVar, WhatATaskAwaitsDirectlySetsItsValues) {
  InEveryWorld([]() -> Task<> {
    auto set = [](std::string id) -> Task<> {
      co_await Yield();
      request_id.Set(std::move(id));
    };
    co_await set("direct");
    EXPECT_EQ(Id(), "direct");
    (void)co_await AsOutcome(set("outcome"));
    EXPECT_EQ(Id(), "outcome");
    (void)co_await Timeout(1h, set("timeout"));
    EXPECT_EQ(Id(), "timeout");
    co_await Shielded(1h, set("shielded"));
    EXPECT_EQ(Id(), "shielded");
  });
}

TEST(ContextVar, AChildOfWhenAllSeesTheAwaitersValuesAndKeepsItsOwnToItself) {
  InEveryWorld([]() -> Task<> {
    request_id.Set("awaiter");
    auto child = [](std::string id) -> Task<> {
      EXPECT_EQ(Id(), "awaiter");
      request_id.Set(id);
      co_await Turns(2);
      EXPECT_EQ(Id(), id);
    };
    (void)co_await WhenAll(child("a"), child("b"));
    EXPECT_EQ(Id(), "awaiter");
  });
}

TEST(ContextVar, AGrandchildSeesWhatTheChildHasSet) {
  InEveryWorld([]() -> Task<> {
    std::string seen;
    auto grandchild = [&]() -> Task<> {
      seen = Id() + std::to_string(*tenant.Get());
      co_return;
    };
    auto inner = [&](Scope& scope) -> Task<> {
      scope.Spawn(grandchild);
      co_return;
    };
    auto child = [&]() -> Task<> {
      request_id.Set("child");
      co_await WithScope(inner);
    };
    auto outer = [&](Scope& scope) -> Task<> {
      tenant.Set(7);
      scope.Spawn(child);
      co_return;
    };
    co_await WithScope(outer);
    EXPECT_EQ(seen, "child7");
  });
}

TEST(ContextVar, SetInAChildOfWhenAllItIsInheritedByWhatThatChildSpawns) {
  InEveryWorld([]() -> Task<> {
    std::string seen;
    auto body = [&](Scope& scope) -> Task<> {
      auto spawned = [&]() -> Task<> {
        seen = Id();
        co_return;
      };
      auto branch = [&]() -> Task<> {
        request_id.Set("branch");
        scope.Spawn(spawned);
        co_return;
      };
      (void)co_await WhenAll(branch(), Turns(1));
    };
    co_await WithScope(body);
    EXPECT_EQ(seen, "branch");
  });
}

TEST(ContextVar, AChildBegunWithStartInheritsAndKeepsItsValuesAfterTheHandOver) {
  InEveryWorld([]() -> Task<> {
    std::string seen;
    request_id.Set("starter");
    auto serve = [&](Started<> started) -> Task<> {
      EXPECT_EQ(Id(), "starter");
      request_id.Set("server");
      started();
      co_await Turns(2);
      seen = Id();
    };
    auto body = [&](Scope& scope) -> Task<> {
      co_await scope.Start(serve);
      EXPECT_EQ(Id(), "starter");
    };
    co_await WithScope(body);
    EXPECT_EQ(seen, "server");
  });
}

TEST(ContextVar, OutsideATaskThereIsNoValue) {
  EXPECT_EQ(request_id.Get(), nullptr) << "no loop";
  InEveryWorld([]() -> Task<> {
    EXPECT_EQ(request_id.Get(), nullptr) << "never set in this run";
    request_id.Set("task");
    std::string in_callback;
    Loop::Current().CallSoon([&] { in_callback = Id(); });
    co_await Turns(2);
    EXPECT_EQ(in_callback, "none");
  });
}

TEST(ContextVar, AValueLivesAsLongAsATaskThatSeesIt) {
  ContextVar<std::shared_ptr<int>> var;
  InEveryWorld([&]() -> Task<> {
    auto value = std::make_shared<int>(1);
    Gate gate;
    auto child = [&]() -> Task<> { co_await gate.Wait(); };
    auto body = [&](Scope& scope) -> Task<> {
      var.Set(value);
      TaskHandle<> task = scope.Spawn(child);
      var.Set(nullptr);
      EXPECT_EQ(value.use_count(), 2) << "the child's";
      co_await Turns(2);
      gate.Open();
      co_await task.Join();
      EXPECT_EQ(value.use_count(), 1) << "a handle keeps no values";
    };
    co_await WithScope(body);
  });
}

TEST(ContextVar, DestructorsOfAStoppedTaskStillSeeItsValues) {
  InEveryWorld([]() -> Task<> {
    class Reader {
     public:
      explicit Reader(std::string& seen) : seen_(seen) {}
      ~Reader() { seen_ = Id(); }

     private:
      std::string& seen_;
    };
    Gate never;
    std::string seen;
    auto child = [&]() -> Task<> {
      request_id.Set("child");
      const Reader reader(seen);
      co_await never.Wait();
    };
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(child);
      co_await Turns(2);
      scope.RequestStop();
    };
    co_await WithScope(body);
    EXPECT_EQ(seen, "child");
  });
}

TEST(ContextVarDeathTest, CantBeSetOutsideATask) {
  EXPECT_DEATH(request_id.Set("nobody"), "ContextVar::Set was called outside a task");
}

}  // namespace
}  // namespace gyre
