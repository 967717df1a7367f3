// Shared channels and their likes under four loops, with stops that race with sends and receives: each item comes out
// once, or comes back; a subscription hears it, or is told that it missed it; an observer sees the last value.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/runtime/internal/rng.h"
#include "gyre/runtime/runtime.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/sync/barrier.h"
#include "gyre/sync/broadcast.h"
#include "gyre/sync/channel.h"
#include "gyre/sync/oneshot.h"
#include "gyre/sync/priority_queue.h"
#include "gyre/sync/watch.h"

namespace gyre {
namespace {

// With GYRE_LONG_STRESS (by hand: docs/testing.md) the sanitizers' builds do it all.
#if defined(GYRE_DEBUG_CHECKS) && !defined(GYRE_LONG_STRESS)  // some ten times slower
constexpr uint64_t kItems = 40'000;
constexpr uint64_t kValues = 2'000;
constexpr int kRounds = 500;
#else
constexpr uint64_t kItems = 1'000'000;
constexpr uint64_t kValues = 100'000;
constexpr int kRounds = 10'000;
#endif
constexpr size_t kLoops = 4;
constexpr int kSenders = 3;  // on each loop; and as many receivers

class Totals {
 public:
  std::atomic<uint64_t> sent{0};
  std::atomic<uint64_t> sent_sum{0};
  std::atomic<uint64_t> received{0};
  std::atomic<uint64_t> received_sum{0};
};

// Counted before the await can be stopped again: what was sent is known to be. Reserves through a handle of its own.
Task<> SendMany(SharedChannel<uint64_t>& channel, Totals& totals, uint64_t first, uint64_t count) {
  SharedChannel<uint64_t>::Sender sender = channel.NewSender();
  for (uint64_t item = first; item < first + count; ++item) {
    if (item % 5 == 0 && channel.capacity() != 0) {
      absl::StatusOr<SharedChannel<uint64_t>::Slot> slot = co_await sender.Reserve();
      if (item % 3 == 0) co_await Yield();
      if (!slot->Send(item).ok()) continue;
    } else {
      const SendResult<uint64_t> sent = co_await channel.Send(item);
      if (!sent.ok()) continue;
    }
    totals.sent.fetch_add(1, std::memory_order_relaxed);
    totals.sent_sum.fetch_add(item, std::memory_order_relaxed);
  }
}

Task<> ReceiveAll(SharedChannel<uint64_t>& channel, Totals& totals) {
  SharedChannel<uint64_t>::Receiver receiver = channel.NewReceiver();
  for (;;) {
    const std::optional<uint64_t> item = co_await receiver.Receive();
    if (!item.has_value()) co_return;
    totals.received.fetch_add(1, std::memory_order_relaxed);
    totals.received_sum.fetch_add(*item, std::memory_order_relaxed);
  }
}

void Exchange(size_t capacity, uint64_t items, bool with_stops) {
  Runtime runtime(RuntimeOptions().set_loops(kLoops));
  SharedChannel<uint64_t> channel(capacity);
  Totals totals;
  std::vector<SharedChannel<uint64_t>::Sender> open;  // one for each loop, until it has sent all; the last closes the channel
  for (size_t i = 0; i < kLoops; ++i) open.push_back(channel.NewSender());
  const uint64_t share = items / (kLoops * kSenders);
  auto on_each = [&](size_t index) -> Task<absl::Status> {
    auto receivers = [&](Scope& all) -> Task<> {
      for (int i = 0; i < kSenders; ++i) all.Spawn(ReceiveAll, std::ref(channel), std::ref(totals));
      auto senders = [&](Scope& scope) -> Task<> {
        std::vector<TaskHandle<>> tasks;
        for (uint64_t i = 0; i < kSenders; ++i) {
          const uint64_t first = (index * kSenders + i) * share;
          tasks.push_back(scope.Spawn(SendMany, std::ref(channel), std::ref(totals), first, share));
        }
        for (uint64_t i = 0; with_stops && i < share; ++i) {
          co_await Yield();
          if (i % 64 != 0) continue;
          auto victims = [&](Scope& inner) -> Task<> {
            TaskHandle<> send = inner.Spawn(SendMany, std::ref(channel), std::ref(totals), i, uint64_t{50});
            TaskHandle<> receive = inner.Spawn(ReceiveAll, std::ref(channel), std::ref(totals));
            for (uint64_t turn = 0; turn < 1 + i % 7; ++turn) co_await Yield();
            send.RequestStop();
            receive.RequestStop();
          };
          co_await WithScope(victims);
        }
      };
      co_await WithScope(senders);
      open[index].Close();
    };
    co_await WithScope(receivers);
    co_return absl::OkStatus();
  };
  EXPECT_TRUE(runtime.RunOnEveryLoop(on_each).ok());
  EXPECT_GE(totals.sent, share * kLoops * kSenders);
  EXPECT_EQ(totals.received, totals.sent);
  EXPECT_EQ(totals.received_sum, totals.sent_sum);
}

TEST(SharedChannelStress, EachItemIsReceivedOnce) {
  for (const size_t capacity : {1, 2}) Exchange(capacity, kItems / 2, /*with_stops=*/false);
}

TEST(SharedChannelStress, EachItemIsReceivedOnceThoughTasksAreStopped) {
  for (const size_t capacity : {1, 2}) Exchange(capacity, kItems / 4, /*with_stops=*/true);
}

TEST(SharedChannelStress, EachItemIsReceivedOnceWhereSenderAndReceiverMeet) {
  for (const bool with_stops : {false, true}) Exchange(/*capacity=*/0, kItems / 4, with_stops);
}

// The others choose at random, each loop with a seed of its own. Which way they meet is up to the threads.
template <class F>
void OnFourLoops(F run) {
  Runtime runtime(RuntimeOptions().set_loops(kLoops));
  const absl::Status status = runtime.RunOnEveryLoop(run);
  EXPECT_TRUE(status.ok()) << status;
}

// Begins `visit`, and stops it after a few turns, again and again until `is_over`.
Task<> Disturb(internal::Rng& rng, const std::function<Task<>()>& visit, const std::function<bool()>& is_over) {
  while (!is_over()) {
    auto once = [&](Scope& scope) -> Task<> {
      TaskHandle<> task = scope.Spawn(visit);
      for (uint64_t turn = rng.Below(8); turn != 0; --turn) co_await Yield();
      task.RequestStop();
    };
    co_await WithScope(once);
  }
}

Task<> YieldAtTimes(internal::Rng& rng) {
  if (rng.Below(4) == 0) co_await Yield();
}

// A subscription from before the first item, and what it has heard.
class Hearing {
 public:
  explicit Hearing(SharedBroadcast<uint64_t>& broadcast, uint64_t senders)
      : subscription_(broadcast.Subscribe()), senders_(senders) {}

