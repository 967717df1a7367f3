// gyre: RunOn and Post between two loops of a Runtime; Offload on the runtime's own pool.
#include <atomic>
#include <cstdint>
#include <functional>

#include "gyre/bench/peers/handover_peers.h"
#include "gyre/runtime/bridge.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/offload/offload.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/run_on.h"
#include "gyre/runtime/runtime.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/with_scope.h"

namespace gyre::bench {
namespace {

RuntimeOptions TwoLoops(const HandoverRun& run) {
  return RuntimeOptions().set_loops(2).set_pin_loops(!run.cpus().empty());
}

Task<> CallMany(std::reference_wrapper<Loop> other, std::uint64_t calls, std::uint64_t& ran) {
  for (std::uint64_t i = 0; i < calls; ++i) co_await RunOn(other.get(), [&ran] { ++ran; });
}

Task<> OffloadMany(std::uint64_t jobs, std::atomic<std::uint64_t>& ran) {
  for (std::uint64_t i = 0; i < jobs; ++i) co_await Offload([&ran] { ran.fetch_add(1, std::memory_order_relaxed); });
}

}  // namespace

void RunGyreCalls(HandoverRun& run) {
  Runtime runtime(TwoLoops(run));
  runtime.Run([&]() -> Task<> {
    Loop& other = runtime.loop(1);
    std::uint64_t ran = 0;  // the other loop's, until the last answer
    auto calls = [&](Scope& scope) -> Task<> {
      for (std::uint64_t i = 0; i < run.at_once(); ++i) {
        scope.Spawn(CallMany, std::ref(other), run.each(), std::ref(ran));
      }
      co_return;
    };
    co_await RunOn(other, [] {});
    run.Start();
    co_await WithScope(calls);
    run.Stop(ran);
  });
}

void RunGyreMessages(HandoverRun& run) {
  Runtime runtime(TwoLoops(run));
  runtime.Run([&]() -> Task<> {
    Loop& other = runtime.loop(1);
    std::uint64_t ran = 0;  // the other loop's, until it completes the bridge
    Bridge<> all_ran;
    co_await RunOn(other, [] {});
    run.Start();
    for (std::uint64_t i = 0; i < run.operations(); ++i) other.Post([&ran] { ++ran; });
    other.Post([&all_ran] { all_ran.Complete(); });
    co_await all_ran.Wait();
    run.Stop(ran);
  });
}

void RunGyreOffload(HandoverRun& run) {
  Run([&]() -> Task<> {
    std::atomic<std::uint64_t> ran{0};  // a count, relaxed
    auto jobs = [&](Scope& scope) -> Task<> {
      for (std::uint64_t i = 0; i < run.at_once(); ++i) scope.Spawn(OffloadMany, run.each(), std::ref(ran));
      co_return;
    };
    co_await Offload([] {});
    run.Start();
    co_await WithScope(jobs);
    run.Stop(ran.load(std::memory_order_relaxed));
  });
}

}  // namespace gyre::bench
