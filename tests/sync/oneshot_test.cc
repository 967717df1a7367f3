// What is a oneshot's own: channel_likes_test.cc has the rest.
#include "gyre/sync/oneshot.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/counted.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using testing::Counted;
using testing::InCalmSimulation;
using testing::InEveryWorld;

template <class Form>
class OneshotTest : public ::testing::Test {};
class FormName {
 public:
  template <class Form>
  static std::string GetName(int) {
    return Form::kIsShared ? "Shared" : "OneLoop";
  }
};
using Forms = ::testing::Types<internal::OneLoop, internal::ManyLoops>;
TYPED_TEST_SUITE(OneshotTest, Forms, FormName);

// [H15]
TYPED_TEST(OneshotTest, ASenderThatGoesUnsentTellsTheReceiver) {
  InEveryWorld([]() -> Task<> {
    BasicOneshot<int, TypeParam> oneshot;
    auto body = [&](Scope& scope) -> Task<> {
      auto goes = [](typename BasicOneshot<int, TypeParam>::Sender) -> Task<> {
        for (int turn = 0; turn < 5; ++turn) co_await Yield();
      };
      scope.Spawn(goes, oneshot.NewSender());
      const absl::StatusOr<int> value = co_await oneshot.Receive();
      EXPECT_EQ(value.status().code(), absl::StatusCode::kUnavailable);
      EXPECT_FALSE(oneshot.is_sent());
    };
    co_await WithScope(body);
  });
}

// [H15]
TYPED_TEST(OneshotTest, WhereTheReceiverHasGoneTheValueIsReturned) {
  InEveryWorld([]() -> Task<> {
    BasicOneshot<std::unique_ptr<int>, TypeParam> oneshot;
    auto sender = oneshot.NewSender();
    oneshot.NewReceiver().Close();
    SendResult<std::unique_ptr<int>> sent = sender.Send(std::make_unique<int>(5));
    EXPECT_FALSE(sent.ok());
    EXPECT_EQ(*sent.item(), 5);
    EXPECT_EQ(sent.status().code(), absl::StatusCode::kUnavailable);
    co_return;
  });
}

TYPED_TEST(OneshotTest, AValueThatNobodyReceivesIsDestroyedWithTheReceiver) {
  InEveryWorld([]() -> Task<> {
    Counted::Reset();
    BasicOneshot<Counted, TypeParam> oneshot;
    auto receiver = oneshot.NewReceiver();
    EXPECT_TRUE(oneshot.Send(Counted()).ok());
    EXPECT_EQ(Counted::live(), 1);
    receiver.Close();
    EXPECT_EQ(Counted::live(), 0);
    EXPECT_EQ(Counted::copies(), 0);
    co_return;
  });
}

// Whether there was a value or not.
TYPED_TEST(OneshotTest, AReceiveOfAReceiverThatHasGoneGivesUnavailable) {
  InEveryWorld([]() -> Task<> {
    for (const bool is_sent : {false, true}) {
      Counted::Reset();
      BasicOneshot<Counted, TypeParam> oneshot;
      std::optional<typename BasicOneshot<Counted, TypeParam>::Receiver> receiver(oneshot.NewReceiver());
      auto receive = receiver->Receive();
      if (is_sent) {
        EXPECT_TRUE(oneshot.Send(Counted()).ok());
      }
      receiver.reset();
      EXPECT_EQ(Counted::live(), 0);
      const absl::StatusOr<Counted> of_the_receiver = co_await std::move(receive);
      EXPECT_EQ(of_the_receiver.status().code(), absl::StatusCode::kUnavailable);
      const absl::StatusOr<Counted> of_the_oneshot = co_await oneshot.Receive();
      EXPECT_EQ(of_the_oneshot.status().code(), absl::StatusCode::kUnavailable);
      if (is_sent) continue;
      const SendResult<Counted> refused = oneshot.Send(Counted());
      EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnavailable);
    }
  });
}

