// What does it cost to have work done on another thread: to the loop, and until the result is back?
//
// The raw side hands each job to oneTBB itself: tbb::task_arena::enqueue, and an eventfd that the job writes and an
// epoll_wait that waits for it; tbb::parallel_for for the parallel loop.
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "gyre/bench/cost_table.h"
#include "gyre/bench/raw_sleeper.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/offload/cpu_pool.h"
#include "gyre/runtime/offload/offload.h"
#include "gyre/runtime/offload/parallel.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/with_scope.h"

namespace gyre::bench {
namespace {

using namespace std::chrono_literals;

// Passes jobs on, and adds up how long that takes.
class TimedExecutor final : public Executor {
 public:
  explicit TimedExecutor(Executor& inner) : inner_(inner) {}

  std::string_view name() const override { return "timed"; }
  size_t thread_count() const noexcept override { return inner_.thread_count(); }
  absl::Status Submit(Job& job) noexcept override {
    const Stopwatch watch;
    absl::Status status = inner_.Submit(job);
    elapsed_ns_ += watch.ElapsedNs();
    return status;
  }
  bool Revoke(Job& job) noexcept override { return inner_.Revoke(job); }
  bool IsFull() const noexcept override { return inner_.IsFull(); }

  double elapsed_ns() const { return elapsed_ns_; }

 private:
  Executor& inner_;
  double elapsed_ns_ = 0;
};

// --- an empty job, there and back, one at a time

double GyreRoundTrip(uint64_t count) {
  return gyre::Run([count]() -> Task<double> {
    auto nothing = [] {};
    co_await Offload(nothing);
    const Stopwatch watch;
    for (uint64_t i = 0; i < count; ++i) co_await Offload(nothing);
    co_return watch.ElapsedNs();
  });
}

double GyreBlockingRoundTrip(uint64_t count) {
  return gyre::Run([count]() -> Task<double> {
    auto nothing = [] {};
    co_await OffloadBlocking(nothing);
    const Stopwatch watch;
    for (uint64_t i = 0; i < count; ++i) co_await OffloadBlocking(nothing);
    co_return watch.ElapsedNs();
  });
}

double RawRoundTrip(uint64_t count) {
  tbb::task_arena arena;
  const RawSleeper loop;
  auto round_trip = [&] {
    arena.enqueue([&loop] { loop.Wake(); });
    loop.Sleep();
  };
  round_trip();
  const Stopwatch watch;
  for (uint64_t i = 0; i < count; ++i) round_trip();
  return watch.ElapsedNs();
}

// --- what the loop pays to hand a job over

// Each job after a pause in which every thread goes to sleep.
double GyreSubmitAsleep(uint64_t count) {
  CpuPool pool;
  TimedExecutor timed(pool);
  gyre::Run([&]() -> Task<> {
    for (uint64_t i = 0; i < count; ++i) {
      co_await Offload(timed, [] {});
      co_await SleepFor(2ms);
    }
  });
  return timed.elapsed_ns();
}

double RawSubmitAsleep(uint64_t count) {
  tbb::task_arena arena;
  const RawSleeper loop;
  double elapsed = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const Stopwatch watch;
    arena.enqueue([&loop] { loop.Wake(); });
    elapsed += watch.ElapsedNs();
    loop.Sleep();
    std::this_thread::sleep_for(2ms);  // until oneTBB's threads are asleep, as gyre's are in the row's other side
  }
  return elapsed;
}

// While every thread of the pool has a job that does not end.
double GyreSubmitBusy(uint64_t count) {
  CpuPool pool(CpuPoolOptions().set_queue_capacity(count + 64));
  std::atomic<int> busy{0};
  std::atomic<bool> is_over{false};
  double elapsed = 0;
  auto occupy = [&]() -> Task<> {
    auto job = [&] {
      ++busy;
      while (!is_over.load(std::memory_order_relaxed)) std::this_thread::yield();
    };
    co_await Offload(pool, job);
  };
  auto one = [&]() -> Task<> { co_await Offload(pool, [] {}); };
  gyre::Run([&](Scope& scope) -> Task<> {
    for (int i = 0; i < pool.threads(); ++i) scope.Spawn(occupy);
    while (busy < pool.threads()) co_await Yield();
    for (uint64_t i = 0; i < count; ++i) scope.Spawn(one);
    const Stopwatch watch;
    co_await Yield();  // all of them submit
    for (uint64_t i = 0; i < count / 32; ++i) co_await Yield();
    elapsed = watch.ElapsedNs();
    is_over = true;
  });
  return elapsed;
}

// --- tiny jobs, many at once

double GyreTinyJobs(uint64_t count) {
  constexpr uint64_t kTasks = 1000;
  double elapsed = 0;
  auto many = [](uint64_t jobs) -> Task<> {
    for (uint64_t i = 0; i < jobs; ++i) co_await Offload([] {});
  };
  gyre::Run([&](Scope& scope) -> Task<> {
    co_await Offload([] {});
    const Stopwatch watch;
    std::vector<TaskHandle<>> tasks;
    for (uint64_t i = 0; i < kTasks; ++i) tasks.push_back(scope.Spawn(many, count / kTasks));
    for (TaskHandle<>& task : tasks) co_await task.Join();
    elapsed = watch.ElapsedNs();
  });
  return elapsed;
}

double RawTinyJobs(uint64_t count) {
  tbb::task_arena arena;
  std::atomic<uint64_t> ran{0};
  const Stopwatch watch;
  for (uint64_t i = 0; i < count; ++i) arena.enqueue([&ran] { ran.fetch_add(1, std::memory_order_relaxed); });
  while (ran.load(std::memory_order_relaxed) < count) std::this_thread::yield();
  return watch.ElapsedNs();
}

// --- a parallel loop over many elements; an operation is an element

std::vector<float>& Elements() {
  static std::vector<float> elements(10'000'000, 1.5f);
  return elements;
}

double GyreParallelFor(uint64_t count) {
  std::vector<float>& elements = Elements();
  return gyre::Run([&elements, count]() -> Task<double> {
    auto grow = [&elements](size_t i) { elements[i] = elements[i] * 1.0001f + 0.5f; };
    co_await Offload([] {});
    const Stopwatch watch;
    co_await ParallelFor(size_t{0}, static_cast<size_t>(count), grow);
    co_return watch.ElapsedNs();
  });
}

double RawParallelFor(uint64_t count) {
  std::vector<float>& elements = Elements();
  auto grow = [&elements](size_t i) { elements[i] = elements[i] * 1.0001f + 0.5f; };
  const Stopwatch watch;
  tbb::parallel_for(size_t{0}, static_cast<size_t>(count), grow);
  return watch.ElapsedNs();
}

}  // namespace
}  // namespace gyre::bench