  // Sender i of n sends i, n + i, 2n + i ...
  Task<> HearAll() {
    for (;;) {
      const std::optional<Heard<uint64_t>> heard = co_await subscription_.Receive();
      if (!heard.has_value()) break;
      EXPECT_GE(heard->item, next_[heard->item % senders_]) << "out of order";
      if (senders_ == 1) {
        EXPECT_EQ(heard->item, next_[0] + heard->missed);
      }
      next_[heard->item % senders_] = heard->item + 1;
      accounted_ += 1 + heard->missed;
    }
    is_at_end_ = true;
  }
  bool is_at_end() const { return is_at_end_; }
  uint64_t accounted() const { return accounted_; }  // heard, or missed

 private:
  SharedBroadcast<uint64_t>::Subscription subscription_;
  const uint64_t senders_;
  std::array<uint64_t, kLoops> next_{};
  uint64_t accounted_ = 0;
  bool is_at_end_ = false;
};

// On each loop two subscriptions, one of them in the hands of tasks that are stopped.
void BroadcastTo(size_t kept, size_t senders) {
  SharedBroadcast<uint64_t> broadcast(kept);
  std::deque<Hearing> hearings;
  for (size_t i = 0; i < 2 * kLoops; ++i) hearings.emplace_back(broadcast, senders);
  std::atomic<size_t> sending{senders};
  const uint64_t share = kValues / senders;
  OnFourLoops([&](size_t loop) -> Task<> {
    internal::Rng rng(loop + 1);
    Hearing& steady = hearings[loop];
    Hearing& disturbed = hearings[kLoops + loop];
    auto all = [&](Scope& scope) -> Task<> {
      scope.Spawn(&Hearing::HearAll, &steady);
      auto disturb = [&]() -> Task<> {
        const std::function<Task<>()> hear = [&] { return disturbed.HearAll(); };
        const std::function<bool()> is_over = [&] { return disturbed.is_at_end(); };
        co_await Disturb(rng, hear, is_over);
      };
      scope.Spawn(disturb);
      for (uint64_t i = 0; loop < senders && i < share; ++i) {
        EXPECT_TRUE(broadcast.Send(i * senders + loop).ok());
        co_await YieldAtTimes(rng);
      }
      if (loop < senders && --sending == 0) broadcast.Close();
    };
    co_await WithScope(all);
  });
  for (const Hearing& hearing : hearings) EXPECT_EQ(hearing.accounted(), share * senders);
}

TEST(SharedBroadcastStress, EachSubscriptionHearsEachItemInOrderOrIsToldHowManyItMissed) {
  for (const size_t kept : {1, 2}) {
    BroadcastTo(kept, /*senders=*/1);
    BroadcastTo(kept, /*senders=*/kLoops);
  }
}

class Watching {
 public:
  explicit Watching(SharedWatch<uint64_t>& watch) : observer_(watch.Observe()) {}

