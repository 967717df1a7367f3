// LoopMetrics, PoolMetrics and RuntimeMetrics: what loops and pools have done so far, read while they run.
//
//   const gyre::LoopMetrics before = loop.metrics();
//   ...
//   const gyre::LoopMetrics now = loop.metrics();
//   Report(now.turns - before.turns, now.busy.Quantile(0.99));
//
// A figure without "now" only grows; those of one reading may be a few operations apart.
//
// Thread-safety: values; reading is for any thread as long as the loop or pool lives.
// Units:         counts; nanoseconds.
// Cost:          to a loop a few stores a turn; to a pool's threads about 40 ns a job.
#ifndef GYRE_RUNTIME_METRICS_H_
#define GYRE_RUNTIME_METRICS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "gyre/runtime/time.h"

namespace gyre {

// How often something took how long. Each bucket reaches twice as far as the one before.
class DurationHistogram {
 public:
  static constexpr size_t kBuckets = 48;

  DurationHistogram() {}
  DurationHistogram(const std::array<uint64_t, kBuckets>& counts, double first_bound_ns)
      : counts_(counts), first_bound_ns_(first_bound_ns) {}

  uint64_t count(size_t bucket) const { return counts_[bucket]; }
  // What the bucket's durations stay below.
  Duration bound(size_t bucket) const;
  uint64_t count() const;
  // No more than the fraction `q` took longer than this: the bound of a bucket. Zero if nothing was counted.
  Duration Quantile(double q) const;
  // What was counted since `earlier`, a reading of the same.
  DurationHistogram Since(const DurationHistogram& earlier) const;

 private:
  std::array<uint64_t, kBuckets> counts_{};
  double first_bound_ns_ = 1;
};

struct LoopMetrics {
  uint64_t turns = 0;
  uint64_t runs = 0;      // pieces of tasks, callbacks and completions that were run
  uint64_t spawned = 0;   // tasks
  uint64_t messages = 0;  // that other threads have sent: posts, calls, completions
  uint64_t wakes = 0;     // of those, the ones whose sender had to wake the loop; the others were spared that
  uint64_t polls = 0;     // times that the backend was asked
  uint64_t sleeps = 0;    // of those, the ones that might wait
  uint64_t syscalls = 0;  // of the backend
  uint64_t events = 0;    // readiness or completions that it brought
  // How long the loop ran between two looks at the world outside: what came in that time has waited no longer. Sleep is
  // not counted.
  DurationHistogram busy;
};

struct PoolMetrics {
  uint64_t jobs = 0;          // that have run
  uint64_t threads = 0;       // that it has, or may have, now
  int64_t abandoned = 0;      // jobs that run without their caller, now
  DurationHistogram queued;   // from submission to start
  DurationHistogram running;  // from start to end
};

struct RuntimeMetrics {
  std::vector<LoopMetrics> loops;
  PoolMetrics cpu;  // of pools that the runtime has made: nothing for one that is not used, or given to it
  PoolMetrics blocking;
};

}  // namespace gyre

#endif  // GYRE_RUNTIME_METRICS_H_
