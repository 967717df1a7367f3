// Channels and their likes, stopped at every await in every way: no item, slot or place is lost, nobody hangs.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/runtime/sim/explorer.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/sync/broadcast.h"
#include "gyre/sync/channel.h"
#include "gyre/sync/oneshot.h"
#include "gyre/sync/priority_queue.h"
#include "gyre/sync/watch.h"
#include "gyre/tests/support/counted.h"

namespace gyre::testing {
namespace {

struct Tally {
  int sent = 0;
  int received = 0;
  int left = 0;
};
Tally tally;

// Yields at its end: the explorer asks a task to stop when no coroutine is on the stack, so the task must not be gone by then.
template <class Sender>
Task<> SendThree(Sender sender) {
  for (int i = 0; i < 3; ++i) {
    const SendResult<Counted> sent = co_await sender.Send(Counted());
    tally.sent += sent.ok() ? 1 : 0;
  }
  co_await Yield();
}

template <class Sender>
Task<> SendThroughSlot(Sender sender) {
  auto slot = co_await sender.Reserve();
  if (!slot.ok()) co_return;
  co_await Yield();
  const SendResult<Counted> sent = slot->Send(Counted());
  tally.sent += sent.ok() ? 1 : 0;
  co_await Yield();
}

template <class Channel>
Task<> ReceiveAll(Channel& channel) {
  for (;;) {
    const std::optional<Counted> item = co_await channel.Receive();
    if (!item.has_value()) break;
    ++tally.received;
  }
  co_await Yield();
}

// What is left in the channel when its scope has ended, however that was.
template <class Channel>
class CountsLeft {
 public:
  explicit CountsLeft(Channel& channel) : channel_(channel) {}
  ~CountsLeft() {
    while (channel_.TryReceive().has_value()) ++tally.left;
  }

 private:
  Channel& channel_;
};

// Single tasks are stopped, too: what they leave is for the others. No item outlives a run.
ExplorerOptions Options() {
  ExplorerOptions options;
  options.AddPass(ExplorerPass::kStopTaskDuring).AddPass(ExplorerPass::kStopTaskAfter).set_seeds(3);
  options.Track("items", [] { return Counted::live(); });
  return options;
}
ExplorerOptions OptionsWithTally() {
  ExplorerOptions options = Options();
  options.AddInvariant("what was sent was received, or is left", [](const ExploredRun&) {
    return tally.sent == tally.received + tally.left;
  });
  return options;
}

template <class Form>
void Explore(size_t capacity) {
  using Channel = BasicChannel<Counted, Form>;
  using Sender = typename Channel::Sender;
  const ExplorerOptions options = OptionsWithTally();
  const ExplorerReport report = StopAtEveryAwait(options, [capacity]() -> Task<> {
    tally = Tally();
    Channel channel(capacity);
    const CountsLeft<Channel> left(channel);
    auto body = [&](Scope& scope) -> Task<> {
      // Two, so that the other goes on when one is stopped.
      for (int i = 0; i < 2; ++i) scope.Spawn(ReceiveAll<Channel>, std::ref(channel));
      for (int i = 0; i < 2; ++i) scope.Spawn(SendThree<Sender>, channel.NewSender());
      if (capacity > 0) scope.Spawn(SendThroughSlot<Sender>, channel.NewSender());
      co_return;
    };
    co_await WithScope(body);
  });
  EXPECT_TRUE(report.ok()) << report;
  EXPECT_GE(report.points().size(), 12u);
}

TEST(ExploreChannel, LosesNoItemWhereverATaskIsStopped) {
  for (const size_t capacity : {0, 1, 2}) {
    SCOPED_TRACE(capacity);
    Explore<internal::OneLoop>(capacity);
    Explore<internal::ManyLoops>(capacity);
  }
}

struct Numbered {
  explicit Numbered(int its_number) : number(its_number) {}
  int number;
  Counted counted;
};
struct ByNumber {
  bool operator()(const Numbered& a, const Numbered& b) const { return a.number < b.number; }
};

// Calls `last` when it dies: however a body ends, those that wait for it are told.
template <class F>
class AtEnd {
 public:
  explicit AtEnd(F& last) : last_(last) {}
  ~AtEnd() { last_(); }