TYPED_TEST(OneshotTest, AReceiverThatGoesEndsTheReceiveThatWaitsThroughIt) {
  InEveryWorld([]() -> Task<> {
    BasicOneshot<int, TypeParam> oneshot;
    auto body = [&](Scope& scope) -> Task<> {
      auto receiver = oneshot.NewReceiver();
      auto receive = [&]() -> Task<> {
        const absl::StatusOr<int> value = co_await receiver.Receive();
        EXPECT_EQ(value.status().code(), absl::StatusCode::kUnavailable);
      };
      TaskHandle<> waits = scope.Spawn(receive);
      for (int turn = 0; turn < 5; ++turn) co_await Yield();
      EXPECT_FALSE(waits.Done());
      receiver.Close();
      const Outcome<>& end = co_await waits.Join();
      EXPECT_TRUE(end.ok());
    };
    co_await WithScope(body);
  });
}

// With the oneshot, the receiver, the task that had it handed over, or who got it back.
TYPED_TEST(OneshotTest, AValueIsDestroyedOnceWhereverItEnds) {
  InEveryWorld([]() -> Task<> {
    Counted::Reset();
    using Oneshot = BasicOneshot<Counted, TypeParam>;
    {
      Oneshot unread;
      EXPECT_TRUE(unread.Send(Counted()).ok());
      EXPECT_EQ(Counted::live(), 1);
    }
    EXPECT_EQ(Counted::live(), 0);
    Oneshot stopped;
    auto body = [&](Scope& scope) -> Task<> {
      auto receive = [&]() -> Task<> {
        const absl::StatusOr<Counted> value = co_await stopped.Receive();
        EXPECT_TRUE(value.ok());
        EXPECT_EQ(Counted::live(), 1);
      };
      TaskHandle<> receiver = scope.Spawn(receive);
      for (int turn = 0; turn < 5; ++turn) co_await Yield();
      EXPECT_TRUE(stopped.Send(Counted()).ok());
      receiver.RequestStop();
      stopped.Close();
      co_return;
    };
    co_await WithScope(body);
    EXPECT_EQ(Counted::live(), 0);
    {
      Oneshot closed;
      closed.Close();
      const SendResult<Counted> refused = closed.Send(Counted());
      EXPECT_FALSE(refused.ok());
      EXPECT_EQ(Counted::live(), 1);
    }
    EXPECT_EQ(Counted::live(), 0);
    EXPECT_EQ(Counted::copies(), 0);
  });
}

TYPED_TEST(OneshotTest, CarriesWhatCanBeMadeByAMoveOnly) {
  InEveryWorld([]() -> Task<> {
    class Fixed {
     public:
      explicit Fixed(int its_number) : number(its_number) {}
      Fixed(Fixed&&) noexcept = default;
      Fixed& operator=(Fixed&&) = delete;
      const int number;
    };
    BasicOneshot<Fixed, TypeParam> oneshot;
    EXPECT_TRUE(oneshot.Send(Fixed(5)).ok());
    const absl::StatusOr<Fixed> fixed = co_await oneshot.Receive();
    EXPECT_EQ(fixed->number, 5);
    BasicOneshot<Fixed, TypeParam> unread;
    auto receiver = unread.NewReceiver();
    EXPECT_TRUE(unread.Send(Fixed(6)).ok());
    receiver.Close();
    EXPECT_EQ(unread.TryReceive().has_value(), false);
  });
}

TYPED_TEST(OneshotTest, AStatusComesOutAsItWentIn) {
  InEveryWorld([]() -> Task<> {
    BasicOneshot<absl::Status, TypeParam> status;
    EXPECT_TRUE(status.NewSender().Send(absl::DataLossError("sent")).ok());
    const absl::Status received = co_await status.NewReceiver().Receive();
    EXPECT_EQ(received, absl::DataLossError("sent"));
    BasicOneshot<absl::StatusOr<int>, TypeParam> value;
    EXPECT_TRUE(value.Send(7).ok());
    const absl::StatusOr<int> seven = co_await value.Receive();
    EXPECT_EQ(*seven, 7);
    BasicOneshot<absl::StatusOr<int>, TypeParam> closed;
    closed.Close();
    const absl::StatusOr<int> none = co_await closed.Receive();
    EXPECT_EQ(none.status().code(), absl::StatusCode::kUnavailable);
  });
}

