// Where the runtime itself asks for a stop, it needs no memory: not for the reason either, whose text is its own.
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/deadline.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/map_as_completed.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/stop_reason.h"
#include "gyre/runtime/when_all.h"
#include "gyre/runtime/when_any.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/refused_memory.h"
#include "gyre/tests/support/worlds.h"

namespace gyre::testing {
namespace {

using namespace std::chrono_literals;

struct Planned {};

TEST(StopWithoutMemory, ADeadlineEndsWhatItBounds) {
  InCalmSimulation([]() -> Task<> {
    Loop& loop = Loop::Current();
    std::optional<RefusedMemory> refused;
    const TimePoint when = loop.Now() + 1ms;
    Timer after;
    const Timer before = loop.CallAt(when, [&] { refused.emplace(); });
    loop.CallSoon([&] { after = loop.CallAt(when, [&] { refused.reset(); }); });
    const absl::Status status = co_await Deadline(when, SleepFor(1h));
    EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_EQ(loop.Now(), when);
    EXPECT_FALSE(after.IsActive());
  });
}

TEST(StopWithoutMemory, TheWinnerOfWhenAnyStopsTheOthers) {
  InCalmSimulation([]() -> Task<> {
    std::optional<RefusedMemory> refused;
    auto win = [&]() -> Task<int> {
      co_await SleepFor(1ms);
      refused.emplace();
      co_return 1;
    };
    const auto race = co_await WhenAny(win(), SleepFor(1h));
    refused.reset();
    EXPECT_EQ(race.index, 0u);
    EXPECT_TRUE(std::get<1>(race.outcomes).stopped());
  });
}

TEST(StopWithoutMemory, TheFirstFailureInWhenAllStopsTheOthers) {
  InCalmSimulation([]() -> Task<> {
    std::optional<RefusedMemory> refused;
    auto fail = [&]() -> Task<> {
      co_await SleepFor(1ms);
      refused.emplace();
      throw Planned();
    };
    bool was_caught = false;
    const TimePoint begin = Loop::Current().Now();
    try {
      co_await WhenAll(fail(), SleepFor(1h));
    } catch (const Planned&) {
      was_caught = true;
    }
    refused.reset();
    EXPECT_TRUE(was_caught);
    EXPECT_EQ(Loop::Current().Now() - begin, 1ms);
  });
}

TEST(StopWithoutMemory, MapAsCompletedThatIsLeftEarlyStopsTheRest) {
  InCalmSimulation([]() -> Task<> {
    std::optional<RefusedMemory> refused;
    auto call = [](Duration wait) -> Task<int> {
      co_await SleepFor(wait);
      co_return 1;
    };
    auto leave = [&](Completed<int>& results) -> Task<> {
      const auto first = co_await results.Next();
      EXPECT_TRUE(first.has_value());
      refused.emplace();
    };
    const std::vector<Duration> waits = {1ms, 1h};
    co_await MapAsCompleted(waits, 2, call, leave);
    refused.reset();
  });
}

// Without memory for the text, the place and the task that asked are kept: they need none.
TEST(StopWithoutMemory, AReasonLosesItsTextAtMost) {
  InCalmSimulation([]() -> Task<> {
    std::string reason;
    auto body = [&](Scope& scope) -> Task<> {
      auto wait = []() -> Task<> { co_await SleepFor(1h); };
      TaskHandle<> task = scope.Spawn(wait);
      co_await Yield();
      {
        const RefusedMemory refused;
        task.RequestStop(StopReason::Static("a text that is too long to be kept in place"));
      }
      const Outcome<>& outcome = co_await task.Join();
      reason = outcome.stop_reason().ToString();
    };
    co_await WithScope(body);
    EXPECT_TRUE(reason.starts_with("stop requested (")) << reason;
    EXPECT_NE(reason.find("stop_without_memory_test.cc:"), std::string::npos) << reason;
  });
}

TEST(StopReason, StaticKeepsItsTextWithoutMemoryAndReadsAsAnyOther) {
  constexpr std::string_view kText = "a text that is too long to be kept in place";
  static_assert(std::is_nothrow_move_constructible_v<StopReason>);
  std::optional<StopReason> reason;
  const uint64_t refusals = RefusedMemory::refusals();
  {
    const RefusedMemory refused;
    reason = StopReason::Static(kText.data());
  }
  EXPECT_EQ(RefusedMemory::refusals(), refusals);
  EXPECT_EQ(reason->message(), kText);
  EXPECT_TRUE(reason->ToString().starts_with("a text that is too long to be kept in place (")) << reason->ToString();
  const StopReason copied = *reason;
  EXPECT_EQ(copied.message(), kText);
  EXPECT_EQ((*std::move(reason)).message(), kText);
}

}  // namespace
}  // namespace gyre::testing