 private:
  F& last_;
};

template <class Form>
struct Hearing {
  explicit Hearing(BasicBroadcast<Numbered, Form>& broadcast) : subscription(broadcast.Subscribe()) {}
  void Note(const Heard<Numbered>& heard) {
    EXPECT_EQ(heard.item.number, next + static_cast<int>(heard.missed));
    next = heard.item.number + 1;
  }
  typename BasicBroadcast<Numbered, Form>::Subscription subscription;
  int next = 0;
};

template <class Form>
Task<> HearAll(Hearing<Form>& hearing) {
  for (;;) {
    const std::optional<Heard<Numbered>> heard = co_await hearing.subscription.Receive();
    if (!heard.has_value()) break;
    hearing.Note(*heard);
  }
  co_await Yield();
}

template <class Form>
void ExploreBroadcast(size_t kept) {
  const ExplorerReport report = StopAtEveryAwait(Options(), [kept]() -> Task<> {
    BasicBroadcast<Numbered, Form> broadcast(kept);
    Hearing<Form> first(broadcast);
    Hearing<Form> second(broadcast);
    int sent = 0;
    auto close = [&] { broadcast.Close(); };
    auto body = [&](Scope& scope) -> Task<> {
      const AtEnd at_end(close);
      scope.Spawn(HearAll<Form>, std::ref(first));
      scope.Spawn(HearAll<Form>, std::ref(second));
      for (; sent < 6; ++sent) {
        EXPECT_TRUE(broadcast.Send(Numbered(sent)).ok());
        if (sent % 3 != 1) co_await Yield();
      }
    };
    co_await WithScope(body);
    for (Hearing<Form>* hearing : {&first, &second}) {  // one that was stopped has heard nothing that it did not note
      while (const std::optional<Heard<Numbered>> heard = hearing->subscription.TryReceive()) hearing->Note(*heard);
      EXPECT_EQ(hearing->next, sent);
    }
  });
  EXPECT_TRUE(report.ok()) << report;
  EXPECT_GE(report.points().size(), 8u);
}

template <class Form>
struct Watching {
  explicit Watching(BasicWatch<Numbered, Form>& watch) : observer(watch.Observe()) {}
  void Note(int number) {
    EXPECT_GT(number, seen);
    seen = number;
  }
  typename BasicWatch<Numbered, Form>::Observer observer;
  int seen = 0;
};

template <class Form>
Task<> WatchAll(Watching<Form>& watching) {
  for (;;) {
    const absl::StatusOr<Numbered> value = co_await watching.observer.Changed();
    if (!value.ok()) break;
    watching.Note(value->number);
  }
  co_await Yield();
}

template <class Form>
void ExploreWatch() {
  const ExplorerReport report = StopAtEveryAwait(Options(), []() -> Task<> {
    BasicWatch<Numbered, Form> watch(Numbered(0));
    Watching<Form> first(watch);
    Watching<Form> second(watch);
    int last = 0;
    auto close = [&] { watch.Close(); };
    auto until = [&]() -> Task<> {
      auto holds = [](const Numbered& value) { return value.number >= 3; };
      const absl::StatusOr<Numbered> value = co_await watch.Until(holds);
      EXPECT_EQ(value.ok(), last >= 3);
      co_await Yield();
    };
    auto body = [&](Scope& scope) -> Task<> {
      const AtEnd at_end(close);
      scope.Spawn(WatchAll<Form>, std::ref(first));
      scope.Spawn(WatchAll<Form>, std::ref(second));
      scope.Spawn(until);
      while (last < 5) {
        EXPECT_TRUE(watch.Set(Numbered(++last)).ok());
        if (last % 3 != 1) co_await Yield();
      }
    };
    co_await WithScope(body);
    EXPECT_EQ(watch.observers(), 2u);
    for (Watching<Form>* watching : {&first, &second}) {
      const absl::StatusOr<Numbered> value = co_await watching->observer.Changed();
      if (value.ok()) watching->Note(value->number);
      EXPECT_EQ(watching->seen, last);
    }
  });
  EXPECT_TRUE(report.ok()) << report;
  EXPECT_GE(report.points().size(), 8u);
}

template <class Sender>
Task<> SendOne(Sender sender, int turns) {
  for (int turn = 0; turn < turns; ++turn) co_await Yield();
  const SendResult<Counted> sent = sender.Send(Counted());
  tally.sent += sent.ok() ? 1 : 0;
  co_await Yield();
}

template <class Oneshot>
Task<> ReceiveOne(Oneshot& oneshot, int turns) {
  for (int turn = 0; turn < turns; ++turn) co_await Yield();
  const absl::StatusOr<Counted> value = co_await oneshot.Receive();
  tally.received += value.ok() ? 1 : 0;
  co_await Yield();
}

template <class Form>
void ExploreOneshot(int sender_turns, int receiver_turns) {
  using Oneshot = BasicOneshot<Counted, Form>;
  const ExplorerReport report = StopAtEveryAwait(OptionsWithTally(), [=]() -> Task<> {
    tally = Tally();
    Oneshot oneshot;
    const CountsLeft<Oneshot> left(oneshot);
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(ReceiveOne<Oneshot>, std::ref(oneshot), receiver_turns);
      scope.Spawn(SendOne<typename Oneshot::Sender>, oneshot.NewSender(), sender_turns);
      co_return;
    };
    co_await WithScope(body);
    if (tally.received == 0 && tally.sent == 1) {  // the receiver was stopped: another one has the value
      const absl::StatusOr<Counted> value = co_await oneshot.Receive();
      tally.received += value.ok() ? 1 : 0;
    }
  });
  EXPECT_TRUE(report.ok()) << report;
  EXPECT_GE(report.points().size(), 3u);
}

// The value ends with its receiver, or goes back to its sender.
template <class Form>
void ExploreOneshotReceiver(int sender_turns) {
  using Oneshot = BasicOneshot<Counted, Form>;
  const ExplorerReport report = StopAtEveryAwait(Options(), [=]() -> Task<> {
    Oneshot oneshot;
    auto receive = [](typename Oneshot::Receiver receiver) -> Task<> {
      static_cast<void>(co_await receiver.Receive());
      co_await Yield();
    };
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(receive, oneshot.NewReceiver());
      scope.Spawn(SendOne<typename Oneshot::Sender>, oneshot.NewSender(), sender_turns);
      co_return;
    };
    co_await WithScope(body);
    EXPECT_EQ(Counted::live(), 0);
  });
  EXPECT_TRUE(report.ok()) << report;
  EXPECT_GE(report.points().size(), 3u);
}

