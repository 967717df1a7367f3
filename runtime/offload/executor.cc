#include "gyre/runtime/offload/executor.h"

#include "gyre/runtime/offload/job_limiter.h"

namespace gyre {

void Executor::RunJob(Job& job) noexcept {
  JobLimiter* limiter = job.limiter_;
  job.Run();
  if (limiter != nullptr) limiter->Vacate();
  job.Finish();
}

}  // namespace gyre
