// Channel and SharedChannel: both forms in one loop. tests/stress/sync_channel_stress_test.cc has several loops.
#include "gyre/sync/channel.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/runtime/is_unwinding.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/task_handle.h"
#include "gyre/runtime/try.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/counted.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using testing::Counted;
using testing::InCalmSimulation;
using testing::InEveryWorld;

// Until nothing more happens, also where wake-ups go through the inbox.
Task<> Settle() {
  for (int turn = 0; turn < 10; ++turn) co_await Yield();
}

// Notes how tasks end: "a+" for sent, "a-" for refused, "a5" for an item, "a." for the end, "a!" for stopped.
class Log {
 public:
  class Ending {
   public:
    Ending(Log& log, char who) : log_(log), who_(who) {}
    ~Ending() {
      if (IsUnwinding()) log_.Add(who_, "!");
    }

   private:
    Log& log_;
    const char who_;
  };
  void Add(char who, const std::string& how) { text_ += who + how + " "; }
  std::string Take() { return std::exchange(text_, ""); }

 private:
  std::string text_;
};

template <class Sending>
Task<> SendAs(Log& log, char who, Sending& channel, int item) {
  const Log::Ending ending(log, who);
  SendResult<int> sent = co_await channel.Send(item);
  if (!sent.ok()) {
    EXPECT_EQ(sent.item(), item);
    EXPECT_EQ(sent.status().code(), absl::StatusCode::kUnavailable);
  }
  log.Add(who, sent.ok() ? "+" : "-");
}

template <class Receiving>
Task<> ReceiveAs(Log& log, char who, Receiving& channel) {
  const Log::Ending ending(log, who);
  const std::optional<int> item = co_await channel.Receive();
  log.Add(who, item.has_value() ? std::to_string(*item) : ".");
}

template <class Slot, class Sending>
Task<> ReserveAs(Log& log, char who, Sending& channel, std::vector<Slot>& slots) {
  const Log::Ending ending(log, who);
  absl::StatusOr<Slot> slot = co_await channel.Reserve();
  log.Add(who, slot.ok() ? "+" : "-");
  if (slot.ok()) slots.push_back(*std::move(slot));
}

template <class Form>
class ChannelTest : public ::testing::Test {
 public:
  using Channel = BasicChannel<int, Form>;
  using Sender = typename Channel::Sender;
  using Receiver = typename Channel::Receiver;
  using Slot = typename Channel::Slot;

  static auto Send(Scope& scope, Log& log, char who, Channel& channel, int item) {
    return scope.Spawn(SendAs<Channel>, std::ref(log), who, std::ref(channel), item);
  }
  static auto Send(Scope& scope, Log& log, char who, Sender& sender, int item) {
    return scope.Spawn(SendAs<Sender>, std::ref(log), who, std::ref(sender), item);
  }
  static auto Receive(Scope& scope, Log& log, char who, Channel& channel) {
    return scope.Spawn(ReceiveAs<Channel>, std::ref(log), who, std::ref(channel));
  }
  static auto Receive(Scope& scope, Log& log, char who, Receiver& receiver) {
    return scope.Spawn(ReceiveAs<Receiver>, std::ref(log), who, std::ref(receiver));
  }
  static auto Reserve(Scope& scope, Log& log, char who, Channel& channel, std::vector<Slot>& slots) {
    return scope.Spawn(ReserveAs<Slot, Channel>, std::ref(log), who, std::ref(channel), std::ref(slots));
  }
};

// A test's body: what it spawns ends before its channel does.
using Body = std::function<Task<>(Scope&, Log&)>;
testing::WorldRoot Root(const Body& body) {
  return [&body]() -> Task<> {
    Log log;
    auto in_scope = [&](Scope& scope) -> Task<> { co_await body(scope, log); };
    co_await WithScope(in_scope);
  };
}

class FormName {
 public:
  template <class Form>
  static std::string GetName(int) {
    return Form::kIsShared ? "Shared" : "OneLoop";
  }
};
using Forms = ::testing::Types<internal::OneLoop, internal::ManyLoops>;
TYPED_TEST_SUITE(ChannelTest, Forms, FormName);

