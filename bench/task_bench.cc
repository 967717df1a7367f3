// What do tasks cost: an await, a yield, a stop? (A spawn: scope_bench.)
#include <coroutine>
#include <cstdint>
#include <vector>

#include "gyre/bench/cost_table.h"
#include "gyre/bench/raw_coroutine.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/with_scope.h"

namespace gyre::bench {
namespace {

// --- await of a child that finishes at once

[[gnu::noinline]] Task<long> Child(long value) { co_return value + 1; }
[[gnu::noinline]] RawTask RawChild(long value) { co_return value + 1; }

Task<double> Awaits(uint64_t count) {
  const Stopwatch watch;
  long sum = 0;
  for (uint64_t i = 0; i < count; ++i) sum = co_await Child(sum);
  if (sum != static_cast<long>(count)) std::abort();
  co_return watch.ElapsedNs();
}
RawTask RawAwaits(uint64_t count, double* elapsed) {
  const Stopwatch watch;
  long sum = 0;
  for (uint64_t i = 0; i < count; ++i) sum = co_await RawChild(sum);
  *elapsed = watch.ElapsedNs();
  co_return sum;
}

double GyreAwait(uint64_t count) { return Run(Awaits(count)); }
double RawAwait(uint64_t count) {
  double elapsed = 0;
  RawTask task = RawAwaits(count, &elapsed);
  task.frame().resume();
  if (task.await_resume() != static_cast<long>(count)) std::abort();
  return elapsed;
}

// --- yield through the loop, by a thousand tasks

constexpr uint64_t kYielders = 1000;

Task<> Yielder(uint64_t rounds) {
  for (uint64_t i = 0; i < rounds; ++i) co_await Yield();
}
double GyreYield(uint64_t count) {
  double elapsed = 0;
  auto body = [&](Scope& scope) -> Task<> {
    for (uint64_t i = 0; i < kYielders; ++i) scope.Spawn(Yielder, count / kYielders);
    co_await Yield();
    const Stopwatch watch;
    while (scope.live_children() > 0) co_await Yield();
    elapsed = watch.ElapsedNs();
  };
  Run(body);
  return elapsed;
}

struct RawYieldAwaiter {
  explicit RawYieldAwaiter(RawRing& ring) : ring(ring) {}
  bool await_ready() noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) { ring.Push(handle); }
  void await_resume() noexcept {}
  RawRing& ring;
};

RawTask RawYielder(RawRing& ring, uint64_t rounds) {
  for (uint64_t i = 0; i < rounds; ++i) co_await RawYieldAwaiter(ring);
  co_return 0;
}
double RawYield(uint64_t count) {
  static RawRing ring;
  std::vector<RawTask> tasks;
  for (uint64_t i = 0; i < kYielders; ++i) tasks.push_back(RawYielder(ring, count / kYielders));
  for (RawTask& task : tasks) ring.Push(task.frame());
  const Stopwatch watch;
  ring.RunAll();
  return watch.ElapsedNs();
}

// --- stop of a suspended task, eight frames deep

Task<> Descend(int depth) {
  if (depth > 1) {
    co_await Descend(depth - 1);
  } else {
    co_await SleepFor(kForever);
  }
}

constexpr uint64_t kStoppedAtOnce = 1000;

// Only the stop is timed: the request, the unwinding of eight frames, the end of the task.
double GyreStop(uint64_t count) {
  double elapsed = 0;
  auto batch = [&](Scope& scope) -> Task<> {
    std::vector<TaskHandle<>> tasks;
    for (uint64_t i = 0; i < kStoppedAtOnce; ++i) tasks.push_back(scope.Spawn(Descend, 8));
    while (!tasks.back().Done() && scope.live_children() < kStoppedAtOnce) co_await Yield();
    for (uint64_t i = 0; i < kStoppedAtOnce / 16; ++i) co_await Yield();  // until all are suspended
    const Stopwatch watch;
    for (TaskHandle<>& task : tasks) task.RequestStop();
    while (scope.live_children() > 0) co_await Yield();
    elapsed += watch.ElapsedNs();
  };
  auto all = [&]() -> Task<> {
    for (uint64_t i = 0; i < count / kStoppedAtOnce; ++i) co_await WithScope(batch);
  };
  Run(all);
  return elapsed;
}

}  // namespace
}  // namespace gyre::bench

int main(int argc, char** argv) {
  using gyre::bench::CostRow;
  const std::vector<CostRow> rows = {
      CostRow("await", &gyre::bench::GyreAwait, &gyre::bench::RawAwait)
          .Limit(1.3)
          .Operations(5'000'000)
          .Peers("cppcoro 12.0, Asio 12.2, libcoro 12.6, corral 31"),
      CostRow("yield", &gyre::bench::GyreYield, &gyre::bench::RawYield)
          .Limit(2.5)
          .Operations(5'000'000)
          .Peers("corral 9.1, Photon 29, Tokio 64, Asio 74, Go 92"),
      CostRow("stop 8 frames : raw awaits", &gyre::bench::GyreStop, &gyre::bench::RawAwait)
          .Limit(10)
          .Operations(200'000)
          .Peers("Photon 359, Go 880, Tokio 1784, Asio 7976"),
  };
  return gyre::bench::RunCostTable(argc, argv, "tasks", rows);
}
