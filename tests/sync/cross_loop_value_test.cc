// Values that pass from loop to loop: delivered to one that is stopped before it has run, or still there for the next.
#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/runtime/runtime.h"
#include "gyre/runtime/sleep.h"
#include "gyre/sync/broadcast.h"
#include "gyre/sync/channel.h"
#include "gyre/sync/oneshot.h"
#include "gyre/sync/priority_queue.h"
#include "gyre/sync/watch.h"
#include "gyre/tests/support/simulated_loops.h"
#include "gyre/tests/sync/cross_loop.h"

namespace gyre::testing {
namespace {

struct ChannelLike {
  SharedChannel<int> channel{2};
  bool Send(int item) { return channel.TrySend(item).ok(); }
  auto Receive() { return channel.Receive(); }
  std::optional<int> TryReceive() { return channel.TryReceive(); }
};
struct QueueLike {
  SharedPriorityQueue<int> queue{2};
  bool Send(int item) { return queue.TryPut(item).ok(); }
  auto Receive() { return queue.Get(); }
  std::optional<int> TryReceive() { return queue.TryGet(); }
};
template <class Like>
class CrossLoopItem : public ::testing::Test {};
using Items = ::testing::Types<ChannelLike, QueueLike>;
TYPED_TEST_SUITE(CrossLoopItem, Items);

template <class Like>
Task<> ReceiveAndNote(Like& like, Here& here) {
  const std::optional<int> item = co_await like.Receive();
  here.Note(item.has_value() ? "=" + std::to_string(*item) : " at end");
  co_await Yield();
}

// [H02] [H06]
TYPED_TEST(CrossLoopItem, HandedToOneThatIsStoppedBeforeItRunsIsDeliveredAndTheStopComesNext) {
  Hits hits;
  InSimulatedLoops(kLoops, [&](Runtime& runtime) {
    TypeParam like;
    Story story;
    auto wait = [&](Here& here) { return ReceiveAndNote(like, here); };
    auto wake = [&]() -> Task<> {
      co_await story.UntilBothWait();
      EXPECT_TRUE(like.Send(5));
      EXPECT_EQ(like.TryReceive(), std::nullopt) << "it is loop 1's";
      story.Tell();
      co_await story.UntilFirstEnds();
      EXPECT_TRUE(like.Send(6));
    };
    story.Play(runtime, wait, wake);
    EXPECT_EQ(story.log(), story.is_hit() ? "1=5 !1 2=6 " : "1=5 2=6 ");
    hits.Count(story);
  });
}

// [H06]
TYPED_TEST(CrossLoopItem, IsTheNextOnesWhereTheFirstWasStoppedWhileItWaited) {
  Hits hits;
  InSimulatedLoops(kLoops, [&](Runtime& runtime) {
    TypeParam like;
    Story story;
    auto wait = [&](Here& here) { return ReceiveAndNote(like, here); };
    auto wake = [&]() -> Task<> {
      co_await story.UntilBothWait();
      story.Tell();
      co_await story.UntilFirstEnds();
      EXPECT_TRUE(like.Send(5));
    };
    story.Play(runtime, wait, wake);
    EXPECT_EQ(story.log(), "!1 2=5 ");
    hits.Count(story);
  });
}

// [H11]
TEST(CrossLoopValue, ASendThatIsStoppedAfterItsItemWasTakenSaysThatItWasSent) {
  Hits hits;
  InSimulatedLoops(kLoops, [&](Runtime& runtime) {
    SharedChannel<size_t> channel(0);
    Story story;
    auto wait = [&](Here& here) -> Task<> {
      const SendResult<size_t> sent = co_await channel.Send(here.loop());
      here.Note(sent.ok() ? "+" : "-");
      co_await Yield();
    };
    auto wake = [&]() -> Task<> {
      co_await story.UntilBothWait();
      EXPECT_EQ(channel.TryReceive(), 1u);
      story.Tell();
      co_await story.UntilFirstEnds();
      EXPECT_EQ(channel.TryReceive(), 2u);
    };
    story.Play(runtime, wait, wake);
    EXPECT_EQ(story.log(), story.is_hit() ? "1+ !1 2+ " : "1+ 2+ ");
    hits.Count(story);
  });
}

TEST(CrossLoopValue, AOneshotsValueHandedToOneThatIsStoppedBeforeItRunsIsDelivered) {
  Hits hits;
  InSimulatedLoops(kLoops, [&](Runtime& runtime) {
    SharedOneshot<int> oneshot;
    Story story;
    auto wait = [&](Here& here) -> Task<> {
      if (here.loop() == 2) co_return;  // it has one receiver
      const absl::StatusOr<int> value = co_await oneshot.Receive();
      here.Note(value.ok() ? "=" + std::to_string(*value) : "-");
      co_await Yield();
    };
    auto wake = [&]() -> Task<> {
      co_await story.UntilBothWait();
      EXPECT_TRUE(oneshot.Send(5).ok());
      EXPECT_EQ(oneshot.TryReceive(), std::nullopt);
      story.Tell();
    };
    story.Play(runtime, wait, wake);
    EXPECT_EQ(story.log(), story.is_hit() ? "1=5 !1 " : "1=5 ");
    hits.Count(story);
  });
}

// Nothing is lost: what the stopped one was told of is still to be heard.
TEST(CrossLoopValue, ABroadcastIsHeardOnEachLoopAndLaterByASubscriptionWhoseReceiveWasStopped) {
  Hits hits;
  InSimulatedLoops(kLoops, [&](Runtime& runtime) {
    SharedBroadcast<int> broadcast(2);
    auto one = broadcast.Subscribe();
    auto two = broadcast.Subscribe();
    Story story;
    auto wait = [&](Here& here) -> Task<> {
      auto& mine = here.loop() == 1 ? one : two;
      const std::optional<Heard<int>> heard = co_await mine.Receive();
      here.Note("=" + std::to_string(heard->item));
    };
    auto wake = [&]() -> Task<> {
      co_await story.UntilBothWait();
      EXPECT_TRUE(broadcast.Send(5).ok());
      story.Tell();
    };
    story.Play(runtime, wait, wake);
    EXPECT_TRUE(story.Has(story.is_hit() ? "!1" : "1=5")) << story.log();
    EXPECT_TRUE(story.Has("2=5")) << story.log();
    const std::optional<Heard<int>> left = one.TryReceive();
    EXPECT_EQ(left.has_value() ? left->item : 0, story.is_hit() ? 5 : 0);
    hits.Count(story);
  });
}

TEST(CrossLoopValue, AWatchesChangeIsSeenOnEachLoopAndLaterByAnObserverWhoseWaitWasStopped) {
  Hits hits;
  InSimulatedLoops(kLoops, [&](Runtime& runtime) {
    SharedWatch<int> watch(0);
    auto one = watch.Observe();
    Story story;
    auto wait = [&](Here& here) -> Task<> {
      absl::StatusOr<int> value;
      if (here.loop() == 1) {
        value = co_await one.Changed();
      } else {
        auto is_there = [&](int now) {
          here.CheckHome();
          return now == 5;
        };
        value = co_await watch.Until(is_there);
      }
      here.Note("=" + std::to_string(*value));
    };
    auto wake = [&]() -> Task<> {
      co_await story.UntilBothWait();
      EXPECT_TRUE(watch.Set(5).ok());
      story.Tell();
    };
    story.Play(runtime, wait, wake);
    EXPECT_TRUE(story.Has(story.is_hit() ? "!1" : "1=5")) << story.log();
    EXPECT_TRUE(story.Has("2=5")) << story.log();
    EXPECT_EQ(one.HasChanged(), story.is_hit());
    hits.Count(story);
  });
}

// [H02] Items go round: loop 0 sends, loop 1 passes on, loop 2 collects.
TEST(CrossLoopValue, ItemsKeepTheirOrderFromLoopToLoop) {
  InSimulatedLoops(kLoops, [](Runtime& runtime) {
    constexpr int kItems = 20;
    std::array<std::unique_ptr<SharedChannel<int>>, kLoops> channels;
    for (auto& channel : channels) channel = std::make_unique<SharedChannel<int>>(2);
    std::string log;
    int collected = 0;
    auto part = [&](size_t loop) -> Task<> {
      const Here here(log);
      for (int i = 0; i < kItems; ++i) {
        std::optional<int> item = i;
        if (loop != 0) item = co_await channels[loop - 1]->Receive();
        here.CheckHome();
        EXPECT_EQ(item, i);
        if (loop == kLoops - 1) {
          ++collected;
          continue;
        }
        const SendResult<int> sent = co_await channels[loop]->Send(*item);
        here.CheckHome();
        EXPECT_TRUE(sent.ok());
      }
    };
    const absl::Status status = runtime.RunOnEveryLoop(part);
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(collected, kItems);
    EXPECT_EQ(log, "") << "nobody was stopped";
  });
}

}  // namespace
}  // namespace gyre::testing
