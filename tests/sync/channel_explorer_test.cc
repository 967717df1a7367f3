// Channels, stopped at every await in every way: no item, slot or place is lost, nobody hangs.
#include <cstddef>
#include <functional>
#include <optional>

#include "gtest/gtest.h"
#include "gyre/runtime/sim/explorer.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/sync/channel.h"
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

template <class Form>
void Explore(size_t capacity) {
  using Channel = BasicChannel<Counted, Form>;
  using Sender = typename Channel::Sender;
  ExplorerOptions options;
  options.AddPass(ExplorerPass::kStopTaskDuring).AddPass(ExplorerPass::kStopTaskAfter).set_seeds(3);
  options.Track("items", [] { return Counted::live(); });
  options.AddInvariant("what was sent was received, or is left", [](const ExploredRun&) {
    return tally.sent == tally.received + tally.left;
  });
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

}  // namespace
}  // namespace gyre::testing
