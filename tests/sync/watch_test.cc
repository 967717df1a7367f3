// What is a watch's own: channel_likes_test.cc has the rest.
#include "gyre/sync/watch.h"

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using testing::InCalmSimulation;
using testing::InEveryWorld;

template <class Form>
class WatchTest : public ::testing::Test {};
class FormName {
 public:
  template <class Form>
  static std::string GetName(int) {
    return Form::kIsShared ? "Shared" : "OneLoop";
  }
};
using Forms = ::testing::Types<internal::OneLoop, internal::ManyLoops>;
TYPED_TEST_SUITE(WatchTest, Forms, FormName);

// [H14]
TYPED_TEST(WatchTest, ClosedAfterAnUnseenValueItGivesThatAndThenTheClose) {
  InEveryWorld([]() -> Task<> {
    BasicWatch<int, TypeParam> watch(1);
    auto mine = watch.Observe();
    EXPECT_FALSE(mine.HasChanged());
    EXPECT_TRUE(watch.Set(2).ok());
    watch.Close();
    EXPECT_TRUE(mine.HasChanged());
    const absl::StatusOr<int> value = co_await mine.Changed();
    EXPECT_EQ(*value, 2);
    const absl::StatusOr<int> closed = co_await mine.Changed();
    EXPECT_EQ(closed.status().code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(watch.Set(3).code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(watch.Get(), 2);
  });
}

TYPED_TEST(WatchTest, OnlyTheNewestValueIsSeen) {
  InEveryWorld([]() -> Task<> {
    BasicWatch<std::string, TypeParam> watch("a");
    auto mine = watch.Observe();
    EXPECT_TRUE(watch.Set("b").ok());
    EXPECT_TRUE(watch.Modify([](std::string& text) { text += "c"; }).ok());
    const absl::StatusOr<std::string> value = co_await mine.Changed();
    EXPECT_EQ(*value, "bc");
    EXPECT_FALSE(mine.HasChanged());
    EXPECT_EQ(watch.Read([](const std::string& text) { return text.size(); }), 2u);
  });
}

TYPED_TEST(WatchTest, UntilWaitsForAValueThatFits) {
  InEveryWorld([]() -> Task<> {
    BasicWatch<int, TypeParam> watch(1);
    std::string ends;
    auto until = [&](int least) -> Task<> {
      auto fits = [least](int value) { return value >= least; };
      const absl::StatusOr<int> value = co_await watch.Until(fits);
      ends += std::to_string(least) + (value.ok() ? "=" + std::to_string(*value) : "-") + " ";
    };
    auto body = [&](Scope& scope) -> Task<> {
      auto settle = []() -> Task<> {
        for (int turn = 0; turn < 10; ++turn) co_await Yield();
      };
      scope.Spawn(until, 1);
      scope.Spawn(until, 5);
      TaskHandle<> stopped = scope.Spawn(until, 6);
      scope.Spawn(until, 9);
      co_await settle();
      EXPECT_EQ(std::exchange(ends, ""), "1=1 ");
      EXPECT_TRUE(watch.Set(3).ok());
      co_await settle();
      EXPECT_EQ(ends, "");
      stopped.RequestStop();
      EXPECT_TRUE(watch.Set(7).ok());
      co_await settle();
      EXPECT_EQ(std::exchange(ends, ""), "5=7 ");
      watch.Close();
      co_await settle();
      EXPECT_EQ(ends, "9- ");
      EXPECT_EQ(watch.observers(), 0u);
    };
    co_await WithScope(body);
  });
}

TYPED_TEST(WatchTest, AChangeThatThrowsIsNone) {
  InEveryWorld([]() -> Task<> {
    BasicWatch<int, TypeParam> watch(1);
    auto mine = watch.Observe();
    EXPECT_THROW(static_cast<void>(watch.Modify([](int&) { throw 1; })), int);
    EXPECT_FALSE(mine.HasChanged());
    co_return;
  });
}

template <class Form>
class WatchDeathTest : public ::testing::Test {
 public:
  using Watch = BasicWatch<int, Form>;
  using Observer = typename Watch::Observer;

  // `misuse` of an observer that a task awaits.
  static void WhileAwaited(const std::function<void(std::optional<Observer>&)>& misuse) {
    InCalmSimulation([&misuse]() -> Task<> {
      Watch watch(1);
      std::optional<Observer> mine(watch.Observe());
      auto body = [&](Scope& scope) -> Task<> {
        scope.Spawn([&mine]() -> Task<> { static_cast<void>(co_await mine->Changed()); });
        for (int turn = 0; turn < 5; ++turn) co_await Yield();
        misuse(mine);
      };
      co_await WithScope(body);
    });
  }
};
TYPED_TEST_SUITE(WatchDeathTest, Forms, FormName);

TYPED_TEST(WatchDeathTest, OutlivesItsObservers) {
  using Watch = typename TestFixture::Watch;
  auto outlived = [] {
    std::optional<Watch> watch(std::in_place, 1);
    auto mine = watch->Observe();
    watch.reset();
  };
  EXPECT_DEATH(outlived(), "a Watch was destroyed while an Observer of it is open");
}

TYPED_TEST(WatchDeathTest, AnObserverBelongsToOneTaskAtATime) {
  auto two_tasks = []() -> Task<> {
    typename TestFixture::Watch watch(1);
    auto mine = watch.Observe();
    auto wait = [&]() -> Task<> { static_cast<void>(co_await mine.Changed()); };
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(wait);
      scope.Spawn(wait);
      co_return;
    };
    co_await WithScope(body);
  };
  EXPECT_DEATH(InCalmSimulation(two_tasks), "Observer::Changed: another task waits for the same observer");
}

TYPED_TEST(WatchDeathTest, AnObserverStaysWhereItIsWhileATaskWaitsForIt) {
  EXPECT_DEATH(TestFixture::WhileAwaited([](auto& mine) { const auto moved = *std::move(mine); }),
               "an Observer was moved while a task waits for it");
  EXPECT_DEATH(TestFixture::WhileAwaited([](auto& mine) { mine.reset(); }),
               "an Observer was destroyed while a task waits for it");
}

TYPED_TEST(WatchDeathTest, AnObserverThatWasMovedFromIsOfNoUse) {
  auto moved_from = [] {
    typename TestFixture::Watch watch(1);
    auto mine = watch.Observe();
    const auto moved = std::move(mine);
    static_cast<void>(mine.HasChanged());
  };
  EXPECT_DEATH(moved_from(), "Observer::Changed: it has been moved from");
}

}  // namespace
}  // namespace gyre
