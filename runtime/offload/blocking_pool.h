// BlockingPool: threads for calls that wait (files, name lookups, foreign libraries), as many as are needed at once.
//
// It starts with none. A job that finds no idle thread starts one, up to the limit; one that has been idle for the
// keep-alive time ends. It shares no thread with CPU-bound work, so neither can starve the other.
//
// Thread-safety: any thread, but for the destructor.
// Lifetime:      outlives its jobs; the destructor waits for abandoned ones, and says so in the log.
// Cancellation:  a job that has not started is taken back at once.
// Errors:        Submit gives kResourceExhausted if not even a first thread can be had.
// Cost:          a lock at each end of a job; a new thread takes its submitter 15 to 20 us.
#ifndef GYRE_RUNTIME_OFFLOAD_BLOCKING_POOL_H_
#define GYRE_RUNTIME_OFFLOAD_BLOCKING_POOL_H_

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <list>
#include <mutex>
#include <string_view>
#include <thread>

#include "absl/status/status.h"
#include "gyre/runtime/internal/intrusive_list.h"
#include "gyre/runtime/internal/thread_cpus.h"
#include "gyre/runtime/offload/executor.h"
#include "gyre/runtime/time.h"

namespace gyre {

class BlockingPoolOptions {
 public:
  BlockingPoolOptions() {}

  BlockingPoolOptions& set_threads_max(size_t threads) {
    threads_max_ = threads;
    return *this;
  }
  // How long a thread stays without work.
  BlockingPoolOptions& set_keep_alive(Duration time) {
    keep_alive_ = time;
    return *this;
  }
  // Jobs that may wait before IsFull says so.
  BlockingPoolOptions& set_queue_capacity(size_t jobs) {
    queue_capacity_ = jobs;
    return *this;
  }

  size_t threads_max() const { return threads_max_; }
  Duration keep_alive() const { return keep_alive_; }
  size_t queue_capacity() const { return queue_capacity_; }

 private:
  size_t threads_max_ = 64;
  Duration keep_alive_ = std::chrono::seconds(10);
  size_t queue_capacity_ = 1024;
};

class BlockingPool final : public Executor {
 public:
  explicit BlockingPool(const BlockingPoolOptions& options = BlockingPoolOptions());
  ~BlockingPool() override;

  // Threads that live now.
  size_t threads() const;

  std::string_view name() const override { return "blocking"; }
  size_t thread_count() const noexcept override { return threads(); }
  absl::Status Submit(Job& job) noexcept override;
  bool Revoke(Job& job) noexcept override;
  bool IsFull() const noexcept override;

 private:
  using ThreadPlace = std::list<std::thread>::iterator;

  absl::Status StartThread() noexcept;
  void Work(ThreadPlace self) noexcept;
  // The job to start next. Under the lock, when one waits.
  Job* Next() noexcept;

  const BlockingPoolOptions options_;
  const internal::ThreadCpus cpus_;  // of its maker, for its threads, whoever starts them
  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable none_left_;
  internal::IntrusiveList<Job> queues_[kPriorities];
  size_t waiting_ = 0;  // jobs in the queues
  size_t idle_ = 0;     // threads that wait for jobs
  size_t starts_ = 0;
  bool is_ending_ = false;
  std::list<std::thread> threads_;
  std::list<std::thread> ended_;  // to be joined
};

}  // namespace gyre

#endif  // GYRE_RUNTIME_OFFLOAD_BLOCKING_POOL_H_