TYPED_TEST(ChannelTest, ItemsComeOutInTheOrderInWhichTheyWereSent) {
  InEveryWorld(Root([](Scope&, Log&) -> Task<> {
    typename TestFixture::Channel channel(3);
    for (int round = 0; round < 5; ++round) {
      for (int i = 0; i < 3; ++i) {
        const SendResult<int> sent = co_await channel.Send(10 * round + i);
        EXPECT_TRUE(sent.ok());
      }
      EXPECT_EQ(channel.size(), 3u);
      for (int i = 0; i < 3; ++i) {
        const std::optional<int> item = co_await channel.Receive();
        EXPECT_EQ(item, 10 * round + i);
      }
    }
  }));
}

TYPED_TEST(ChannelTest, ASendWaitsWhileThereIsNoPlaceAndSendersGetInInOrder) {
  InCalmSimulation(Root([](Scope& scope, Log& log) -> Task<> {
    typename TestFixture::Channel channel(1);
    for (char who : {'a', 'b', 'c'}) TestFixture::Send(scope, log, who, channel, who - 'a');
    co_await Settle();
    EXPECT_EQ(log.Take(), "a+ ");
    EXPECT_EQ(channel.waiting_senders(), 2u);
    EXPECT_EQ(channel.TryReceive(), 0);
    EXPECT_EQ(channel.size(), 1u) << "b's item took the place at once";
    co_await Settle();
    EXPECT_EQ(log.Take(), "b+ ");
    EXPECT_EQ(channel.TryReceive(), 1);
    EXPECT_EQ(channel.TryReceive(), 2);
    EXPECT_EQ(channel.TryReceive(), std::nullopt);
    co_await Settle();
    EXPECT_EQ(log.Take(), "c+ ");
  }));
}

TYPED_TEST(ChannelTest, NobodyOvertakes) {
  InCalmSimulation(Root([](Scope& scope, Log& log) -> Task<> {
    typename TestFixture::Channel channel(1);
    std::optional<typename TestFixture::Slot> slot = channel.TryReserve();
    std::vector<typename TestFixture::Slot> slots;
    TestFixture::Reserve(scope, log, 'a', channel, slots);
    TestFixture::Receive(scope, log, 'r', channel);
    co_await Settle();
    EXPECT_FALSE(channel.TrySend(1).ok()) << "r waits, but a was here first";
    EXPECT_FALSE(channel.TryReserve().has_value());
    TestFixture::Send(scope, log, 'b', channel, 2);
    co_await Settle();
    EXPECT_EQ(log.Take(), "");
    EXPECT_TRUE(slot->Send(3).ok());
    co_await Settle();
    EXPECT_EQ(log.Take(), "r3 a+ ") << "b waits for a's place, or a receiver";
    TestFixture::Receive(scope, log, 's', channel);
    co_await Settle();
    EXPECT_EQ(log.Take(), "s2 b+ ");
    slots.clear();
  }));
}

// [H02]
TYPED_TEST(ChannelTest, AnItemForWhichAReceiverWaitsIsThatReceiversAtOnce) {
  InEveryWorld(Root([](Scope& scope, Log& log) -> Task<> {
    typename TestFixture::Channel channel(2);
    TestFixture::Receive(scope, log, 'r', channel);
    co_await Settle();
    EXPECT_TRUE(channel.TrySend(5).ok());
    EXPECT_EQ(channel.TryReceive(), std::nullopt);
    EXPECT_EQ(channel.size(), 0u);
    co_await Settle();
    EXPECT_EQ(log.Take(), "r5 ");
  }));
}

TYPED_TEST(ChannelTest, ReceiversAreServedInOrderOfArrival) {
  InCalmSimulation(Root([](Scope& scope, Log& log) -> Task<> {
    typename TestFixture::Channel channel(2);
    for (char who : {'a', 'b', 'c'}) TestFixture::Receive(scope, log, who, channel);
    co_await Settle();
    for (int item : {1, 2, 3}) EXPECT_TRUE(channel.TrySend(item).ok());
    co_await Settle();
    EXPECT_EQ(log.Take(), "a1 b2 c3 ");
  }));
}

