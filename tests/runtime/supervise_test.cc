#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/counted.h"
#include "gyre/tests/support/gate.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using testing::Gate;
using testing::HookLog;
using testing::InEveryWorld;

Task<> Turns(int count) {
  for (int i = 0; i < count; ++i) co_await Yield();
}
Task<> Fail(std::string text) {
  throw std::runtime_error(text);
  co_return;
}
Task<absl::Status> BadStatus() { co_return absl::DataLossError("rotten"); }
Task<> Pass(Gate& gate, int& passed) {
  co_await gate.Wait();
  ++passed;
}

TEST(Supervise, AChildsErrorGoesToTheCallbackAndTheOthersGoOn) {
  InEveryWorld([]() -> Task<> {
    Gate gate;
    int passed = 0;
    std::vector<std::string> told;
    OnChildError on_error = [&](const TaskInfo& who, const Outcome<>& outcome) {
      told.push_back(std::string(who.name()) + ": " + std::string(outcome.status().message()));
    };
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(Pass, std::ref(gate), std::ref(passed));
      scope.SpawnNamed("thrower", Fail, std::string("boom"));
      co_await Turns(3);
      scope.SpawnNamed("refuser", BadStatus);
      co_await Turns(3);
      EXPECT_FALSE(scope.StopRequested());
      gate.Open();
    };
    co_await Supervise(on_error, body);
    EXPECT_EQ(passed, 1);
    EXPECT_EQ(told, (std::vector<std::string>{"thrower: boom", "refuser: rotten"}));
  });
}

TEST(Supervise, AChildThatIsStoppedByItsHandleIsNoError) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    int passed = 0;
    int told = 0;
    OnChildError on_error = [&](const TaskInfo&, const Outcome<>&) { ++told; };
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> child = scope.Spawn(Pass, std::ref(never), std::ref(passed));
      co_await Turns(2);
      child.RequestStop();
    };
    co_await Supervise(on_error, body);
    EXPECT_EQ(told, 0);
  });
}

TEST(Supervise, WhatTheCallbackThrowsGoesToTheHook) {
  InEveryWorld([]() -> Task<> {
    HookLog hook;
    hook.Attach();
    OnChildError on_error = [](const TaskInfo&, const Outcome<>&) { throw std::runtime_error("callback"); };
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(Fail, std::string("boom"));
      co_return;
    };
    co_await Supervise(on_error, body);
    EXPECT_EQ(hook.Texts(), std::vector<std::string>{"callback"});
    Loop::Current().SetUnhandledErrorHook(nullptr);
  });
}

TEST(Supervise, AnErrorOfTheBodyStopsAll) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    int passed = 0;
    OnChildError on_error = [](const TaskInfo&, const Outcome<>&) { ADD_FAILURE(); };
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(Pass, std::ref(never), std::ref(passed));
      co_await Turns(2);
      throw std::runtime_error("body");
    };
    const Outcome<> outcome = co_await AsOutcome(Supervise(on_error, body));
    EXPECT_EQ(HookLog::What(outcome.exception()), "body");
    EXPECT_EQ(passed, 0);
  });
}

TEST(Supervise, AStopOfTheOwnerStopsAll) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    int passed = 0;
    OnChildError on_error = [](const TaskInfo&, const Outcome<>&) { ADD_FAILURE(); };
    auto body = [&](Scope& scope) -> Task<> {
      for (int i = 0; i < 3; ++i) scope.Spawn(Pass, std::ref(never), std::ref(passed));
      co_return;
    };
    auto owner = [&]() -> Task<> { co_await Supervise(on_error, body); };
    auto outer = [&](Scope& scope) -> Task<> {
      TaskHandle<> task = scope.Spawn(owner);
      co_await Turns(4);
      EXPECT_EQ(never.waiting(), 3u);
      task.RequestStop();
      const Outcome<>& outcome = co_await task.Join();
      EXPECT_TRUE(outcome.stopped());
    };
    co_await WithScope(outer);
  });
}

TEST(Supervise, TheCallbackMayReplaceTheChildThatFailed) {
  InEveryWorld([]() -> Task<> {
    int restarts = 0;
    Scope* supervised = nullptr;
    OnChildError on_error = [&](const TaskInfo&, const Outcome<>&) {
      if (++restarts < 5) supervised->Spawn(Fail, std::string("again"));
    };
    auto body = [&](Scope& scope) -> Task<> {
      supervised = &scope;
      scope.Spawn(Fail, std::string("first"));
      co_return;
    };
    co_await Supervise(on_error, body);
    EXPECT_EQ(restarts, 5);
  });
}

TEST(Supervise, TheCallbackMayStopTheScope) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    int passed = 0;
    Scope* supervised = nullptr;
    OnChildError on_error = [&](const TaskInfo&, const Outcome<>&) { supervised->RequestStop("gave up"); };
    auto body = [&](Scope& scope) -> Task<absl::Status> {
      supervised = &scope;
      scope.Spawn(Pass, std::ref(never), std::ref(passed));
      scope.Spawn(Fail, std::string("boom"));
      co_await never.Wait();
      co_return absl::OkStatus();
    };
    const absl::Status status = co_await Supervise(on_error, body);
    EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
    EXPECT_NE(status.ToString().find("gave up"), std::string::npos) << status;
  });
}

TEST(SuperviseDeathTest, NeedsACallback) {
  auto body = [](Scope&) -> Task<> { co_return; };
  EXPECT_DEATH((void)Supervise(OnChildError(), body), "Supervise needs a callback");
}

}  // namespace
}  // namespace gyre
