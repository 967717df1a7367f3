// Shared channels under four loops, with stops that race with sends and receives: each item comes out once, or comes back.
#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/runtime/runtime.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/sync/channel.h"

namespace gyre {
namespace {

#ifdef GYRE_DEBUG_CHECKS  // the sanitizers' builds: some ten times slower
constexpr uint64_t kItems = 40'000;
#else
constexpr uint64_t kItems = 1'000'000;
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

// Counted before the await can be stopped again: what was sent is known to be.
Task<> SendMany(SharedChannel<uint64_t>& channel, Totals& totals, uint64_t first, uint64_t count) {
  for (uint64_t item = first; item < first + count; ++item) {
    if (item % 5 == 0) {
      absl::StatusOr<SharedChannel<uint64_t>::Slot> slot = co_await channel.Reserve();
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
  for (;;) {
    const std::optional<uint64_t> item = co_await channel.Receive();
    if (!item.has_value()) co_return;
    totals.received.fetch_add(1, std::memory_order_relaxed);
    totals.received_sum.fetch_add(*item, std::memory_order_relaxed);
  }
}

void Exchange(size_t capacity, uint64_t items, bool with_stops) {
  Runtime runtime(RuntimeOptions().set_loops(kLoops));
  SharedChannel<uint64_t> channel(capacity);
  Totals totals;
  std::atomic<int> loops_sending{kLoops};
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
      if (--loops_sending == 0) channel.Close();
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

}  // namespace
}  // namespace gyre