// [H03]
TYPED_TEST(ChannelTest, WhenTheLastSenderHasGoneWhatIsThereComesFirstAndThenTheEnd) {
  InEveryWorld(Root([](Scope& scope, Log& log) -> Task<> {
    typename TestFixture::Channel channel(2);
    {
      typename TestFixture::Sender first = channel.NewSender();
      typename TestFixture::Sender second = channel.NewSender();
      EXPECT_TRUE(first.TrySend(1).ok());
      EXPECT_TRUE(second.TrySend(2).ok());
      first.Close();
      first.Close();
      EXPECT_FALSE(channel.is_closed());
      EXPECT_EQ(first.TrySend(3).status().code(), absl::StatusCode::kUnavailable);
    }
    EXPECT_TRUE(channel.is_closed());
    EXPECT_FALSE(channel.is_at_end());
    for (int expected : {1, 2}) {
      const std::optional<int> item = co_await channel.Receive();
      EXPECT_EQ(item, expected);
    }
    const std::optional<int> end = co_await channel.Receive();
    EXPECT_EQ(end, std::nullopt);
    EXPECT_TRUE(channel.is_at_end());
    TestFixture::Send(scope, log, 'a', channel, 4);
    co_await Settle();
    EXPECT_EQ(log.Take(), "a- ");
  }));
}

TYPED_TEST(ChannelTest, ReceiversThatWaitGetTheEndWhenItIsClosed) {
  InCalmSimulation(Root([](Scope& scope, Log& log) -> Task<> {
    typename TestFixture::Channel channel(2);
    for (char who : {'a', 'b'}) TestFixture::Receive(scope, log, who, channel);
    co_await Settle();
    channel.Close();
    channel.Close();
    co_await Settle();
    EXPECT_EQ(log.Take(), "a. b. ");
  }));
}

// [H05]
TYPED_TEST(ChannelTest, AClosedSenderRefusesOnlyWhoWaitsThroughIt) {
  InCalmSimulation(Root([](Scope& scope, Log& log) -> Task<> {
    typename TestFixture::Channel channel(1);
    typename TestFixture::Sender mine = channel.NewSender();
    typename TestFixture::Sender other = channel.NewSender();
    TestFixture::Send(scope, log, 'a', mine, 1);
    TestFixture::Send(scope, log, 'b', mine, 2);
    TestFixture::Send(scope, log, 'c', other, 3);
    TestFixture::Send(scope, log, 'd', mine, 4);
    co_await Settle();
    EXPECT_EQ(log.Take(), "a+ ");
    mine.Close();
    co_await Settle();
    EXPECT_EQ(log.Take(), "b- d- ");
    EXPECT_EQ(channel.TryReceive(), 1);
    co_await Settle();
    EXPECT_EQ(log.Take(), "c+ ");
    EXPECT_EQ(channel.TryReceive(), 3);
    EXPECT_FALSE(channel.is_closed());
  }));
}

TYPED_TEST(ChannelTest, AClosedReceiverEndsOnlyWhoWaitsThroughIt) {
  InCalmSimulation(Root([](Scope& scope, Log& log) -> Task<> {
    typename TestFixture::Channel channel(1);
    typename TestFixture::Receiver mine = channel.NewReceiver();
    typename TestFixture::Receiver other = channel.NewReceiver();
    TestFixture::Receive(scope, log, 'a', mine);
    TestFixture::Receive(scope, log, 'b', other);
    TestFixture::Receive(scope, log, 'c', mine);
    co_await Settle();
    mine.Close();
    co_await Settle();
    EXPECT_EQ(log.Take(), "a. c. ");
    EXPECT_TRUE(channel.TrySend(1).ok());
    co_await Settle();
    EXPECT_EQ(log.Take(), "b1 ");
    EXPECT_EQ(mine.TryReceive(), std::nullopt);
  }));
}