  Task<> WatchAll() {
    for (;;) {
      const absl::StatusOr<uint64_t> value = co_await observer_.Changed();
      if (!value.ok()) break;
      EXPECT_GT(*value, seen_);
      seen_ = *value;
    }
    is_at_end_ = true;
  }
  bool is_at_end() const { return is_at_end_; }
  uint64_t seen() const { return seen_; }

 private:
  SharedWatch<uint64_t>::Observer observer_;
  uint64_t seen_ = 0;
  bool is_at_end_ = false;
};

TEST(SharedWatchStress, EachObserverSeesNewerValuesOnlyAndTheLast) {
  SharedWatch<uint64_t> watch(0);
  std::deque<Watching> watchings;
  for (size_t i = 0; i < 2 * kLoops; ++i) watchings.emplace_back(watch);
  std::atomic<size_t> setting{kLoops};
  OnFourLoops([&](size_t loop) -> Task<> {
    internal::Rng rng(loop + 1);
    Watching& disturbed = watchings[kLoops + loop];
    auto all = [&](Scope& scope) -> Task<> {
      scope.Spawn(&Watching::WatchAll, &watchings[loop]);
      auto disturb = [&]() -> Task<> {
        const std::function<Task<>()> watch_all = [&] { return disturbed.WatchAll(); };
        const std::function<bool()> is_over = [&] { return disturbed.is_at_end(); };
        co_await Disturb(rng, watch_all, is_over);
      };
      scope.Spawn(disturb);
      auto until = [&]() -> Task<> {
        for (uint64_t least = 1;;) {
          auto holds = [least](uint64_t value) { return value >= least; };
          const absl::StatusOr<uint64_t> value = co_await watch.Until(holds);
          if (!value.ok()) {
            EXPECT_GT(least, watch.Get());
            co_return;
          }
          EXPECT_GE(*value, least);
          least = *value + 7;
        }
      };
      scope.Spawn(until);
      for (uint64_t i = 0; i < kValues; ++i) {
        EXPECT_TRUE(watch.Modify([](uint64_t& value) { ++value; }).ok());
        co_await YieldAtTimes(rng);
      }
      if (--setting == 0) watch.Close();
    };
    co_await WithScope(all);
  });
  EXPECT_EQ(watch.Get(), kLoops * kValues);
  for (const Watching& watching : watchings) EXPECT_EQ(watching.seen(), kLoops * kValues);
}

// Counts those that live.
class Token {
 public:
  Token(std::atomic<int>& live, int number) : live_(live), number_(number) { ++live_; }
  Token(Token&& other) noexcept : live_(other.live_), number_(other.number_) { ++live_; }
  Token& operator=(Token&&) = delete;
  ~Token() { --live_; }
  int number() const { return number_; }

