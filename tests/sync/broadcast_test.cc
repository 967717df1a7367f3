// What is a broadcast's own: channel_likes_test.cc has the rest.
#include "gyre/sync/broadcast.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

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
class BroadcastTest : public ::testing::Test {};
class FormName {
 public:
  template <class Form>
  static std::string GetName(int) {
    return Form::kIsShared ? "Shared" : "OneLoop";
  }
};
using Forms = ::testing::Types<internal::OneLoop, internal::ManyLoops>;
TYPED_TEST_SUITE(BroadcastTest, Forms, FormName);

TYPED_TEST(BroadcastTest, EverySubscriberHearsEveryItemFromItsSubscriptionOn) {
  InEveryWorld([]() -> Task<> {
    BasicBroadcast<int, TypeParam> broadcast(4);
    EXPECT_TRUE(broadcast.Send(0).ok()) << "nobody hears it";
    auto first = broadcast.Subscribe();
    EXPECT_TRUE(broadcast.Send(1).ok());
    auto second = broadcast.Subscribe();
    EXPECT_TRUE(broadcast.Send(2).ok());
    std::string heard;
    while (const auto item = first.TryReceive()) heard += std::to_string(item->item);
    heard += "/";
    while (const auto item = second.TryReceive()) heard += std::to_string(item->item);
    EXPECT_EQ(heard, "12/2");
    co_return;
  });
}

TYPED_TEST(BroadcastTest, WhoIsTooSlowGoesOnWithTheOldestThatIsLeftAndIsToldHowManyAreMissed) {
  InEveryWorld([]() -> Task<> {
    BasicBroadcast<int, TypeParam> broadcast(2);
    auto mine = broadcast.Subscribe();
    for (int item = 1; item <= 5; ++item) EXPECT_TRUE(broadcast.Send(item).ok());
    const std::optional<Heard<int>> fourth = co_await mine.Receive();
    EXPECT_EQ(fourth->item, 4);
    EXPECT_EQ(fourth->missed, 3u);
    const std::optional<Heard<int>> fifth = co_await mine.Receive();
    EXPECT_EQ(fifth->item, 5);
    EXPECT_EQ(fifth->missed, 0u);
  });
}

TYPED_TEST(BroadcastTest, OneItemWakesAllWhoWait) {
  InEveryWorld([]() -> Task<> {
    BasicBroadcast<int, TypeParam> broadcast(1);
    int sum = 0;
    auto hear = [&]() -> Task<> {
      auto mine = broadcast.Subscribe();
      const std::optional<Heard<int>> heard = co_await mine.Receive();
      sum += heard->item;
    };
    auto body = [&](Scope& scope) -> Task<> {
      for (int i = 0; i < 3; ++i) scope.Spawn(hear);
      for (int turn = 0; turn < 5; ++turn) co_await Yield();
      EXPECT_EQ(broadcast.subscriptions(), 3u);
      EXPECT_TRUE(broadcast.Send(7).ok());
    };
    co_await WithScope(body);
    EXPECT_EQ(sum, 21);
    EXPECT_EQ(broadcast.subscriptions(), 0u);
  });
}

TYPED_TEST(BroadcastTest, AnItemThatIsDisplacedMayUseTheBroadcastAsItDies) {
  InEveryWorld([]() -> Task<> {
    BasicBroadcast<std::shared_ptr<int>, TypeParam> broadcast(1);
    auto mine = broadcast.Subscribe();
    auto close = [&](int* number) {
      delete number;
      broadcast.Close();
    };
    EXPECT_TRUE(broadcast.Send(std::shared_ptr<int>(new int(1), close)).ok());
    EXPECT_TRUE(broadcast.Send(nullptr).ok());
    EXPECT_TRUE(broadcast.is_closed());
    co_return;
  });
}

template <class Form>
class BroadcastDeathTest : public ::testing::Test {
 public:
  using Broadcast = BasicBroadcast<int, Form>;
  using Subscription = typename Broadcast::Subscription;

  // `misuse` of a subscription that a task awaits.
  static void WhileAwaited(const std::function<void(std::optional<Subscription>&)>& misuse) {
    InCalmSimulation([&misuse]() -> Task<> {
      Broadcast broadcast(1);
      std::optional<Subscription> mine(broadcast.Subscribe());
      auto body = [&](Scope& scope) -> Task<> {
        scope.Spawn([&mine]() -> Task<> { static_cast<void>(co_await mine->Receive()); });
        for (int turn = 0; turn < 5; ++turn) co_await Yield();
        misuse(mine);
      };
      co_await WithScope(body);
    });
  }
};
TYPED_TEST_SUITE(BroadcastDeathTest, Forms, FormName);

TYPED_TEST(BroadcastDeathTest, KeepsOneItemAtLeast) {
  EXPECT_DEATH(typename TestFixture::Broadcast(0), "a Broadcast keeps one item at least");
}

TYPED_TEST(BroadcastDeathTest, ASubscriptionStaysWhereItIsWhileATaskWaitsForIt) {
  EXPECT_DEATH(TestFixture::WhileAwaited([](auto& mine) { const auto moved = *std::move(mine); }),
               "a Subscription was moved while a task waits for it");
  EXPECT_DEATH(TestFixture::WhileAwaited([](auto& mine) { mine.reset(); }),
               "a Subscription was destroyed while a task waits for it");
  EXPECT_DEATH(TestFixture::WhileAwaited([](auto& mine) { static_cast<void>(mine->TryReceive()); }),
               "Subscription::TryReceive while a task waits in Receive: a subscription is for one task at a time");
}

TYPED_TEST(BroadcastDeathTest, ASubscriptionThatWasMovedFromIsOfNoUse) {
  auto moved_from = [] {
    typename TestFixture::Broadcast broadcast(1);
    auto mine = broadcast.Subscribe();
    const auto moved = std::move(mine);
    static_cast<void>(mine.TryReceive());
  };
  EXPECT_DEATH(moved_from(), "Subscription::Receive: it has been moved from");
}

TYPED_TEST(BroadcastDeathTest, OutlivesItsSubscriptionsAndEachBelongsToOneTask) {
  using Broadcast = typename TestFixture::Broadcast;
  auto outlived = [] {
    std::optional<Broadcast> broadcast(std::in_place, 1);
    auto mine = broadcast->Subscribe();
    broadcast.reset();
  };
  EXPECT_DEATH(outlived(), "a Broadcast was destroyed while a Subscription to it is open");
  auto two_tasks = []() -> Task<> {
    Broadcast broadcast(1);
    auto mine = broadcast.Subscribe();
    auto hear = [&]() -> Task<> { static_cast<void>(co_await mine.Receive()); };
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(hear);
      scope.Spawn(hear);
      co_return;
    };
    co_await WithScope(body);
  };
  EXPECT_DEATH(InCalmSimulation(two_tasks), "Subscription::Receive: another task waits for the same subscription");
}

}  // namespace
}  // namespace gyre