// [H05] Also where another handle has come since.
TYPED_TEST(ChannelTest, WhatAHandleBeganIsRefusedOnceItIsClosed) {
  InEveryWorld([]() -> Task<> {
    typename TestFixture::Channel channel(2);
    typename TestFixture::Sender other = channel.NewSender();
    typename TestFixture::Sender mine = channel.NewSender();
    auto send = mine.Send(1);
    auto reserve = mine.Reserve();
    mine.Close();
    mine = channel.NewSender();
    SendResult<int> sent = co_await std::move(send);
    EXPECT_EQ(sent.status().code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(sent.item(), 1);
    const absl::StatusOr<typename TestFixture::Slot> slot = co_await std::move(reserve);
    EXPECT_EQ(slot.status().code(), absl::StatusCode::kUnavailable);
    EXPECT_TRUE(mine.TrySend(2).ok());
    EXPECT_EQ(channel.size(), 1u);

    typename TestFixture::Receiver receiver = channel.NewReceiver();
    auto receive = receiver.Receive();
    typename TestFixture::Receiver last = channel.NewReceiver();
    receiver = std::move(last);
    const std::optional<int> none = co_await std::move(receive);
    EXPECT_EQ(none, std::nullopt);
    EXPECT_EQ(receiver.TryReceive(), 2);
  });
}

TYPED_TEST(ChannelTest, WhatAHandleBeganGoesOnWhenItIsMoved) {
  InEveryWorld([]() -> Task<> {
    typename TestFixture::Channel channel(1);
    typename TestFixture::Sender sender = channel.NewSender();
    auto send = sender.Send(1);
    const typename TestFixture::Sender moved = std::move(sender);
    const SendResult<int> sent = co_await std::move(send);
    EXPECT_TRUE(sent.ok());
    EXPECT_TRUE(moved.is_open());
    EXPECT_EQ(channel.TryReceive(), 1);
  });
}

TYPED_TEST(ChannelTest, WhenTheLastReceiverHasGoneSendersGetTheirItemsBack) {
  InCalmSimulation(Root([](Scope& scope, Log& log) -> Task<> {
    typename TestFixture::Channel channel(2);
    std::optional<typename TestFixture::Slot> slot;
    {
      typename TestFixture::Receiver receiver = channel.NewReceiver();
      slot = channel.TryReserve();
      for (char who : {'a', 'b'}) TestFixture::Send(scope, log, who, channel, who);
      co_await Settle();
      EXPECT_EQ(log.Take(), "a+ ");
    }
    co_await Settle();
    EXPECT_EQ(log.Take(), "b- ");
    SendResult<int> sent = slot->Send(7);
    EXPECT_FALSE(sent.ok());
    EXPECT_EQ(sent.item(), 7);
    EXPECT_EQ(channel.TrySend(8).status().code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(channel.size(), 0u);
  }));
}

TYPED_TEST(ChannelTest, WhatIsLeftIsDestroyedWithTheLastReceiver) {
  InEveryWorld([]() -> Task<> {
    Counted::Reset();
    BasicChannel<Counted, TypeParam> channel(3);
    auto receiver = channel.NewReceiver();
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(channel.TrySend(Counted()).ok());
    EXPECT_EQ(Counted::live(), 3);
    receiver.Close();
    EXPECT_EQ(Counted::live(), 0);
    EXPECT_EQ(Counted::copies(), 0);
    co_return;
  });
}

TYPED_TEST(ChannelTest, AnItemsDestructorMayUseTheChannel) {
  InEveryWorld([]() -> Task<> {
    class Closes {
     public:
      explicit Closes(std::function<void()> close) : close_(std::move(close)) {}
      Closes(Closes&& other) noexcept : close_(std::exchange(other.close_, nullptr)) {}
      ~Closes() {
        if (close_) close_();
      }

     private:
      std::function<void()> close_;
    };
    BasicChannel<Closes, TypeParam> channel(1);
    auto receiver = channel.NewReceiver();
    EXPECT_TRUE(channel.TrySend(Closes([&channel] { channel.Close(); })).ok());
    receiver.Close();
    co_return;
  });
}

// [H06] Receive and send in one tick: handed over, it is delivered.
TYPED_TEST(ChannelTest, AReceiveStoppedAfterTheHandOverDeliversTheItem) {
  InEveryWorld(Root([](Scope& scope, Log& log) -> Task<> {
    typename TestFixture::Channel channel(1);
    auto receive = TestFixture::Receive(scope, log, 'r', channel);
    co_await Settle();
    EXPECT_TRUE(channel.TrySend(5).ok());
    receive.RequestStop();
    co_await Settle();
    EXPECT_EQ(log.Take(), "r5 ");
  }));
}

// [H06] Stopped before: the next receiver's, or it stays.
TYPED_TEST(ChannelTest, AReceiveStoppedBeforeTheSendLeavesTheItemToTheNext) {
  InEveryWorld(Root([](Scope& scope, Log& log) -> Task<> {
    typename TestFixture::Channel channel(1);
    auto first = TestFixture::Receive(scope, log, 'a', channel);
    co_await Settle();
    auto second = TestFixture::Receive(scope, log, 'b', channel);
    co_await Settle();
    first.RequestStop();
    EXPECT_TRUE(channel.TrySend(5).ok());
    co_await Settle();
    EXPECT_TRUE(log.Take().find("b5 ") != std::string::npos);
    auto third = TestFixture::Receive(scope, log, 'c', channel);
    co_await Settle();
    third.RequestStop();
    EXPECT_TRUE(channel.TrySend(6).ok());
    co_await Settle();
    EXPECT_EQ(log.Take(), "c! ");
    EXPECT_EQ(channel.TryReceive(), 6);
  }));
}

TYPED_TEST(ChannelTest, InAStoppedScopeNothingIsTried) {
  InEveryWorld(Root([](Scope& scope, Log& log) -> Task<> {
    typename TestFixture::Channel channel(1);
    EXPECT_TRUE(channel.TrySend(1).ok());
    TestFixture::Receive(scope, log, 'r', channel).RequestStop();
    co_await Settle();
    EXPECT_EQ(log.Take(), "r! ");
    EXPECT_EQ(channel.TryReceive(), 1);
    TestFixture::Send(scope, log, 's', channel, 2).RequestStop();
    co_await Settle();
    EXPECT_EQ(log.Take(), "s! ");
    EXPECT_EQ(channel.size(), 0u);
  }));
}

TYPED_TEST(ChannelTest, AStoppedSendHasSentNothingAndLetsThoseBehindItIn) {
  InCalmSimulation(Root([](Scope& scope, Log& log) -> Task<> {
    typename TestFixture::Channel channel(1);
    std::optional<typename TestFixture::Slot> slot = channel.TryReserve();
    std::vector<typename TestFixture::Slot> slots;
    auto first = TestFixture::Reserve(scope, log, 'a', channel, slots);
    TestFixture::Receive(scope, log, 'r', channel);
    co_await Settle();
    TestFixture::Send(scope, log, 'b', channel, 2);
    co_await Settle();
    EXPECT_EQ(log.Take(), "");
    first.RequestStop();
    co_await Settle();
    EXPECT_EQ(channel.waiting_senders(), 0u) << "b needs no place: r waits";
    std::string ends = log.Take();
    EXPECT_TRUE(ends == "b+ r2 a! " || ends == "a! b+ r2 " || ends == "r2 b+ a! " || ends == "a! r2 b+ ") << ends;
    slot->Release();
  }));
}

TYPED_TEST(ChannelTest, ASendStoppedAfterItsItemWasTakenReportsThatItWasSent) {
  InEveryWorld(Root([](Scope& scope, Log& log) -> Task<> {
    typename TestFixture::Channel channel(0);
    auto send = TestFixture::Send(scope, log, 's', channel, 3);
    co_await Settle();
    EXPECT_EQ(channel.TryReceive(), 3);
    send.RequestStop();
    co_await Settle();
    EXPECT_EQ(log.Take(), "s+ ");
  }));
}

TYPED_TEST(ChannelTest, ASendStoppedAfterItWasRefusedGivesItsItemBack) {
  InEveryWorld(Root([](Scope& scope, Log& log) -> Task<> {
    typename TestFixture::Channel channel(0);
    auto send = TestFixture::Send(scope, log, 's', channel, 3);
    co_await Settle();
    channel.Close();
    send.RequestStop();
    co_await Settle();
    EXPECT_EQ(log.Take(), "s- ");
  }));
}

// [H08]
TYPED_TEST(ChannelTest, ASlotDroppedUnusedLetsTheNextSenderIn) {
  InEveryWorld(Root([](Scope& scope, Log& log) -> Task<> {
    typename TestFixture::Channel channel(1);
    {
      const absl::StatusOr<typename TestFixture::Slot> slot = co_await channel.Reserve();
      EXPECT_TRUE(slot.ok());
      TestFixture::Send(scope, log, 's', channel, 4);
      co_await Settle();
      EXPECT_EQ(log.Take(), "");
      EXPECT_EQ(channel.reserved(), 1u);
    }
    co_await Settle();
    EXPECT_EQ(log.Take(), "s+ ");
    EXPECT_EQ(channel.TryReceive(), 4);
  }));
}

// [H09]
TYPED_TEST(ChannelTest, WhatASlotBringsAfterTheCloseComesBeforeTheEnd) {
  InEveryWorld(Root([](Scope& scope, Log& log) -> Task<> {
    typename TestFixture::Channel channel(2);
    std::optional<typename TestFixture::Slot> used = channel.TryReserve();
    std::optional<typename TestFixture::Slot> dropped = channel.TryReserve();
    typename TestFixture::Receiver receiver = channel.NewReceiver();
    channel.Close();
    TestFixture::Receive(scope, log, 'a', receiver);
    co_await Settle();
    EXPECT_EQ(log.Take(), "") << "a slot may still bring something";
    EXPECT_TRUE(used->Send(1).ok());
    co_await Settle();
    EXPECT_EQ(log.Take(), "a1 ");
    TestFixture::Receive(scope, log, 'b', receiver);
    co_await Settle();
    EXPECT_EQ(log.Take(), "");
    dropped.reset();
    co_await Settle();
    EXPECT_EQ(log.Take(), "b. ");
  }));
}

// [H09] The close that waits for slots is the channel's, above. The last receiver's own leaves nobody who could receive: the
// end comes at once, and a slot gives its item back.
TYPED_TEST(ChannelTest, AfterTheLastReceiversCloseTheEndDoesNotWaitForSlotsAndTheyGiveTheirItemsBack) {
  InEveryWorld(Root([](Scope& scope, Log& log) -> Task<> {
    typename TestFixture::Channel channel(2);
    std::optional<typename TestFixture::Slot> used = channel.TryReserve();
    std::optional<typename TestFixture::Slot> dropped = channel.TryReserve();
    typename TestFixture::Receiver receiver = channel.NewReceiver();
    TestFixture::Receive(scope, log, 'a', receiver);
    co_await Settle();
    receiver.Close();
    co_await Settle();
    EXPECT_EQ(log.Take(), "a. ");
    EXPECT_TRUE(channel.is_at_end());
    SendResult<int> sent = used->Send(2);
    EXPECT_EQ(sent.status().code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(sent.item(), 2);
    dropped.reset();
    EXPECT_EQ(channel.reserved(), 0u);
    typename TestFixture::Receiver later = channel.NewReceiver();
    const std::optional<int> end = co_await later.Receive();
    EXPECT_EQ(end, std::nullopt);
  }));
}

// [H09] Where another receiver is open, a slot brings its item to that one.
TYPED_TEST(ChannelTest, WhatASlotBringsAfterOneReceiversCloseIsTheNextReceivers) {
  InEveryWorld(Root([](Scope& scope, Log& log) -> Task<> {
    typename TestFixture::Channel channel(1);
    std::optional<typename TestFixture::Slot> slot = channel.TryReserve();
    typename TestFixture::Receiver mine = channel.NewReceiver();
    typename TestFixture::Receiver other = channel.NewReceiver();
    TestFixture::Receive(scope, log, 'a', mine);
    co_await Settle();
    TestFixture::Receive(scope, log, 'b', other);
    co_await Settle();
    mine.Close();
    co_await Settle();
    EXPECT_EQ(log.Take(), "a. ");
    EXPECT_FALSE(channel.is_closed());
    EXPECT_TRUE(slot->Send(5).ok());
    co_await Settle();
    EXPECT_EQ(log.Take(), "b5 ");
  }));
}

TYPED_TEST(ChannelTest, AReserveStoppedAfterTheHandOverPassesThePlaceOn) {
  InEveryWorld(Root([](Scope& scope, Log& log) -> Task<> {
    typename TestFixture::Channel channel(1);
    std::vector<typename TestFixture::Slot> slots;
    EXPECT_TRUE(channel.TrySend(1).ok());
    auto first = TestFixture::Reserve(scope, log, 'a', channel, slots);
    co_await Settle();
    TestFixture::Reserve(scope, log, 'b', channel, slots);
    co_await Settle();
    EXPECT_EQ(channel.TryReceive(), 1);
    first.RequestStop();
    co_await Settle();
    EXPECT_EQ(log.Take(), "a! b+ ");
    EXPECT_EQ(slots.size(), 1u);
    slots.clear();
    EXPECT_EQ(channel.reserved(), 0u);
  }));
}

TYPED_TEST(ChannelTest, ASlotKeepsItsPlaceAndMovesWithIt) {
  InEveryWorld([]() -> Task<> {
    typename TestFixture::Channel channel(2);
    typename TestFixture::Slot slot;
    EXPECT_TRUE(slot.empty());
    slot = *channel.TryReserve();
    typename TestFixture::Slot moved = std::move(slot);
    EXPECT_TRUE(slot.empty());
    EXPECT_EQ(channel.reserved(), 1u);
    EXPECT_TRUE(channel.TrySend(1).ok());
    EXPECT_EQ(channel.TrySend(2).status().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_TRUE(moved.Send(3).ok());
    EXPECT_TRUE(moved.empty());
    EXPECT_EQ(channel.reserved(), 0u);
    EXPECT_EQ(channel.TryReceive(), 1);
    EXPECT_EQ(channel.TryReceive(), 3);
    co_return;
  });
}

// [H11]
TYPED_TEST(ChannelTest, WithoutPlacesASenderWaitsUntilItsItemIsTaken) {
  InEveryWorld(Root([](Scope& scope, Log& log) -> Task<> {
    typename TestFixture::Channel channel(0);
    EXPECT_FALSE(channel.TrySend(1).ok());
    TestFixture::Send(scope, log, 's', channel, 2);
    co_await Settle();
    EXPECT_EQ(log.Take(), "");
    EXPECT_EQ(channel.size(), 0u);
    const std::optional<int> item = co_await channel.Receive();
    EXPECT_EQ(item, 2);
    co_await Settle();
    EXPECT_EQ(log.Take(), "s+ ");
    TestFixture::Receive(scope, log, 'r', channel);
    co_await Settle();
    EXPECT_TRUE(channel.TrySend(3).ok()) << "a receiver waits for it";
    co_await Settle();
    EXPECT_EQ(log.Take(), "r3 ");
  }));
}

TYPED_TEST(ChannelTest, CarriesWhatCanOnlyMoveAndNeverCopies) {
  InEveryWorld([]() -> Task<> {
    BasicChannel<std::unique_ptr<int>, TypeParam> channel(1);
    const SendResult<std::unique_ptr<int>> sent = co_await channel.Send(std::make_unique<int>(5));
    EXPECT_TRUE(sent.ok());
    const std::optional<std::unique_ptr<int>> item = co_await channel.Receive();
    EXPECT_EQ(**item, 5);
    Counted::Reset();
    {
      BasicChannel<Counted, TypeParam> counted(1);
      const absl::Status status = co_await counted.Send(Counted());
      EXPECT_TRUE(status.ok());
      const std::optional<Counted> received = co_await counted.Receive();
      EXPECT_TRUE(received.has_value());
    }
    EXPECT_EQ(Counted::copies(), 0);
    EXPECT_EQ(Counted::live(), 0);
  });
}

TYPED_TEST(ChannelTest, TryPassesARefusalOn) {
  InEveryWorld([]() -> Task<> {
    typename TestFixture::Channel channel(1);
    channel.Close();
    auto send = [&]() -> Task<absl::Status> {
      co_await Try(co_await channel.Send(1));
      ADD_FAILURE() << "the channel is closed";
      co_return absl::OkStatus();
    };
    const absl::Status status = co_await send();
    EXPECT_EQ(status, absl::UnavailableError("the channel is closed"));
  });
}

template <class Form>
class ChannelDeathTest : public ChannelTest<Form> {};
TYPED_TEST_SUITE(ChannelDeathTest, Forms, FormName);

TYPED_TEST(ChannelDeathTest, OutlivesItsWaitersSlotsAndHandles) {
  using Channel = typename TestFixture::Channel;
  EXPECT_DEATH(
      {
        std::optional<Channel> channel(std::in_place, 1);
        auto slot = channel->TryReserve();
        channel.reset();
      },
      "a Channel was destroyed while a Slot of it is held");
  EXPECT_DEATH(
      {
        std::optional<Channel> channel(std::in_place, 1);
        auto sender = channel->NewSender();
        channel.reset();
      },
      "a Channel was destroyed while a Sender or Receiver of it is open");
  EXPECT_DEATH(InCalmSimulation(Root([](Scope& scope, Log& log) -> Task<> {
                 std::optional<Channel> channel(std::in_place, 1);
                 TestFixture::Receive(scope, log, 'r', *channel);
                 co_await Settle();
                 channel.reset();
               })),
               "a Channel was destroyed while a task waits for it");
}

TYPED_TEST(ChannelDeathTest, ASlotIsUsedOnceAndAChannelWithoutPlacesHasNone) {
  EXPECT_DEATH(
      {
        typename TestFixture::Channel channel(1);
        auto slot = channel.TryReserve();
        EXPECT_TRUE(slot->Send(1).ok());
        static_cast<void>(slot->Send(2));
      },
      "Slot::Send: it has been used, or moved from");
  EXPECT_DEATH(
      {
        typename TestFixture::Channel channel(0);
        static_cast<void>(channel.TryReserve());
      },
      "a channel of capacity 0 has no places");
  EXPECT_DEATH(
      {
        typename TestFixture::Channel channel(1);
        auto sent = channel.TrySend(1);
        static_cast<void>(sent.item());
      },
      "SendResult::item: the item was sent");
}

// Within the very expression that receives: by then nobody asks the channel any more.
TYPED_TEST(ChannelTest, MayBeDestroyedByWhomItGaveItsLastItemAlsoWhenThatOneIsStopped) {
  InEveryWorld([]() -> Task<> {
    for (const bool is_stopped : {false, true}) {
      auto channel = std::make_unique<typename TestFixture::Channel>(1);
      int received = 0;
      auto end_with = [&](std::optional<int> item) {
        channel.reset();
        received = item.value_or(-1);
      };
      auto receive = [&]() -> Task<> { end_with(co_await channel->Receive()); };
      auto body = [&](Scope& scope) -> Task<> {
        TaskHandle<> receiver = scope.Spawn(receive);
        co_await Settle();
        EXPECT_TRUE(channel->TrySend(7).ok());
        if (is_stopped) receiver.RequestStop();
        co_await receiver.Join();
      };
      co_await WithScope(body);
      EXPECT_EQ(received, 7);
    }
  });
}

TEST(ChannelThreadDeathTest, OfOneLoopBelongsToThatLoopWhileATaskWaits) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(InCalmSimulation(Root([](Scope& scope, Log& log) -> Task<> {
                 Channel<int> channel(1);
                 ChannelTest<internal::OneLoop>::Receive(scope, log, 'r', channel);
                 co_await Settle();
                 std::thread([&] { static_cast<void>(channel.TrySend(1)); }).join();
               })),
               "a Channel");
}

}  // namespace
}  // namespace gyre