int main(int argc, char** argv) {
  using gyre::bench::CostRow;
  return gyre::bench::RunCostTable(
      argc, argv, "offload",
      {
          CostRow("empty job there and back : enqueue + eventfd", &gyre::bench::GyreRoundTrip,
                  &gyre::bench::RawRoundTrip)
              .Limit(1.05)
              .Operations(20'000)
              .Peers("Tokio 17000-23000, Asio 24600, libuv 25600"),
          CostRow("OffloadBlocking there and back : enqueue + eventfd", &gyre::bench::GyreBlockingRoundTrip,
                  &gyre::bench::RawRoundTrip)
              .Operations(20'000),
          CostRow("to submit while all sleep : enqueue", &gyre::bench::GyreSubmitAsleep, &gyre::bench::RawSubmitAsleep)
              .Operations(100)
              .Peers("limit 2500; enqueue 9000-35000"),
          CostRow("a task that submits while all are busy", &gyre::bench::GyreSubmitBusy, nullptr)
              .Operations(5'000)
              .Peers("limit 150"),
          CostRow("tiny jobs, 1000 at once : enqueue", &gyre::bench::GyreTinyJobs, &gyre::bench::RawTinyJobs)
              .Operations(200'000)
              .Peers("limit 300; Go 746, Asio 1058, Tokio 1202-1765"),
          CostRow("ParallelFor, an element : tbb::parallel_for", &gyre::bench::GyreParallelFor,
                  &gyre::bench::RawParallelFor)
              .Limit(1.02)
              .Operations(10'000'000),
      },
      gyre::bench::CostThreads::kSeveral);
}
