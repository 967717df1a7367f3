// What all that carry values from task to task have in common, in both forms: channel, oneshot, broadcast, watch, priority queue.
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/runtime/is_unwinding.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/sync/broadcast.h"
#include "gyre/sync/channel.h"
#include "gyre/sync/oneshot.h"
#include "gyre/sync/priority_queue.h"
#include "gyre/sync/watch.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using testing::InCalmSimulation;
using testing::InEveryWorld;

// Each Kind: one sender, one receiver, ints. Send: false if it is closed. Receive: nothing at the end.

template <class Form>
class ChannelKind {
 public:
  static constexpr const char* kName = "Channel";
  static constexpr const char* kFirstToDie = "a Channel";
  bool Send(int item) { return channel_.TrySend(item).ok(); }
  Task<std::optional<int>> Receive() {
    const std::optional<int> item = co_await channel_.Receive();
    co_return item;
  }
  void Close() { channel_.Close(); }

 private:
  BasicChannel<int, Form> channel_{1};
};

template <class Form>
class OneshotKind {
 public:
  static constexpr const char* kName = "Oneshot";
  static constexpr const char* kFirstToDie = "a Oneshot";
  bool Send(int item) { return oneshot_.Send(item).ok(); }
  Task<std::optional<int>> Receive() {
    if (is_received_) co_return std::nullopt;
    const absl::StatusOr<int> item = co_await oneshot_.Receive();
    if (!item.ok()) co_return std::nullopt;
    is_received_ = true;
    co_return *item;
  }
  void Close() { oneshot_.Close(); }

 private:
  BasicOneshot<int, Form> oneshot_;
  bool is_received_ = false;
};

template <class Form>
class BroadcastKind {
 public:
  static constexpr const char* kName = "Broadcast";
  static constexpr const char* kFirstToDie = "a Subscription";
  bool Send(int item) { return broadcast_.Send(item).ok(); }
  Task<std::optional<int>> Receive() {
    const std::optional<Heard<int>> heard = co_await mine_.Receive();
    if (!heard.has_value()) co_return std::nullopt;
    co_return heard->item;
  }
  void Close() { broadcast_.Close(); }

 private:
  BasicBroadcast<int, Form> broadcast_{1};
  typename BasicBroadcast<int, Form>::Subscription mine_ = broadcast_.Subscribe();
};

template <class Form>
class WatchKind {
 public:
  static constexpr const char* kName = "Watch";
  static constexpr const char* kFirstToDie = "an Observer";
  bool Send(int item) { return watch_.Set(item).ok(); }
  Task<std::optional<int>> Receive() {
    const absl::StatusOr<int> value = co_await mine_.Changed();
    if (!value.ok()) co_return std::nullopt;
    co_return *value;
  }
  void Close() { watch_.Close(); }

 private:
  BasicWatch<int, Form> watch_{0};
  typename BasicWatch<int, Form>::Observer mine_ = watch_.Observe();
};

template <class Form>
class PriorityQueueKind {
 public:
  static constexpr const char* kName = "PriorityQueue";
  static constexpr const char* kFirstToDie = "a PriorityQueue";
  bool Send(int item) { return queue_.TryPut(item).ok(); }
  Task<std::optional<int>> Receive() {
    const std::optional<int> item = co_await queue_.Get();
    co_return item;
  }
  void Close() { queue_.ShutDown(); }

 private:
  BasicPriorityQueue<int, Form> queue_{1};
};

Task<> Settle() {
  for (int turn = 0; turn < 10; ++turn) co_await Yield();
}

class Ending {
 public:
  explicit Ending(std::string& log) : log_(log) {}
  ~Ending() {
    if (IsUnwinding()) log_ += "stopped ";
  }

 private:
  std::string& log_;
};

template <class Kind>
Task<> ReceiveOne(Kind& kind, std::string& log) {
  const Ending ending(log);
  const std::optional<int> item = co_await kind.Receive();
  log += item.has_value() ? std::to_string(*item) + " " : "end ";
}

template <class Kind>
class ChannelLikes : public ::testing::Test {
 public:
  using Body = std::function<Task<>(Scope&, Kind&, std::string&)>;
  static testing::WorldRoot Root(const Body& body) {
    return [&body]() -> Task<> {
      Kind kind;
      std::string log;
      auto in_scope = [&](Scope& scope) -> Task<> { co_await body(scope, kind, log); };
      co_await WithScope(in_scope);
    };
  }
  static auto Receive(Scope& scope, Kind& kind, std::string& log) {
    return scope.Spawn(ReceiveOne<Kind>, std::ref(kind), std::ref(log));
  }
};

class KindName {
 public:
  template <class Kind>
  static std::string GetName(int index) {
    return std::string(index % 2 == 0 ? "" : "Shared") + Kind::kName;
  }
};
using Kinds = ::testing::Types<ChannelKind<internal::OneLoop>, ChannelKind<internal::ManyLoops>, OneshotKind<internal::OneLoop>,
                               OneshotKind<internal::ManyLoops>, BroadcastKind<internal::OneLoop>,
                               BroadcastKind<internal::ManyLoops>, WatchKind<internal::OneLoop>,
                               WatchKind<internal::ManyLoops>, PriorityQueueKind<internal::OneLoop>,
                               PriorityQueueKind<internal::ManyLoops>>;
