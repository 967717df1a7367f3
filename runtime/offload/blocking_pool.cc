#include "gyre/runtime/offload/blocking_pool.h"

#include <pthread.h>

#include <algorithm>
#include <new>
#include <string>
#include <system_error>

#include "gyre/runtime/check.h"

namespace gyre {

BlockingPool::BlockingPool(const BlockingPoolOptions& options) : options_(options) {
  GYRE_CHECK(options.threads_max() > 0, "a BlockingPool needs a limit of at least one thread");
}

BlockingPool::~BlockingPool() {
  ReportAbandoned();
  std::unique_lock lock(mutex_);
  GYRE_CHECK(waiting_ == 0, "a BlockingPool was destroyed while jobs wait for it");
  is_ending_ = true;
  work_.notify_all();
  none_left_.wait(lock, [this] { return threads_.empty(); });
  for (std::thread& thread : ended_) thread.join();
}

size_t BlockingPool::threads() const {
  const std::lock_guard lock(mutex_);
  return threads_.size();
}

bool BlockingPool::IsFull() const noexcept {
  const std::lock_guard lock(mutex_);
  return waiting_ >= options_.queue_capacity();
}

absl::Status BlockingPool::Submit(Job& job) noexcept {
  MarkQueued(job);
  std::list<std::thread> ended;
  {
    const std::lock_guard lock(mutex_);
    if (idle_ <= waiting_ && threads_.size() < options_.threads_max()) {
      absl::Status status = StartThread();
      if (!status.ok() && threads_.empty()) return status;
    }
    queues_[static_cast<size_t>(job.priority())].PushBack(job);
    job.place().store(this, std::memory_order_relaxed);
    ++waiting_;
    work_.notify_one();
    ended.swap(ended_);
  }
  for (std::thread& thread : ended) thread.join();  // they have let go of everything
  return absl::OkStatus();
}

bool BlockingPool::Revoke(Job& job) noexcept {
  const std::lock_guard lock(mutex_);
  if (job.place().load(std::memory_order_relaxed) != this) return false;
  job.place().store(nullptr, std::memory_order_relaxed);
  internal::IntrusiveList<Job>::Remove(job);
  --waiting_;
  return true;
}

absl::Status BlockingPool::StartThread() noexcept {
  try {
    threads_.emplace_front();
    try {
      threads_.front() = std::thread([this, self = threads_.begin()] {
        cpus_.Apply();
        Work(self);
      });
    } catch (...) {
      threads_.pop_front();
      throw;
    }
    return absl::OkStatus();
  } catch (const std::system_error& error) {
    return absl::ResourceExhaustedError("no thread can be had for blocking work: " + std::string(error.what()));
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("no memory for a thread");
  }
}

Job* BlockingPool::Next() noexcept {
  const bool is_lowest_first = ++starts_ % kStartsForLowest == 0;
  for (int i = 0; i < kPriorities; ++i) {
    Job* job = queues_[is_lowest_first ? kPriorities - 1 - i : i].PopFront();
    if (job == nullptr) continue;
    job->place().store(nullptr, std::memory_order_relaxed);
    --waiting_;
    return job;
  }
  return nullptr;
}

void BlockingPool::Work(ThreadPlace self) noexcept {
  pthread_setname_np(pthread_self(), "gyre-blocking");
  const Duration keep_alive = std::min<Duration>(options_.keep_alive(), std::chrono::hours(24 * 365));
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    const bool has_work = work_.wait_for(lock, keep_alive, [this] { return waiting_ > 0 || is_ending_; });
    --idle_;
    if (!has_work || waiting_ == 0) break;
    Job* job = Next();
    lock.unlock();
    RunJob(*job);
    lock.lock();
  }
  ended_.splice(ended_.begin(), threads_, self);
  if (threads_.empty()) none_left_.notify_all();
}

}  // namespace gyre
