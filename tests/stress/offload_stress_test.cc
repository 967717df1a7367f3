// Jobs from several loops into one small pool, with stops that race with their starts: each job runs once or is stopped
// before it runs, and every caller hears of it once. [J02, J10]
#include <atomic>
#include <cstddef>
#include <cstdio>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/offload/cpu_pool.h"
#include "gyre/runtime/offload/job_limiter.h"
#include "gyre/runtime/offload/offload.h"
#include "gyre/runtime/runtime.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"

namespace gyre {
namespace {

#ifdef GYRE_DEBUG_CHECKS  // the sanitizers' builds: some ten times slower
constexpr int kJobs = 10'000;
#else
constexpr int kJobs = 200'000;
#endif
constexpr int kAtOnce = 50;

struct Tally {
  std::atomic<int> ran{0};
  std::atomic<int> values{0};
  std::atomic<int> stops{0};
};

Task<> Call(const OffloadOptions& options, Tally& tally, int number) {
  auto job = [&tally, number] {
    ++tally.ran;
    return number;
  };
  const Outcome<int> outcome = co_await AsOutcome(Offload(options, job));
  ++(outcome.stopped() ? tally.stops : tally.values);
  EXPECT_TRUE(outcome.stopped() || outcome.value() == number);
}

Task<> CallMany(const OffloadOptions& options, Tally& tally) {
  for (int first = 0; first < kJobs; first += kAtOnce) {
    auto body = [&](Scope& scope) -> Task<> {
      std::vector<TaskHandle<>> calls;
      for (int i = 0; i < kAtOnce; ++i)
        calls.push_back(scope.Spawn(Call, std::cref(options), std::ref(tally), first + i));
      co_await Yield();
      for (size_t i = 0; i < kAtOnce; i += 2) {
        if (i % 8 == 0) co_await Yield();
        calls[i].RequestStop();
      }
    };
    co_await WithScope(body);
  }
}

void RunThrough(const OffloadOptions& options) {
  Tally tally;
  Runtime runtime(RuntimeOptions().set_loops(3));
  const absl::Status status = runtime.RunOnEveryLoop([&] { return CallMany(options, tally); });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(tally.values + tally.stops, 3 * kJobs);
  EXPECT_EQ(tally.values, tally.ran) << "what ran is delivered, in spite of a stop; what was stopped did not run";
  EXPECT_GT(tally.values, 0);
  EXPECT_GT(tally.stops, 0);
  std::printf("%d values, %d stops\n", tally.values.load(), tally.stops.load());
}

TEST(OffloadStress, EachJobRunsOnceOrIsStoppedBefore) {
  for (size_t capacity : {2u, 64u}) {
    CpuPool pool(CpuPoolOptions().set_threads(2).set_queue_capacity(capacity));
    RunThrough(OffloadOptions().set_executor(pool));
  }
}

TEST(OffloadStress, AlsoThroughALimiter) {
  CpuPool pool(CpuPoolOptions().set_threads(2).set_queue_capacity(2));
  JobLimiter limiter(2);
  RunThrough(OffloadOptions().set_executor(pool).set_limiter(limiter));
}

}  // namespace
}  // namespace gyre
