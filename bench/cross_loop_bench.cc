// What does it cost to talk to another loop: a message, a call and its answer, waking it?
//
// The raw side of the ping-pong is what any two event loops have to do to wake one another: see RawSleeper.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "gyre/bench/cost_table.h"
#include "gyre/bench/raw_sleeper.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/run_on.h"
#include "gyre/runtime/runtime.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"

namespace gyre::bench {
namespace {

RuntimeOptions TwoLoops() { return RuntimeOptions().set_loops(2); }
RuntimeOptions TwoSpinningLoops() { return TwoLoops().set_spin(std::chrono::milliseconds(1)); }

// --- a call and its answer, both loops asleep in between

double PingPong(const RuntimeOptions& options, uint64_t count) {
  Runtime runtime(options);
  auto root = [&]() -> Task<double> {
    Loop& other = runtime.loop(1);
    auto nothing = [] {};
    co_await RunOn(other, nothing);
    const Stopwatch watch;
    for (uint64_t i = 0; i < count; ++i) co_await RunOn(other, nothing);
    co_return watch.ElapsedNs();
  };
  return runtime.Run(root);
}

double GyrePingPong(uint64_t count) { return PingPong(TwoLoops(), count); }
double GyreSpinningPingPong(uint64_t count) { return PingPong(TwoSpinningLoops(), count); }

double RawPingPong(uint64_t count) {
  const RawSleeper here;
  const RawSleeper there;
  std::thread other([&] {
    for (uint64_t i = 0; i < count + 1; ++i) {
      there.Sleep();
      here.Wake();
    }
  });
  auto round_trip = [&] {
    there.Wake();
    here.Sleep();
  };
  round_trip();
  const Stopwatch watch;
  for (uint64_t i = 0; i < count; ++i) round_trip();
  const double elapsed = watch.ElapsedNs();
  other.join();
  return elapsed;
}

// --- calls of many tasks at once

Task<> CallMany(std::reference_wrapper<Loop> other, uint64_t calls) {
  for (uint64_t i = 0; i < calls; ++i) co_await RunOn(other.get(), [] {});
}

double GyreCallsAtOnce(uint64_t count) {
  constexpr uint64_t kTasks = 100;
  Runtime runtime(TwoLoops());
  double elapsed = 0;
  auto root = [&](Scope& scope) -> Task<> {
    const Stopwatch watch;
    std::vector<TaskHandle<>> tasks;
    for (uint64_t i = 0; i < kTasks; ++i) tasks.push_back(scope.Spawn(CallMany, std::ref(runtime.loop(1)), count / kTasks));
    for (TaskHandle<>& task : tasks) co_await task.Join();
    elapsed = watch.ElapsedNs();
  };
  runtime.Run(root);
  return elapsed;
}

// --- messages one way, from a thread to a loop that never sleeps

struct PostTimes {
  double at_sender;
  double until_all_ran;
};

PostTimes PostToAnAwakeLoop(uint64_t count) {
  std::atomic<Loop*> loop{nullptr};
  std::atomic<uint64_t> ran{0};
  std::thread receiver([&] {
    auto stay_awake = [&]() -> Task<> {
      loop.store(&Loop::Current(), std::memory_order_release);
      while (ran.load(std::memory_order_relaxed) < count) co_await Yield();
    };
    gyre::Run(stay_awake);
  });
  Loop* other;
  while ((other = loop.load(std::memory_order_acquire)) == nullptr) std::this_thread::yield();
  PostTimes times;
  const Stopwatch watch;
  for (uint64_t i = 0; i < count; ++i) {
    other->Post([&ran] { ran.store(ran.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed); });
  }
  times.at_sender = watch.ElapsedNs();
  receiver.join();
  times.until_all_ran = watch.ElapsedNs();
  return times;
}
double PostAtSender(uint64_t count) { return PostToAnAwakeLoop(count).at_sender; }
double PostUntilAllRan(uint64_t count) { return PostToAnAwakeLoop(count).until_all_ran; }

}  // namespace
}  // namespace gyre::bench

int main(int argc, char** argv) {
  using gyre::bench::CostRow;
  return gyre::bench::RunCostTable(
      argc, argv, "across loops",
      {
          CostRow("ping-pong, both asleep : eventfd + epoll", &gyre::bench::GyrePingPong, &gyre::bench::RawPingPong)
              .Limit(1.03)
              .Operations(20'000)
              .Peers("Asio 24000, Tokio 24000, libuv 26000, Photon 28000"),
          CostRow("ping-pong, both spinning", &gyre::bench::GyreSpinningPingPong, nullptr)
              .Operations(20'000)
              .Peers("limit 2000"),
          CostRow("call and answer, 100 tasks at once", &gyre::bench::GyreCallsAtOnce, nullptr).Operations(200'000),
          CostRow("message to an awake loop, at the sender", &gyre::bench::PostAtSender, nullptr)
              .Operations(500'000)
              .Peers("limit 60"),
          CostRow("messages one way, until all ran", &gyre::bench::PostUntilAllRan, nullptr)
              .Operations(500'000)
              .Peers("limit 35; Tokio 71-232, Asio 835-912"),
      },
      gyre::bench::CostThreads::kSeveral);
}
