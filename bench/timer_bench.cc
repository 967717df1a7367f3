// What do timers cost: re-arming one of many, sleeping, firing?
#include <cstdint>
#include <memory>
#include <vector>

#include "gyre/bench/bare_wheel.h"
#include "gyre/bench/cost_table.h"
#include "gyre/runtime/internal/rng.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/with_scope.h"

namespace gyre::bench {
namespace {

constexpr uint64_t kLive = 100'000;
constexpr int64_t kSpreadNs = 30'000'000'000;  // deadlines up to 30 s away
constexpr size_t kChoices = 1 << 16;

// Which timer, and how far away: drawn before the clock runs.
struct Choice {
  uint32_t timer;
  int64_t wait_ns;
};
const std::vector<Choice>& Choices() {
  static const std::vector<Choice> choices = [] {
    internal::Rng rng(1);
    std::vector<Choice> drawn(kChoices);
    for (Choice& choice : drawn) {
      choice.timer = static_cast<uint32_t>(rng.Below(kLive));
      choice.wait_ns = static_cast<int64_t>(rng.Below(kSpreadNs)) + 1'000'000;
    }
    return drawn;
  }();
  return choices;
}

// Padded alike, so that both touch as much memory.
struct alignas(64) GyreTimer : internal::TimerNode {};
struct alignas(64) RawTimer : BareTimer {};

double GyreRearm(uint64_t count) {
  static const std::unique_ptr<GyreTimer[]> timers(new GyreTimer[kLive]);
  internal::TimerWheel wheel(/*tick_shift=*/16);
  const std::vector<Choice>& choices = Choices();
  for (uint64_t i = 0; i < kLive; ++i) wheel.Arm(timers[i], TimePoint(Duration(choices[i % kChoices].wait_ns)));
  const Stopwatch watch;
  for (uint64_t i = 0; i < count; ++i) {
    const Choice& choice = choices[i % kChoices];
    wheel.Rearm(timers[choice.timer], TimePoint(Duration(choice.wait_ns)));
  }
  const double elapsed = watch.ElapsedNs();
  while (wheel.PopAny() != nullptr) {
  }
  return elapsed;
}

double RawRearm(uint64_t count) {
  static const std::unique_ptr<RawTimer[]> timers(new RawTimer[kLive]);
  BareWheel wheel;
  const std::vector<Choice>& choices = Choices();
  auto tick = [](const Choice& choice) { return static_cast<uint64_t>(choice.wait_ns) >> 16; };
  for (uint64_t i = 0; i < kLive; ++i) wheel.Arm(timers[i], tick(choices[i % kChoices]));
  const Stopwatch watch;
  for (uint64_t i = 0; i < count; ++i) {
    const Choice& choice = choices[i % kChoices];
    wheel.Disarm(timers[choice.timer]);
    wheel.Arm(timers[choice.timer], tick(choice));
  }
  return watch.ElapsedNs();
}

// Everything that is due at once, a hundred thousand at a time.
double GyreFire(uint64_t count) {
  static const std::unique_ptr<GyreTimer[]> timers(new GyreTimer[kLive]);
  const std::vector<Choice>& choices = Choices();
  double elapsed = 0;
  for (uint64_t round = 0; round < count / kLive + 1; ++round) {
    internal::TimerWheel wheel(/*tick_shift=*/16);
    for (uint64_t i = 0; i < kLive; ++i) wheel.Arm(timers[i], TimePoint(Duration(choices[i % kChoices].wait_ns)));
    const Stopwatch watch;
    uint64_t fired = 0;
    for (TimePoint now; fired < kLive;) {
      now = *wheel.NextExpiry();
      wheel.CollectDue(now);
      while (wheel.PopDue() != nullptr) ++fired;
    }
    elapsed += watch.ElapsedNs();
  }
  return elapsed * static_cast<double>(count) / (static_cast<double>(count / kLive + 1) * kLive);
}

// A SleepFor that is stopped: the clock read, arming, disarming, unwinding.
double GyreSleepStopped(uint64_t count) {
  double elapsed = 0;
  auto sleeper = []() -> Task<> { co_await SleepFor(Duration(kSpreadNs)); };
  auto body = [&](Scope& scope) -> Task<> {
    const Stopwatch watch;
    for (uint64_t i = 0; i < count; ++i) {
      TaskHandle<> task = scope.Spawn(sleeper);
      co_await Yield();
      task.RequestStop();
      static_cast<void>(co_await task.Join());
    }
    elapsed = watch.ElapsedNs();
  };
  Run(body);
  return elapsed;
}

}  // namespace
}  // namespace gyre::bench

int main(int argc, char** argv) {
  using gyre::bench::CostRow;
  const std::vector<CostRow> rows = {
      CostRow("re-arm, 100000 live", &gyre::bench::GyreRearm, &gyre::bench::RawRearm)
          .Limit(1.5)
          .Operations(5'000'000)
          .Peers("add + cancel, 1 M live: Asio 126, libuv 119, Go 159-690, Tokio 1486"),
      CostRow("fire, 100000 over 30 s", &gyre::bench::GyreFire, nullptr).Peers("1 M expired: Asio 399, libuv 1195"),
      CostRow("spawn, sleep, stop, join", &gyre::bench::GyreSleepStopped, nullptr)
          .Peers("stop a suspended task and join it: Photon 359, Go 880, Tokio 1784"),
  };
  return gyre::bench::RunCostTable(argc, argv, "timers", rows);
}
