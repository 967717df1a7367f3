// JobLimiter: lets at most so many jobs of one kind be in an executor at once; the others wait in order, and hold no thread.
//
//   static gyre::JobLimiter renders(2);
//   Image image = co_await gyre::Offload(gyre::OffloadOptions().set_limiter(renders), Render, page);
//
// Thread-safety: any thread; shared by as many loops and executors as wanted.
// Lifetime:      outlives the jobs that it limits; a job's place is free before its caller goes on.
// Cancellation:  a job that is stopped while it waits leaves the line; one that never starts gives its place to the next.
// Cost:          a lock at the submission and one at the end.
#ifndef GYRE_RUNTIME_OFFLOAD_JOB_LIMITER_H_
#define GYRE_RUNTIME_OFFLOAD_JOB_LIMITER_H_

#include <cstddef>
#include <mutex>

#include "absl/status/status.h"
#include "gyre/runtime/internal/intrusive_list.h"
#include "gyre/runtime/offload/executor.h"

namespace gyre {

class JobLimiter {
 public:
  // `jobs_max`: 1 or more.
  explicit JobLimiter(size_t jobs_max);
  JobLimiter(const JobLimiter&) = delete;
  JobLimiter& operator=(const JobLimiter&) = delete;
  ~JobLimiter();

  // Jobs with a place now.
  size_t active() const;
  // Jobs in line.
  size_t waiting() const;

  // --- for Offload: as Executor has them
  absl::Status Submit(Executor& executor, Job& job) noexcept;
  bool Revoke(Job& job) noexcept;

 private:
  friend class Executor;

  // A job that had a place has run, or was taken back: the place goes to the first in line.
  void Vacate() noexcept;
  // Moves the first of the line into its executor; gives it back with `why` if that won't have it. Under the lock.
  Job* AdmitFirst(absl::Status& why) noexcept;

  const size_t jobs_max_;
  mutable std::mutex mutex_;  // taken before an executor's
  size_t active_ = 0;
  size_t waiting_ = 0;
  internal::IntrusiveList<Job> line_;
};

}  // namespace gyre

#endif  // GYRE_RUNTIME_OFFLOAD_JOB_LIMITER_H_