TYPED_TEST_SUITE(ChannelLikes, Kinds, KindName);

TYPED_TEST(ChannelLikes, WhatWasSentIsReceivedAtOnce) {
  InEveryWorld(TestFixture::Root([](Scope&, TypeParam& kind, std::string&) -> Task<> {
    EXPECT_TRUE(kind.Send(5));
    const std::optional<int> item = co_await kind.Receive();
    EXPECT_EQ(item, 5);
  }));
}

TYPED_TEST(ChannelLikes, AReceiverWaitsForWhatIsSentLater) {
  InEveryWorld(TestFixture::Root([](Scope& scope, TypeParam& kind, std::string& log) -> Task<> {
    TestFixture::Receive(scope, kind, log);
    co_await Settle();
    EXPECT_EQ(log, "");
    EXPECT_TRUE(kind.Send(5));
    co_await Settle();
    EXPECT_EQ(log, "5 ");
  }));
}

TYPED_TEST(ChannelLikes, ClosedItGivesTheLastValueAndThenTheEndForEver) {
  InEveryWorld(TestFixture::Root([](Scope&, TypeParam& kind, std::string&) -> Task<> {
    EXPECT_TRUE(kind.Send(5));
    kind.Close();
    kind.Close();
    const std::optional<int> item = co_await kind.Receive();
    EXPECT_EQ(item, 5);
    for (int i = 0; i < 2; ++i) {
      const std::optional<int> end = co_await kind.Receive();
      EXPECT_EQ(end, std::nullopt);
    }
  }));
}

TYPED_TEST(ChannelLikes, ClosedItRefusesWhatIsSent) {
  InEveryWorld(TestFixture::Root([](Scope&, TypeParam& kind, std::string&) -> Task<> {
    kind.Close();
    EXPECT_FALSE(kind.Send(5));
    const std::optional<int> end = co_await kind.Receive();
    EXPECT_EQ(end, std::nullopt);
  }));
}

TYPED_TEST(ChannelLikes, WhoWaitsHearsOfTheClose) {
  InEveryWorld(TestFixture::Root([](Scope& scope, TypeParam& kind, std::string& log) -> Task<> {
    TestFixture::Receive(scope, kind, log);
    co_await Settle();
    kind.Close();
    co_await Settle();
    EXPECT_EQ(log, "end ");
  }));
}

TYPED_TEST(ChannelLikes, InAStoppedScopeNothingIsTaken) {
  InEveryWorld(TestFixture::Root([](Scope& scope, TypeParam& kind, std::string& log) -> Task<> {
    EXPECT_TRUE(kind.Send(5));
    TestFixture::Receive(scope, kind, log).RequestStop();
    co_await Settle();
    EXPECT_EQ(log, "stopped ");
    const std::optional<int> item = co_await kind.Receive();
    EXPECT_EQ(item, 5);
  }));
}

TYPED_TEST(ChannelLikes, AReceiverStoppedWhileItWaitsTakesNothing) {
  InEveryWorld(TestFixture::Root([](Scope& scope, TypeParam& kind, std::string& log) -> Task<> {
    auto receiver = TestFixture::Receive(scope, kind, log);
    co_await Settle();
    receiver.RequestStop();
    EXPECT_TRUE(kind.Send(5));
    co_await Settle();
    EXPECT_EQ(log, "stopped ");
    const std::optional<int> item = co_await kind.Receive();
    EXPECT_EQ(item, 5);
  }));
}

// Delivered, or there for the next.
TYPED_TEST(ChannelLikes, AReceiverStoppedAfterTheSendLosesNothing) {
  InEveryWorld(TestFixture::Root([](Scope& scope, TypeParam& kind, std::string& log) -> Task<> {
    auto receiver = TestFixture::Receive(scope, kind, log);
    co_await Settle();
    EXPECT_TRUE(kind.Send(5));
    receiver.RequestStop();
    co_await Settle();
    if (log == "stopped ") {
      const std::optional<int> item = co_await kind.Receive();
      EXPECT_EQ(item, 5);
    } else {
      EXPECT_EQ(log, "5 ");
    }
  }));
}

template <class Kind>
class ChannelLikesDeathTest : public ChannelLikes<Kind> {};
TYPED_TEST_SUITE(ChannelLikesDeathTest, Kinds, KindName);

TYPED_TEST(ChannelLikesDeathTest, OutlivesWhoWaitsForIt) {
  EXPECT_DEATH(InCalmSimulation(TestFixture::Root([](Scope& scope, TypeParam&, std::string& log) -> Task<> {
                 auto gone = std::make_unique<TypeParam>();
                 TestFixture::Receive(scope, *gone, log);
                 co_await Settle();
                 gone.reset();
               })),
               TypeParam::kFirstToDie + std::string(" was destroyed while a task waits for it"));
}

}  // namespace
}  // namespace gyre
