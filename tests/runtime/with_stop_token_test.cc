#include "gyre/runtime/with_stop_token.h"

#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/counted.h"
#include "gyre/tests/support/gate.h"
#include "gyre/tests/support/tasks.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using namespace std::chrono_literals;
using testing::Counted;
using testing::Gate;
using testing::Give;
using testing::HookLog;
using testing::InEveryWorld;
using testing::InSimulation;
using testing::OnEpoll;
using testing::Turns;
using testing::WaitAt;

TEST(WithStopToken, ATokenSetOnAnotherThreadStopsTheAwaitable) {
  OnEpoll([]() -> Task<> {
    std::stop_source source;
    std::thread thread([&] { source.request_stop(); });
    const absl::Status status = co_await WithStopToken(source.get_token(), SleepFor(kForever));
    thread.join();
    EXPECT_TRUE(absl::IsCancelled(status)) << status;
    EXPECT_NE(status.message().find("with_stop_token_test.cc"), std::string::npos) << "it says where: " << status;
    co_await Yield();  // no stop is pending
  });
}

TEST(WithStopToken, ATokenSetOnTheLoopStopsTheAwaitableAtOnceAndResumesNobody) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    std::stop_source source;
    absl::Status status;
    auto wait = [&]() -> Task<> { status = co_await WithStopToken(source.get_token(), WaitAt(never)); };
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(wait);
      co_await Turns(2);
      source.request_stop();
      EXPECT_EQ(never.waiting(), 0u);
      EXPECT_TRUE(status.ok());
    };
    co_await WithScope(body);
    EXPECT_TRUE(absl::IsCancelled(status)) << status;
  });
}

TEST(WithStopToken, ATokenThatWasSetBeforeLetsNothingBeTriedButGivesWhatNeedsNoSuspension) {
  InEveryWorld([]() -> Task<> {
    Gate open;
    open.Open();
    std::stop_source source;
    source.request_stop();
    const absl::Status stopped = co_await WithStopToken(source.get_token(), WaitAt(open));
    EXPECT_TRUE(absl::IsCancelled(stopped)) << stopped;
    EXPECT_EQ(open.asked(), 0u);
    const absl::StatusOr<int> value = co_await WithStopToken(source.get_token(), Give(42));
    EXPECT_EQ(*value, 42);
  });
}

TEST(WithStopToken, ATokenSetAfterTheEndChangesNothing) {
  InEveryWorld([]() -> Task<> {
    std::stop_source source;
    const absl::StatusOr<int> value = co_await WithStopToken(source.get_token(), Give(42));
    EXPECT_EQ(*value, 42);
    source.request_stop();
    co_await Yield();
  });
}

TEST(WithStopToken, AResultThatIsThereAllTheSameIsGiven) {
  InSimulation([]() -> Task<> {
    std::stop_source source;
    int stops = 0;
    Timer timer = Loop::Current().CallLater(5ms, [&] { source.request_stop(); });
    const absl::StatusOr<int> value =
        co_await WithStopToken(source.get_token(), testing::GiveStubbornly(10ms, stops, 42));
    EXPECT_EQ(*value, 42);
    EXPECT_EQ(stops, 1);
  });
}

TEST(WithStopToken, ATokenThatCanNeverBeSetChangesNothing) {
  InEveryWorld([]() -> Task<> {
    const absl::Status status = co_await WithStopToken(std::stop_token(), Turns(2));
    EXPECT_TRUE(status.ok()) << status;
  });
}

TEST(WithStopToken, AStopOfTheAwaitingTaskGoesOnUpwardsAlsoIfTheTokenIsSetToo) {
  InEveryWorld([]() -> Task<> {
    for (const bool token_first : {true, false}) {
      Gate never;
      std::stop_source source;
      bool went_on = false;
      auto wait = [&]() -> Task<> {
        (void)co_await WithStopToken(source.get_token(), WaitAt(never));
        went_on = true;
      };
      auto body = [&](Scope& scope) -> Task<> {
        TaskHandle<> task = scope.Spawn(wait);
        co_await Turns(2);
        if (token_first) source.request_stop();
        task.RequestStop();
        if (!token_first) source.request_stop();
      };
      co_await WithScope(body);
      EXPECT_FALSE(went_on);
    }
  });
}

TEST(WithStopToken, RethrowsWhatTheAwaitableThrowsAlsoWhileItIsStopped) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    std::stop_source source;
    auto fails_when_stopped = [&]() -> Task<> {
      (void)co_await AsOutcome(WaitAt(never));
      throw std::runtime_error("clean-up");
    };
    Loop::Current().CallSoon([&] { source.request_stop(); });
    const auto outcome = co_await AsOutcome(WithStopToken(source.get_token(), fails_when_stopped()));
    EXPECT_EQ(HookLog::What(outcome.exception()), "clean-up");
  });
}

TEST(WithStopToken, JoinsAScopesTokenToAnotherOne) {
  InEveryWorld([]() -> Task<> {
    Gate never;
    absl::Status status;
    auto body = [&](Scope& scope) -> Task<> {
      const std::stop_token token = scope.stop_token();
      auto elsewhere = [&, token]() -> Task<> { status = co_await WithStopToken(token, WaitAt(never)); };
      auto other = [&](Scope& other_scope) -> Task<> {
        other_scope.Spawn(elsewhere);
        co_await Turns(2);
        scope.RequestStop();
        EXPECT_EQ(never.waiting(), 0u);
      };
      co_await WithScope(other);
    };
    co_await WithScope(body);
  });
}

TEST(WithStopToken, KeepsResultsOfEveryKindWithoutCopying) {
  Counted::Reset();
  InEveryWorld([]() -> Task<> {
    std::stop_source source;
    int number = 5;
    auto give_counted = []() -> Task<Counted> { co_return Counted(); };
    const absl::StatusOr<testing::Fixed> fixed = co_await WithStopToken(source.get_token(), testing::GiveFixed(3));
    EXPECT_EQ(fixed->number, 3);
    const absl::StatusOr<std::unique_ptr<int>> unique =
        co_await WithStopToken(source.get_token(), testing::GiveUnique(4));
    EXPECT_EQ(**unique, 4);
    const absl::StatusOr<std::reference_wrapper<int>> lvalue =
        co_await WithStopToken(source.get_token(), testing::Refer(number));
    EXPECT_EQ(&lvalue->get(), &number);
    const absl::StatusOr<Counted> counted = co_await WithStopToken(source.get_token(), give_counted());
    EXPECT_TRUE(counted.ok());
  });
  EXPECT_EQ(Counted::copies(), 0);
  EXPECT_EQ(Counted::live(), 0);
}

}  // namespace
}  // namespace gyre