 private:
  std::atomic<int>& live_;
  const int number_;
};

// What two loops do with one oneshot after the other: one of them sends, or goes; the other one receives, or goes.
class OneshotRounds {
 public:
  Task<> Run(bool is_first, uint64_t seed) {
    internal::Rng rng(seed);
    for (int round = 1; round <= kRounds; ++round) {
      if (is_first) Begin();
      static_cast<void>(co_await barrier_.ArriveAndWait());
      for (uint64_t turn = rng.Below(4); turn != 0; --turn) co_await Yield();
      if (is_first == (round % 2 == 0)) {
        Send(rng, round);
      } else {
        co_await Receive(rng);
      }
      static_cast<void>(co_await barrier_.ArriveAndWait());
      if (is_first) Check(round);
    }
  }
  size_t delivered() const { return delivered_; }

 private:
  using Oneshot = SharedOneshot<Token>;

  void Begin() {
    oneshot_.emplace();
    sender_.emplace(oneshot_->NewSender());
    receiver_.emplace(oneshot_->NewReceiver());
    is_sent_ = has_receiver_gone_ = is_closed_ = false;
    received_ = 0;
  }
  void Send(internal::Rng& rng, int number) {
    if (rng.Below(3) == 0) return sender_.reset();
    SendResult<Token> sent = sender_->Send(Token(live_, number));
    is_sent_ = sent.ok();
    if (!is_sent_) {
      EXPECT_EQ(sent.item().number(), number);
    }
  }
  Task<> ReceiveOne() {
    const absl::StatusOr<Token> value = co_await receiver_->Receive();
    is_closed_ = !value.ok();
    if (value.ok()) received_ = value->number();
  }
  Task<> Receive(internal::Rng& rng) {
    const uint64_t choice = rng.Below(4);
    has_receiver_gone_ = choice == 0;
    if (has_receiver_gone_) {
      receiver_.reset();
      co_return;
    }
    int left = choice == 1 ? 0 : 30;  // for some time it waits awake, so that the sender meets it
    const std::function<Task<>()> visit = [this] { return ReceiveOne(); };
    const std::function<bool()> is_over = [this, &left] { return IsDone() || left-- == 0; };
    co_await Disturb(rng, visit, is_over);
    if (!IsDone()) co_await ReceiveOne();  // a stopped one has taken nothing
  }
  bool IsDone() const { return received_ != 0 || is_closed_; }
  void Check(int round) {
    if (has_receiver_gone_) {
      EXPECT_EQ(received_, 0);
    } else {
      EXPECT_EQ(received_, is_sent_ ? round : 0);
      EXPECT_EQ(is_closed_, !is_sent_);
      delivered_ += is_sent_ ? 1 : 0;
    }
    sender_.reset();
    receiver_.reset();
    oneshot_.reset();
    EXPECT_EQ(live_, 0);
  }

  SharedBarrier barrier_{2};
  std::optional<Oneshot> oneshot_;
  std::optional<Oneshot::Sender> sender_;
  std::optional<Oneshot::Receiver> receiver_;
  std::atomic<int> live_{0};
  bool is_sent_ = false;  // the rest is plain: the barrier orders it
  bool has_receiver_gone_ = false;
  bool is_closed_ = false;
  int received_ = 0;
  size_t delivered_ = 0;
};

TEST(SharedOneshotStress, EachValueIsReceivedOnceOrItsSenderIsToldOrItsReceiverHasGone) {
  OneshotRounds pairs[kLoops / 2];
  OnFourLoops([&](size_t loop) { return pairs[loop / 2].Run(/*is_first=*/loop % 2 == 0, /*seed=*/loop + 1); });
  for (const OneshotRounds& pair : pairs) EXPECT_GT(pair.delivered(), size_t{kRounds} / 4);
}

// What was put, and how often each was got.
class Work {
 public:
  explicit Work(size_t items, size_t capacity) : queue_(capacity), put_(items), got_(items) {}