template <class Queue>
Task<> PutThree(Queue& queue, int first) {
  for (int i = 0; i < 3; ++i) {
    const SendResult<Numbered> sent = co_await queue.Put(Numbered(first - i));
    tally.sent += sent.ok() ? 1 : 0;
  }
  co_await Yield();
}

template <class Queue>
Task<> GetAll(Queue& queue) {
  for (;;) {
    const std::optional<Numbered> item = co_await queue.Get();
    if (!item.has_value()) break;
    auto finish = [&queue] {
      ++tally.received;
      queue.TaskDone();
    };
    const AtEnd at_end(finish);  // also where it is stopped
    co_await Yield();
  }
  co_await Yield();
}

template <class Form>
void ExplorePriorityQueue(size_t capacity) {
  using Queue = BasicPriorityQueue<Numbered, Form, ByNumber>;
  const ExplorerReport report = StopAtEveryAwait(OptionsWithTally(), [capacity]() -> Task<> {
    tally = Tally();
    Queue queue(capacity);
    auto count_left = [&] {
      EXPECT_EQ(queue.unfinished(), queue.size());
      while (queue.TryGet().has_value()) ++tally.left;
    };
    const AtEnd at_end(count_left);
    auto shut_down = [&] { queue.ShutDown(); };
    auto body = [&](Scope& scope) -> Task<> {
      const AtEnd then(shut_down);
      for (int i = 0; i < 2; ++i) scope.Spawn(GetAll<Queue>, std::ref(queue));
      auto putters = [&](Scope& inner) -> Task<> {
        for (int i = 0; i < 2; ++i) inner.Spawn(PutThree<Queue>, std::ref(queue), 5 + i);
        co_return;
      };
      co_await WithScope(putters);
      co_await queue.Join();
      EXPECT_EQ(tally.received, tally.sent);
    };
    co_await WithScope(body);
  });
  EXPECT_TRUE(report.ok()) << report;
  EXPECT_GE(report.points().size(), 10u);
}

TEST(ExploreBroadcast, EachSubscriptionHearsAllOrIsToldWhereverATaskIsStopped) {
  for (const size_t kept : {1, 2}) {
    SCOPED_TRACE(kept);
    ExploreBroadcast<internal::OneLoop>(kept);
    ExploreBroadcast<internal::ManyLoops>(kept);
  }
}

TEST(ExploreWatch, EachObserverSeesTheLastValueWhereverATaskIsStopped) {
  ExploreWatch<internal::OneLoop>();
  ExploreWatch<internal::ManyLoops>();
}

TEST(ExploreOneshot, TheValueIsReceivedOrLeftWhereverATaskIsStopped) {
  for (const auto& [sender_turns, receiver_turns] : {std::pair(1, 0), std::pair(0, 1), std::pair(1, 1)}) {
    SCOPED_TRACE(::testing::Message() << sender_turns << ", " << receiver_turns);
    ExploreOneshot<internal::OneLoop>(sender_turns, receiver_turns);
    ExploreOneshot<internal::ManyLoops>(sender_turns, receiver_turns);
  }
}

TEST(ExploreOneshot, TheValueEndsWithItsReceiverWhereverATaskIsStopped) {
  for (const int sender_turns : {0, 1}) {
    SCOPED_TRACE(sender_turns);
    ExploreOneshotReceiver<internal::OneLoop>(sender_turns);
    ExploreOneshotReceiver<internal::ManyLoops>(sender_turns);
  }
}

TEST(ExplorePriorityQueue, LosesNoItemAndJoinEndsWhereverATaskIsStopped) {
  for (const size_t capacity : {1, 2}) {
    SCOPED_TRACE(capacity);
    ExplorePriorityQueue<internal::OneLoop>(capacity);
    ExplorePriorityQueue<internal::ManyLoops>(capacity);
  }
}

}  // namespace
}  // namespace gyre::testing
