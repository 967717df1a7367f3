#include "gyre/runtime/offload/executor.h"

#include <string>

#include "gyre/runtime/log.h"
#include "gyre/runtime/offload/job_limiter.h"

namespace gyre {

void Executor::RunJob(Job& job) noexcept {
  JobLimiter* limiter = job.limiter_;
  const uint64_t start = internal::ReadTicks();
  queued_.AddShared(start > job.queued_ticks_ ? start - job.queued_ticks_ : 0);  // CPUs may differ a little
  job.Run();
  running_.AddShared(internal::ReadTicks() - start);
  if (limiter != nullptr) limiter->Vacate();
  job.Finish();
}

void Executor::ReportAbandoned() const {
  if (abandoned() == 0) return;
  internal::Log("gyre: the pool \"" + std::string(name()) + "\" ends while " + std::to_string(abandoned()) +
                " job(s) that were abandoned still run; it waits for them");
}

PoolMetrics Executor::metrics() const {
  PoolMetrics metrics;
  metrics.queued = queued_.Read(tick_scale_);
  metrics.running = running_.Read(tick_scale_);
  metrics.jobs = metrics.running.count();
  metrics.threads = thread_count();
  metrics.abandoned = abandoned();
  return metrics;
}

}  // namespace gyre
