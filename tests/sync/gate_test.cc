#include "gyre/sync/gate.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/sim/explorer.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/worlds.h"
#include "gyre/tests/sync/waits.h"

namespace gyre::testing {
namespace {

template <class Form>
class GateTest : public ::testing::Test {};
TYPED_TEST_SUITE(GateTest, Forms);

template <class Form>
Task<> Drain(BasicGate<Form>& gate, std::string& log, char who) {
  const Notes notes(log, who);
  co_await gate.Drain();
}

TYPED_TEST(GateTest, ClosedItRefusesNewWorkAndWaitsForTheRest) {
  InEveryWorld([]() -> Task<> {
    BasicGate<TypeParam> gate;
    std::string log;
    std::optional<BasicGatePass<TypeParam>> first(*gate.Enter());
    std::optional<BasicGatePass<TypeParam>> second(*gate.Enter());
    EXPECT_EQ(gate.inside(), 2u);
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(Drain<TypeParam>, std::ref(gate), std::ref(log), 'a');
      scope.Spawn(Drain<TypeParam>, std::ref(gate), std::ref(log), 'b');
      while (!gate.is_closed()) co_await Yield();
      const absl::StatusOr<BasicGatePass<TypeParam>> refused = gate.Enter();
      EXPECT_EQ(refused.status(), absl::UnavailableError("the gate is closed"));
      first.reset();
      for (int i = 0; i < 3; ++i) co_await Yield();
      EXPECT_EQ(log, "") << "one is still inside";
      second.reset();
    };
    co_await WithScope(body);
    EXPECT_EQ(log.size(), 2u);
    co_await gate.Drain();
  });
}

TYPED_TEST(GateTest, ClosedWithoutADrainItStillLetsPassesGo) {
  InEveryWorld([]() -> Task<> {
    BasicGate<TypeParam> gate;
    BasicGatePass<TypeParam> pass = *gate.Enter();
    gate.Close();
    gate.Close();
    EXPECT_FALSE(gate.Enter().ok());
    EXPECT_EQ(gate.inside(), 1u);
    BasicGatePass<TypeParam> moved = std::move(pass);
    pass.Leave();
    EXPECT_EQ(gate.inside(), 1u);
    EXPECT_TRUE(moved.is_inside());
    moved = BasicGatePass<TypeParam>();
    EXPECT_EQ(gate.inside(), 0u);
    co_await gate.Drain();
  });
}

TYPED_TEST(GateTest, AStoppedDrainLeavesItClosedAndAnotherMayDrainIt) {
  InEveryWorld([]() -> Task<> {
    BasicGate<TypeParam> gate;
    std::string log;
    std::optional<BasicGatePass<TypeParam>> pass(*gate.Enter());
    auto body = [&](Scope& scope) -> Task<> {
      auto stopped_before = [&](Scope& inner) -> Task<> {
        inner.RequestStop();
        co_await gate.Drain();
      };
      co_await WithScope(stopped_before);
      EXPECT_FALSE(gate.is_closed()) << "nothing is tried";
      TaskHandle<> a = scope.Spawn(Drain<TypeParam>, std::ref(gate), std::ref(log), 'a');
      while (!gate.is_closed()) co_await Yield();
      a.RequestStop();
      co_await Noted(log, 2);
      EXPECT_EQ(log, "!a");
      EXPECT_TRUE(gate.is_closed());
      TaskHandle<> b = scope.Spawn(Drain<TypeParam>, std::ref(gate), std::ref(log), 'b');
      for (int i = 0; i < 4; ++i) co_await Yield();
      pass.reset();
      b.RequestStop();  // after it was told: it ends stopped, and the gate is as it was
    };
    co_await WithScope(body);
    co_await gate.Drain();
  });
}

TYPED_TEST(GateTest, ToDestroyItWithAPassOutOrADrainGoingOnIsACheckFailure) {
  auto while_inside = [] {
    std::optional<BasicGatePass<TypeParam>> pass;
    BasicGate<TypeParam> gate;
    pass = *gate.Enter();
  };
  EXPECT_DEATH(while_inside(), "while a pass of it is held: Drain it first");
  auto while_drained = [] {
    InCalmSimulation([]() -> Task<> {
      auto gate = std::make_unique<BasicGate<TypeParam>>();
      std::string log;
      BasicGatePass<TypeParam> pass = *gate->Enter();
      auto body = [&](Scope& scope) -> Task<> {
        scope.Spawn(Drain<TypeParam>, std::ref(*gate), std::ref(log), 'a');
        while (!gate->is_closed()) co_await Yield();
        gate.reset();
      };
      co_await WithScope(body);
    });
  };
  EXPECT_DEATH(while_drained(), "a Gate was destroyed while a task drains it");
}

TYPED_TEST(GateTest, NobodyStaysInsideWhereverATaskIsStopped) {
  ExplorerOptions options;
  options.AddPass(ExplorerPass::kStopTaskDuring).AddPass(ExplorerPass::kStopTaskAfter).set_seeds(3);
  const ExplorerReport report = StopAtEveryAwait(options, [](Scope& scope) -> Task<> {
    BasicGate<TypeParam> gate;
    auto work = [&]() -> Task<> {
      const absl::StatusOr<BasicGatePass<TypeParam>> pass = gate.Enter();
      co_await Yield();
      co_await Yield();
    };
    auto inner = [&](Scope& children) -> Task<> {
      for (int i = 0; i < 2; ++i) children.Spawn(work);
      co_await Yield();
      co_await gate.Drain();
    };
    static_cast<void>(scope);
    co_await WithScope(inner);
    EXPECT_EQ(gate.inside(), 0u);
  });
  EXPECT_TRUE(report.ok()) << report;
  EXPECT_GE(report.points().size(), 5u);
}

}  // namespace
}  // namespace gyre::testing
