// The explorer itself: what it counts, when it disturbs, what it reports, how a run is replayed.
#include "gyre/runtime/sim/explorer.h"

#include <chrono>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/shielded.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/gate.h"

namespace gyre::testing {
namespace {

using namespace std::chrono_literals;

ExplorerOptions OnlyPass(ExplorerPass pass) { return ExplorerOptions().set_passes(std::vector<ExplorerPass>(1, pass)); }

Task<> ThreeAwaits() {
  co_await SleepFor(1ms);
  co_await Yield();
  co_await SleepFor(1s);
}

TEST(Explorer, CountsEveryLeafAwaitWithItsPlaceAndTime) {
  const ExplorerReport report = StopAtEveryAwait(ThreeAwaits);
  EXPECT_TRUE(report.ok()) << report;
  ASSERT_EQ(report.points().size(), 3u);
  EXPECT_NE(std::string(report.points()[2].where.function_name()).find("ThreeAwaits"), std::string::npos);
  EXPECT_EQ(report.points()[1].where.line() + 1, report.points()[2].where.line());
  EXPECT_EQ(report.points()[0].at, 0ms);
  EXPECT_EQ(report.points()[2].at, 1ms);
}

TEST(Explorer, MakesOneRunForEachPointAndPass) {
  EXPECT_EQ(StopAtEveryAwait(OnlyPass(ExplorerPass::kStopBefore), ThreeAwaits).runs(), 1 + 3u);
  EXPECT_EQ(StopAtEveryAwait(OnlyPass(ExplorerPass::kStopBefore).set_seeds(2), ThreeAwaits).runs(), 3 * (1 + 3u));
  EXPECT_EQ(StopAtEveryAwait(OnlyPass(ExplorerPass::kDeadline), ThreeAwaits).runs(), 1 + 2u) << "two share a time";
  EXPECT_EQ(StopAtEveryAwait(OnlyPass(ExplorerPass::kFailOperation), ThreeAwaits).runs(), 1u) << "none is I/O";
  EXPECT_EQ(StopAtEveryAwait(OnlyPass(ExplorerPass::kUnstarted), ThreeAwaits).runs(), 2u);
}

// How far the body had come when it was stopped at its first await.
enum class Moment { kNotBegun, kWaits, kHasResult, kResumed };

Moment MomentOf(ExplorerPass pass) {
  std::optional<Gate> gate;
  bool is_resumed = false;
  std::vector<Moment> moments;
  ExplorerOptions options = OnlyPass(pass);
  options.set_is_forking(false).AddInvariant("always", [&](const ExploredRun& run) {
    if (!run.name.ends_with("/1") || !run.was_disturbed) return true;
    EXPECT_TRUE(run.outcome.stopped());
    moments.push_back(is_resumed                             ? Moment::kResumed
                      : gate->asked() > 0 && gate->is_open() ? Moment::kHasResult
                      : gate->asked() > 0                    ? Moment::kWaits
                                                             : Moment::kNotBegun);
    return true;
  });
  const ExplorerReport report = StopAtEveryAwait(options, [&](Scope& scope) -> Task<> {
    gate.emplace();
    is_resumed = false;
    scope.Spawn([&]() -> Task<> {
      co_await SleepFor(1ms);
      gate->Open();
    });
    co_await gate->Wait();
    is_resumed = true;
  });
  EXPECT_TRUE(report.ok()) << report;
  EXPECT_EQ(moments.size(), 1u);
  return moments.at(0);
}

TEST(Explorer, StopsAtTheMomentThatThePassSays) {
  EXPECT_EQ(MomentOf(ExplorerPass::kStopBefore), Moment::kNotBegun);
  EXPECT_EQ(MomentOf(ExplorerPass::kStopDuring), Moment::kWaits);
  EXPECT_EQ(MomentOf(ExplorerPass::kStopAfter), Moment::kHasResult);
}

// Dies with the process unless its coroutine came to its end.
class AbortUnlessDone {
 public:
  AbortUnlessDone() {}
  ~AbortUnlessDone() {
    if (!is_done_) std::abort();
  }
  void SetDone() { is_done_ = true; }

