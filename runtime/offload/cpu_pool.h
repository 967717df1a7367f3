// CpuPool: the threads that run CPU-bound jobs, so that loops need not: a oneTBB arena, fed through a queue of its own.
//
//   gyre::CpuPool pool(gyre::CpuPoolOptions().set_threads(4));      // a Runtime has one of its own
//   Digest digest = co_await gyre::Offload(pool, Hash, std::move(data));
//
// Jobs run inside the arena: what they hand to oneTBB (tbb::parallel_for) is spread over the same threads. (Only a thread that stands
// in for a blocked one is outside: what it hands over goes to oneTBB's arena for such threads.) Submitting costs a loop a push, and at
// most one wake of a thread that waits for it: TBB's own workers, which are dear to wake, are woken by gyre's threads.
//
// Thread-safety: any thread, but for the destructor.
// Lifetime:      outlives its jobs; the destructor waits for abandoned ones, and says so in the log. Not to be destroyed by a job.
// Cancellation:  a job that has not started is taken back at once.
// Errors:        the constructor throws std::system_error if it can't have its two threads, std::bad_alloc without memory.
// Cost:          two threads of gyre's own, asleep without work, and one more for each job that was ever blocked at the same time (see
//                blocking_section.h), up to 256; TBB's workers are the process's. See docs/benchmarks.md.
#ifndef GYRE_RUNTIME_OFFLOAD_CPU_POOL_H_
#define GYRE_RUNTIME_OFFLOAD_CPU_POOL_H_

#include <chrono>
#include <cstddef>
#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "gyre/runtime/offload/executor.h"
#include "gyre/runtime/time.h"

namespace gyre {

class CpuPoolOptions {
 public:
  CpuPoolOptions() {}

  // Jobs at once; 0, the default: one for each CPU that the affinity mask and the control group's quota allow. No more
  // than oneTBB lets the process have, which is one for each CPU unless somebody has said otherwise: CpuPool::threads()
  // tells.
  CpuPoolOptions& set_threads(int threads) {
    threads_ = threads;
    return *this;
  }
  // Jobs of each priority that may wait before IsFull says so; 0, the default: 256 for each thread.
  CpuPoolOptions& set_queue_capacity(size_t jobs) {
    queue_capacity_ = jobs;
    return *this;
  }
  // How long a thread without work looks for some before it sleeps.
  CpuPoolOptions& set_spin(Duration spin) {
    spin_ = spin;
    return *this;
  }
  // Runs the pool's threads as SCHED_BATCH, so that a loop that wakes goes before a busy job. TBB's workers are set
  // back when they leave the arena. Off by default.
  CpuPoolOptions& set_batch_scheduling(bool batch) {
    batch_scheduling_ = batch;
    return *this;
  }

  // Nobody else in the process uses oneTBB: while the pool lives, oneTBB's limit for the process is the pool's
  // `threads`.
  CpuPoolOptions& set_owns_tbb(bool owns) {
    owns_tbb_ = owns;
    return *this;
  }

  int threads() const { return threads_; }
  size_t queue_capacity() const { return queue_capacity_; }
  Duration spin() const { return spin_; }
  bool batch_scheduling() const { return batch_scheduling_; }
  bool owns_tbb() const { return owns_tbb_; }

 private:
  int threads_ = 0;
  size_t queue_capacity_ = 0;
  Duration spin_ = std::chrono::microseconds(20);
  bool batch_scheduling_ = false;
  bool owns_tbb_ = false;
};

class CpuPool final : public Executor {
 public:
  explicit CpuPool(const CpuPoolOptions& options = CpuPoolOptions());
  ~CpuPool() override;

  int threads() const;

  std::string_view name() const override { return "cpu"; }
  size_t thread_count() const noexcept override { return static_cast<size_t>(threads()); }
  absl::Status Submit(Job& job) noexcept override;
  bool Revoke(Job& job) noexcept override;
  bool IsFull() const noexcept override;
  bool has_tbb_workers() const noexcept override;

 private:
  class Threads;

  const std::unique_ptr<Threads> threads_;
};

}  // namespace gyre

#endif  // GYRE_RUNTIME_OFFLOAD_CPU_POOL_H_
