// Executor: where offloaded jobs run: threads that are no loop's. CpuPool and BlockingPool are gyre's; a program may
// add one.
//
// A Job is a piece of work in the frame of whoever waits for it, so handing it over allocates nothing. An executor owes
// each job it has taken exactly one RunJob, on a thread of its own, or one successful Revoke.
//
// Thread-safety: Submit and Revoke from any thread.
// Lifetime:      an executor outlives its jobs; a job lives until RunJob is called, and no longer than that is sure.
// Cancellation:  Revoke takes back what has not started; what runs is asked by other ways (a std::stop_token).
// Errors:        Submit gives a bad status, and keeps nothing of the job, if no thread can be had for it.
#ifndef GYRE_RUNTIME_OFFLOAD_EXECUTOR_H_
#define GYRE_RUNTIME_OFFLOAD_EXECUTOR_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "gyre/runtime/internal/intrusive_list.h"
#include "gyre/runtime/internal/tick_histogram.h"
#include "gyre/runtime/internal/ticks.h"
#include "gyre/runtime/metrics.h"

namespace gyre {

class Executor;
class JobLimiter;

// Jobs of a higher priority start first; but one start in kStartsForLowest goes to the lowest that waits, so that none starves.
enum class Priority : uint8_t {
  kHigh,
  kNormal,
  kLow,
};
inline constexpr int kPriorities = 3;
inline constexpr int kStartsForLowest = 32;

class Job : public internal::ListHook<Job> {
 public:
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  Priority priority() const { return priority_; }
  void set_priority(Priority priority) { priority_ = priority; }

  // For executors: the word in which this one's queue keeps where the job is.
  std::atomic<void*>& place() { return place_; }

 protected:
  Job() = default;
  ~Job() = default;

 private:
  friend class Executor;
  friend class JobLimiter;

  // The work, on the executor's thread.
  virtual void Run() noexcept = 0;
  // Instead of Run, on any thread: it can't be had.
  virtual void Fail(absl::Status why) noexcept = 0;
  // After either, when the executor's books are in order: tells who waits. This object may be gone when it returns.
  virtual void Finish() noexcept = 0;

  JobLimiter* limiter_ = nullptr;
  uint64_t queued_ticks_ = 0;
  Executor* executor_ = nullptr;  // for the limiter, as is the next
  bool is_in_line_ = false;
  Priority priority_ = Priority::kNormal;
  // Said by each queue that uses it.
  std::atomic<void*> place_{nullptr};
};

class Executor {
 public:
  Executor() = default;
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;
  virtual ~Executor() = default;

  virtual std::string_view name() const = 0;
  virtual absl::Status Submit(Job& job) noexcept = 0;
  // True: `job` had not started, never will, and is the caller's again. False: it runs, or has run, or was never here.
  virtual bool Revoke(Job& job) noexcept = 0;
  // Jobs that wait beyond what the queue is meant to hold make new ones wait; a caller that would rather be refused
  // asks first.
  virtual bool IsFull() const noexcept = 0;
  // Its threads are oneTBB's: parallel algorithms inside its jobs spread over them.
  virtual bool has_tbb_workers() const noexcept { return false; }

  // From any thread.
  PoolMetrics metrics() const;
  // Threads that it has, or may have.
  virtual size_t thread_count() const noexcept = 0;

  // Jobs whose callers have left without waiting for their end. See AbandonOnStop.
  int64_t abandoned() const { return abandoned_.load(std::memory_order_relaxed); }
  void CountAbandoned(int64_t change) { abandoned_.fetch_add(change, std::memory_order_relaxed); }

 protected:
  // At the start of Submit.
  static void MarkQueued(Job& job) noexcept { job.queued_ticks_ = internal::ReadTicks(); }
  // For the executor's threads. Nothing of the job may be touched afterwards.
  void RunJob(Job& job) noexcept;
  // At the start of a destructor, which waits for them.
  void ReportAbandoned() const;

 private:
  internal::TickHistogram queued_;
  internal::TickHistogram running_;
  const internal::TickScale tick_scale_;
  std::atomic<int64_t> abandoned_{0};  // relaxed: a figure
};

}  // namespace gyre

#endif  // GYRE_RUNTIME_OFFLOAD_EXECUTOR_H_