 private:
  bool is_done_ = false;
};

Task<> MustNotBeStopped() {
  co_await Yield();
  AbortUnlessDone bomb;
  co_await SleepFor(1ms);
  bomb.SetDone();
}

TEST(Explorer, StopsOnceMoreBehindAShield) {
  auto body = []() -> Task<> { co_await Shielded(kForever, MustNotBeStopped()); };
  const ExplorerReport report = StopAtEveryAwait(body);
  ASSERT_FALSE(report.ok());
  for (const ExplorerFailure& failure : report.failures()) {
    EXPECT_TRUE(failure.run.starts_with("calm/stop-shielded/")) << failure.ToString();
  }
}

// Its only await is over at once, so that it has ended, and is gone, when its stop would come.
TEST(Explorer, ATaskThatEndsInTheSameStepIsNotStopped) {
  auto body = []() -> Task<> {
    Gate open;
    open.Open();
    auto pass = [&open]() -> Task<> { co_await open.Wait(); };
    auto spawn = [&pass](Scope& scope) -> Task<> {
      scope.Spawn(pass);
      TaskHandle<> task = scope.Spawn(pass);
      co_await task.Join();
    };
    co_await WithScope(spawn);
  };
  const ExplorerReport report = StopAtEveryAwait(OnlyPass(ExplorerPass::kStopTaskDuring), body);
  EXPECT_TRUE(report.ok()) << report;
  EXPECT_EQ(report.points().size(), 3u);
}

TEST(Explorer, FindsACrashAndGoesOn) {
  auto body = []() -> Task<> {
    AbortUnlessDone bomb;
    co_await SleepFor(1ms);
    co_await SleepFor(1ms);
    bomb.SetDone();
  };
  const ExplorerReport report = StopAtEveryAwait(OnlyPass(ExplorerPass::kStopBefore), body);
  ASSERT_EQ(report.failures().size(), 2u) << report;
  EXPECT_EQ(report.failures()[0].run, "calm/stop-before/1");
  EXPECT_EQ(report.failures()[1].run, "calm/stop-before/2");
  EXPECT_EQ(report.failures()[1].where.line(), report.points()[1].where.line());
  EXPECT_NE(report.failures()[0].what.find("the run crashed: Aborted"), std::string::npos) << report;
}

TEST(Explorer, FindsACoroutineThatNeverSuspends) {
  volatile bool goes_on = true;
  auto body = [&]() -> Task<> {
    co_await Yield();
    while (goes_on) continue;
  };
  const ExplorerReport report = StopAtEveryAwait(ExplorerOptions().set_hang_limit(300ms).set_failures_max(1), body);
  ASSERT_EQ(report.failures().size(), 1u);
  EXPECT_NE(report.failures()[0].what.find("the run hangs"), std::string::npos) << report;
}

TEST(Explorer, FindsABodyThatNeverEnds) {
  auto body = []() -> Task<> {
    for (;;) co_await SleepFor(1s);
  };
  const ExplorerReport report = StopAtEveryAwait(ExplorerOptions().set_awaits_max(50).set_failures_max(1), body);
  ASSERT_EQ(report.failures().size(), 1u);
  EXPECT_EQ(report.failures()[0].run, "calm/undisturbed");
  EXPECT_NE(report.failures()[0].what.find("no end after 50 awaits"), std::string::npos) << report;
}

TEST(Explorer, FindsABodyThatFailsByItself) {
  auto body = []() -> Task<absl::Status> {
    co_await Yield();
    co_return absl::DataLossError("broken");
  };
  const ExplorerReport report = StopAtEveryAwait(body);
  ASSERT_EQ(report.failures().size(), 1u) << report;
  EXPECT_EQ(report.failures()[0].what, "the body fails by itself: DATA_LOSS: broken");
  EXPECT_TRUE(StopAtEveryAwait(ExplorerOptions().set_may_fail(true), body).ok());
}

TEST(Explorer, FindsABodyThatTakesAnotherCourseEachTime) {
  int runs = 0;
  auto body = [&runs]() -> Task<> {
    if (++runs == 2) co_await Yield();
    co_await SleepFor(1ms);
    co_await SleepFor(1ms);
  };
  const ExplorerReport report = StopAtEveryAwait(OnlyPass(ExplorerPass::kStopBefore), body);
  ASSERT_FALSE(report.ok());
  EXPECT_NE(report.failures()[0].what.find("takes another course"), std::string::npos) << report;
}

TEST(Explorer, AFailedExpectationIsAFindingWithItsOutput) {
  const ExplorerReport report = StopAtEveryAwait(OnlyPass(ExplorerPass::kStopBefore), []() -> Task<> {
    struct Check {
      ~Check() { EXPECT_TRUE(is_done) << "unwound"; }
      bool is_done = false;
    } check;
    co_await Yield();
    check.is_done = true;
  });
  ASSERT_EQ(report.failures().size(), 1u);
  EXPECT_NE(report.failures()[0].what.find("an expectation of the test failed"), std::string::npos);
  EXPECT_NE(report.failures()[0].output.find("unwound"), std::string::npos) << report;
}

TEST(Explorer, ALargeBodyIsSampledTheSameWayEachTime) {
  auto body = []() -> Task<> {
    for (int i = 0; i < 3000; ++i) co_await SleepFor(1ms);
  };
  ExplorerOptions options = OnlyPass(ExplorerPass::kStopDuring);
  const ExplorerReport report = StopAtEveryAwait(options.set_points_max(20, 7), body);
  EXPECT_TRUE(report.ok()) << report;
  EXPECT_EQ(report.points().size(), 3000u);
  EXPECT_EQ(report.runs(), 21u);
  EXPECT_EQ(report.disturbed(), 20u);
}

TEST(Explorer, ReplaysOneRunInThisProcess) {
  int permits = 1;
  int runs = 0;
  auto body = [&]() -> Task<> {
    ++runs;
    co_await Yield();
    --permits;
    co_await SleepFor(1s);
    ++permits;
  };
  ExplorerOptions options;
  options.Track("permits", [&] { return permits; });
  const std::string run = StopAtEveryAwait(options, body).failures().front().run;
  EXPECT_EQ(runs, 0) << "the runs were made elsewhere";
  const ExplorerReport report = StopAtEveryAwait(options.set_replay(run), body);
  EXPECT_EQ(runs, 2) << "undisturbed, to know its course, and the one";
  ASSERT_EQ(report.failures().size(), 1u);
  EXPECT_EQ(report.failures()[0].run, run);
  EXPECT_EQ(report.failures()[0].what, "permits: 1 before the run, 0 after it");
}

TEST(Explorer, ReplayOfARunThatIsNotThereFails) {
  const ExplorerReport report = StopAtEveryAwait(ExplorerOptions().set_replay("calm/stop-before/99"), ThreeAwaits);
  ASSERT_EQ(report.failures().size(), 1u);
  EXPECT_NE(report.ToString().find("no run of this name"), std::string::npos);
}

TEST(Explorer, WorksWithoutForking) {
  const ExplorerReport report = StopAtEveryAwait(ExplorerOptions().set_is_forking(false).set_seeds(2), ThreeAwaits);
  EXPECT_TRUE(report.ok()) << report;
  EXPECT_GT(report.runs(), 20u);
}

TEST(Explorer, SaysInTheReportWhatWhereAndHowToReplay) {
  int leaked = 0;
  ExplorerOptions options = OnlyPass(ExplorerPass::kStopBefore);
  options.Track("handles", [&] { return leaked; });
  const ExplorerReport report = StopAtEveryAwait(options, [&]() -> Task<> {
    ++leaked;
    co_await ThreeAwaits();
    --leaked;
  });
  ASSERT_EQ(report.failures().size(), 3u);
  const std::string text = report.failures()[0].ToString();
  EXPECT_TRUE(text.starts_with("calm/stop-before/1 at tests/runtime/explorer_test.cc:")) << text;
  EXPECT_NE(text.find("ThreeAwaits"), std::string::npos) << text;
  EXPECT_NE(text.find("\n  awaited at tests/runtime/explorer_test.cc:"), std::string::npos) << text;
  EXPECT_NE(text.find("\n    handles: 0 before the run, 1 after it"), std::string::npos) << text;
  EXPECT_NE(text.find("options.set_replay(\"calm/stop-before/1\")"), std::string::npos) << text;
}

TEST(ExplorerDeathTest, IsNotForCodeOnALoop) {
  EXPECT_DEATH(gyre::Run([]() -> Task<> {
                 static_cast<void>(StopAtEveryAwait(ThreeAwaits));
                 co_return;
               }),
               "runs loops of its own");
}

}  // namespace
}  // namespace gyre::testing