  Task<> PutMany() {
    for (;;) {
      const uint64_t item = next_.fetch_add(1, std::memory_order_relaxed);
      if (item >= put_.size()) co_return;
      const SendResult<uint64_t> sent = co_await queue_.Put(item);
      if (sent.ok()) put_[item].fetch_add(1, std::memory_order_relaxed);
    }
  }
  Task<> GetAll() {
    for (;;) {
      const std::optional<uint64_t> item = co_await queue_.Get();
      if (!item.has_value()) co_return;
      got_[*item].fetch_add(1, std::memory_order_relaxed);
      const Finishing finishing(*this);
      if (*item % 4 == 0) co_await Yield();
    }
  }
  Task<> JoinAndGet() {
    co_await queue_.Join();
    co_await GetAll();
  }
  // When all that put have ended.
  Task<> End() {
    co_await queue_.Join();
    EXPECT_EQ(done_, static_cast<size_t>(std::count(put_.begin(), put_.end(), 1)));
    queue_.ShutDown();
  }
  bool is_all_given_out() const { return next_.load(std::memory_order_relaxed) >= put_.size(); }
  void Check() {
    EXPECT_EQ(queue_.size(), 0u);
    EXPECT_EQ(queue_.unfinished(), 0u);
    for (size_t item = 0; item < put_.size(); ++item) {
      EXPECT_EQ(got_[item], put_[item]) << item;
    }
    EXPECT_GT(done_, put_.size() / 2);
  }

 private:
  struct ByUrgency {
    bool operator()(uint64_t a, uint64_t b) const { return a % 8 < b % 8; }
  };
  // Of what was got, also where its task is stopped.
  class Finishing {
   public:
    explicit Finishing(Work& work) : work_(work) {}
    ~Finishing() {
      work_.done_.fetch_add(1, std::memory_order_relaxed);
      work_.queue_.TaskDone();
    }

   private:
    Work& work_;
  };

  SharedPriorityQueue<uint64_t, ByUrgency> queue_;
  std::atomic<uint64_t> next_{0};
  std::vector<std::atomic<int>> put_;
  std::vector<std::atomic<int>> got_;
  std::atomic<size_t> done_{0};
};

TEST(SharedPriorityQueueStress, EachItemIsGotOnceAndJoinEndsWhenAllAreDone) {
  for (const size_t capacity : {1, 2}) {
    Work work(/*items=*/kItems / 8, capacity);
    std::atomic<size_t> putting{kLoops};
    OnFourLoops([&](size_t loop) -> Task<> {
      internal::Rng rng(loop + 1);
      auto getters = [&](Scope& all) -> Task<> {
        for (int i = 0; i < kSenders; ++i) all.Spawn(&Work::GetAll, &work);
        auto putters = [&](Scope& scope) -> Task<> {
          for (int i = 0; i < kSenders; ++i) scope.Spawn(&Work::PutMany, &work);
          auto victims = [&](Task<> (Work::*does)()) -> Task<> {
            const std::function<Task<>()> visit = [&] { return (work.*does)(); };
            const std::function<bool()> is_over = [&] { return work.is_all_given_out(); };
            co_await Disturb(rng, visit, is_over);
          };
          scope.Spawn(victims, &Work::PutMany);
          scope.Spawn(victims, &Work::GetAll);
          scope.Spawn(victims, &Work::JoinAndGet);
          co_return;
        };
        co_await WithScope(putters);
        if (--putting == 0) co_await work.End();
      };
      co_await WithScope(getters);
    });
    work.Check();
  }
}

}  // namespace
}  // namespace gyre
