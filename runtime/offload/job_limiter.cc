#include "gyre/runtime/offload/job_limiter.h"

#include <utility>

#include "gyre/runtime/check.h"

namespace gyre {

JobLimiter::JobLimiter(size_t jobs_max) : jobs_max_(jobs_max) {
  GYRE_CHECK(jobs_max > 0, "a JobLimiter must let at least one job in");
}

JobLimiter::~JobLimiter() { GYRE_CHECK(active_ == 0 && line_.empty(), "a JobLimiter was destroyed while jobs use it"); }

size_t JobLimiter::active() const {
  const std::lock_guard lock(mutex_);
  return active_;
}

size_t JobLimiter::waiting() const {
  const std::lock_guard lock(mutex_);
  return waiting_;
}

// The lock is held while the executor takes the job, so that a Revoke finds it either here or there.
absl::Status JobLimiter::Submit(Executor& executor, Job& job) noexcept {
  job.limiter_ = this;
  job.executor_ = &executor;
  const std::lock_guard lock(mutex_);
  if (active_ == jobs_max_) {
    line_.PushBack(job);
    job.is_in_line_ = true;
    ++waiting_;
    return absl::OkStatus();
  }
  absl::Status status = executor.Submit(job);
  if (status.ok()) ++active_;
  return status;
}

bool JobLimiter::Revoke(Job& job) noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (job.is_in_line_) {
      line_.Remove(job);
      job.is_in_line_ = false;
      --waiting_;
      return true;
    }
    if (!job.executor_->Revoke(job)) return false;
  }
  Vacate();
  return true;
}

// A refused job leaves the place to the one behind it.
void JobLimiter::Vacate() noexcept {
  for (;;) {
    absl::Status why;
    Job* refused;
    {
      const std::lock_guard lock(mutex_);
      refused = AdmitFirst(why);
    }
    if (refused == nullptr) return;
    refused->Fail(std::move(why));
    refused->Finish();
  }
}

Job* JobLimiter::AdmitFirst(absl::Status& why) noexcept {
  Job* first = line_.PopFront();
  if (first == nullptr) {
    --active_;
    return nullptr;
  }
  first->is_in_line_ = false;
  --waiting_;
  why = first->executor_->Submit(*first);
  return why.ok() ? nullptr : first;
}

}  // namespace gyre
