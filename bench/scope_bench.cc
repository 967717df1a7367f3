// What does structure cost: a task that can be named, joined and stopped, beside a bare coroutine on a ring of handles?
//
// "A raw spawn" is the least that lets a coroutine run later: a recycled frame, a push to a ring, a pop, a resumption, the
// frame's end, and a count of those that are still out. It can't be joined, stopped or named, and its errors go nowhere.
#include <malloc.h>

#include <coroutine>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string_view>
#include <vector>

#include "gyre/bench/cost_table.h"
#include "gyre/bench/raw_coroutine.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/when_all.h"
#include "gyre/runtime/with_scope.h"

namespace gyre::bench {
namespace {

// --- raw

// Runs when the ring comes to it, and destroys itself.
class RawSpawned {
 public:
  struct promise_type {
    static void* operator new(size_t size) { return RawFrames::Allocate(size); }
    static void operator delete(void* block) { RawFrames::Free(block); }
    RawSpawned get_return_object() { return RawSpawned(std::coroutine_handle<promise_type>::from_promise(*this)); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
  explicit RawSpawned(std::coroutine_handle<> spawned) : handle(spawned) {}
  std::coroutine_handle<> handle;
};

[[gnu::noinline]] RawSpawned RawNothing(uint64_t& live) {
  --live;
  co_return;
}

double RawSpawnMany(uint64_t count, uint64_t batch) {
  static RawRing ring;
  const Stopwatch watch;
  for (uint64_t done = 0; done < count; done += batch) {
    uint64_t live = batch;
    for (uint64_t i = 0; i < batch; ++i) ring.Push(RawNothing(live).handle);
    ring.RunAll();
    if (live != 0) std::abort();
  }
  return watch.ElapsedNs();
}
double RawSpawn1(uint64_t count) { return RawSpawnMany(count, 1); }
double RawSpawn1000(uint64_t count) { return RawSpawnMany(count, 1000); }

// --- gyre

[[gnu::noinline]] Task<> Nothing() { co_return; }

double SpawnJoin(uint64_t count) {
  double elapsed = 0;
  auto body = [&](Scope& scope) -> Task<> {
    const Stopwatch watch;
    for (uint64_t i = 0; i < count; ++i) {
      TaskHandle<> task = scope.Spawn(Nothing);
      static_cast<void>(co_await task.Join());
    }
    elapsed = watch.ElapsedNs();
  };
  Run(body);
  return elapsed;
}

double SpawnMany(uint64_t count) {
  constexpr uint64_t kBatch = 1000;
  auto batch = [](Scope& scope) -> Task<> {
    for (uint64_t i = 0; i < kBatch; ++i) scope.Spawn(Nothing);
    co_return;
  };
  auto all = [&]() -> Task<double> {
    const Stopwatch watch;
    for (uint64_t i = 0; i < count / kBatch; ++i) co_await WithScope(batch);
    co_return watch.ElapsedNs();
  };
  return Run(all);
}

Task<> SleepForever() { co_await SleepFor(kForever); }

// Only the stop is timed: the request, the unwinding of the task, its join.
double StopJoin(uint64_t count) {
  constexpr uint64_t kBatch = 1000;
  double elapsed = 0;
  auto batch = [&](Scope& scope) -> Task<> {
    std::vector<TaskHandle<>> tasks;
    for (uint64_t i = 0; i < kBatch; ++i) tasks.push_back(scope.Spawn(SleepForever));
    for (uint64_t i = 0; i < kBatch / 16; ++i) co_await Yield();  // until all are suspended
    const Stopwatch watch;
    for (TaskHandle<>& task : tasks) {
      task.RequestStop();
      static_cast<void>(co_await task.Join());
    }
    elapsed += watch.ElapsedNs();
  };
  auto all = [&]() -> Task<> {
    for (uint64_t i = 0; i < count / kBatch; ++i) co_await WithScope(batch);
  };
  Run(all);
  return elapsed;
}

double WhenAllReady(uint64_t count) {
  constexpr uint64_t kBatch = 100;
  auto all = [&]() -> Task<double> {
    const Stopwatch watch;
    for (uint64_t i = 0; i < count / kBatch; ++i) {
      std::vector<Task<>> tasks;
      tasks.reserve(kBatch);
      for (uint64_t j = 0; j < kBatch; ++j) tasks.push_back(Nothing());
      static_cast<void>(co_await WhenAll(std::move(tasks)));
    }
    co_return watch.ElapsedNs();
  };
  return Run(all);
}

// --- memory

// What the heap gave for `kTasks` tasks that are named, can be stopped and joined, and sleep on a timer.
double BytesPerSleepingTask() {
  constexpr size_t kTasks = 100'000;
  double bytes = 0;
  auto body = [&](Scope& scope) -> Task<> {
    const size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    for (size_t i = 0; i < kTasks; ++i) scope.SpawnNamed("sleeper", SleepForever);
    for (size_t i = 0; i < kTasks / 16; ++i) co_await Yield();  // until all are suspended
    bytes = static_cast<double>(mallinfo2().uordblks + mallinfo2().hblkhd - before) / kTasks;
    scope.RequestStop();
  };
  Run(body);
  return bytes;
}

#ifdef __clang__
constexpr double kSleepingTaskBytesMax = 256;
#else
constexpr double kSleepingTaskBytesMax = 320;
#endif
// Slabs: 128 bytes of 32 KiB for headers, and the last one is not full.
constexpr double kSlabShare = 1.01;

bool ReportMemory() {
  const double bytes = BytesPerSleepingTask();
  const bool is_over = bytes > kSleepingTaskBytesMax * kSlabShare;
  std::printf("a named, stoppable, joinable task asleep on a timer: %.1f bytes (limit %.0f and a slab's share)%s\n", bytes,
              kSleepingTaskBytesMax, is_over ? " OVER" : "");
  return !is_over;
}

}  // namespace
}  // namespace gyre::bench

int main(int argc, char** argv) {
  using gyre::bench::CostRow;
  const std::vector<CostRow> rows = {
      CostRow("spawn + join : raw spawn", &gyre::bench::SpawnJoin, &gyre::bench::RawSpawn1)
          .Limit(4)
          .Peers("corral 74, Photon 180, Tokio 204, Asio 241, Go 334"),
      CostRow("spawn 1000, join all : raw spawn", &gyre::bench::SpawnMany, &gyre::bench::RawSpawn1000)
          .Limit(3.5)
          .Peers("corral 31, libcoro 109, Tokio 144, Asio 175, Go 189"),
      CostRow("stop + join : raw spawn", &gyre::bench::StopJoin, &gyre::bench::RawSpawn1000)
          .Limit(150 / 5.7)
          .Operations(200'000)
          .Peers("Photon 359, Go 880, Tokio 1784, Asio 7976"),
      CostRow("WhenAll of 100 ready : raw spawn", &gyre::bench::WhenAllReady, &gyre::bench::RawSpawn1000)
          .Limit(4)
          .Operations(500'000),
  };
  bool is_count = false;
  bool is_check = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument(argv[i]);
    is_count |= argument.starts_with("--count");
    is_check |= argument == "--check";
  }
  const int status = gyre::bench::RunCostTable(argc, argv, "scopes", rows);
  if (is_count || status == 2) return status;
  const bool fits = gyre::bench::ReportMemory();
  return status == 0 && is_check && !fits ? 1 : status;
}