TYPED_TEST(OneshotTest, TryReceiveGivesTheValueOnce) {
  InEveryWorld([]() -> Task<> {
    BasicOneshot<int, TypeParam> oneshot;
    EXPECT_EQ(oneshot.TryReceive(), std::nullopt);
    EXPECT_TRUE(oneshot.Send(3).ok());
    EXPECT_EQ(oneshot.TryReceive(), 3);
    EXPECT_EQ(oneshot.TryReceive(), std::nullopt);
    co_return;
  });
}

template <class Form>
class OneshotDeathTest : public ::testing::Test {};
TYPED_TEST_SUITE(OneshotDeathTest, Forms, FormName);

TYPED_TEST(OneshotDeathTest, SendsAndReceivesOnce) {
  using Oneshot = BasicOneshot<int, TypeParam>;
  auto send_twice = [] {
    Oneshot oneshot;
    static_cast<void>(oneshot.Send(1));
    static_cast<void>(oneshot.Send(2));
  };
  EXPECT_DEATH(send_twice(), "Oneshot::Send: a value was sent before");
  auto two_senders = [] {
    Oneshot oneshot;
    auto one = oneshot.NewSender();
    auto two = oneshot.NewSender();
  };
  EXPECT_DEATH(two_senders(), "Oneshot::NewSender: it has one");
  auto two_receivers = [] {
    Oneshot oneshot;
    auto one = oneshot.NewReceiver();
    auto two = oneshot.NewReceiver();
  };
  EXPECT_DEATH(two_receivers(), "Oneshot::NewReceiver: it has one");
  auto receive_twice = []() -> Task<> {
    Oneshot oneshot;
    static_cast<void>(oneshot.Send(1));
    static_cast<void>(co_await oneshot.Receive());
    static_cast<void>(co_await oneshot.Receive());
  };
  EXPECT_DEATH(InCalmSimulation(receive_twice), "Oneshot::Receive: its value was received before");
  auto two_waiters = []() -> Task<> {
    Oneshot oneshot;
    auto receive = [&]() -> Task<> { static_cast<void>(co_await oneshot.Receive()); };
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(receive);
      scope.Spawn(receive);
      co_return;
    };
    co_await WithScope(body);
  };
  EXPECT_DEATH(InCalmSimulation(two_waiters), "Oneshot::Receive: another task waits for the value");
}

TYPED_TEST(OneshotDeathTest, OutlivesItsHandlesWhichAreOfNoUseOnceUsedOrClosed) {
  using Oneshot = BasicOneshot<int, TypeParam>;
  auto outlived_by_sender = [] {
    std::optional<Oneshot> oneshot(std::in_place);
    auto sender = oneshot->NewSender();
    oneshot.reset();
  };
  EXPECT_DEATH(outlived_by_sender(), "a Oneshot was destroyed while its Sender or Receiver is open");
  auto outlived_by_receiver = [] {
    std::optional<Oneshot> oneshot(std::in_place);
    auto receiver = oneshot->NewReceiver();
    oneshot.reset();
  };
  EXPECT_DEATH(outlived_by_receiver(), "a Oneshot was destroyed while its Sender or Receiver is open");
  auto used_sender = [] {
    Oneshot oneshot;
    auto sender = oneshot.NewSender();
    static_cast<void>(sender.Send(1));
    static_cast<void>(sender.Send(2));
  };
  EXPECT_DEATH(used_sender(), "Oneshot::Sender::Send: it has been used, or moved from");
  auto closed_receiver = [] {
    Oneshot oneshot;
    auto receiver = oneshot.NewReceiver();
    receiver.Close();
    static_cast<void>(receiver.Receive());
  };
  EXPECT_DEATH(closed_receiver(), "Oneshot::Receiver::Receive: it has been closed, or moved from");
}

}  // namespace
}  // namespace gyre
