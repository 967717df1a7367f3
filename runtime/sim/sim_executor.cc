#include "gyre/runtime/sim/sim_executor.h"

#include <utility>

#include "gyre/runtime/check.h"
#include "gyre/runtime/internal/loop_core.h"

namespace gyre::internal {
namespace {

void* PlaceOf(uint64_t number) { return reinterpret_cast<void*>(number); }

}  // namespace

absl::Status SimExecutor::Submit(Job& job) noexcept {
  const testing::SimOptions& options = core_.options;
  if (options.job_refused_one_in != 0 && core_.rng.Chance(1, options.job_refused_one_in)) {
    return absl::ResourceExhaustedError("simulated: no thread can be had for this job");
  }
  const uint64_t number = ++last_number_;
  job.place().store(PlaceOf(number), std::memory_order_relaxed);
  jobs_.emplace(number, &job);
  const Duration delay = core_.Between(options.job_delay_min, options.job_delay_max);
  core_.events.Schedule(core_.events.now() + delay, handler_, kRunJob, number);
  return absl::OkStatus();
}

bool SimExecutor::Revoke(Job& job) noexcept {
  const auto found = jobs_.find(reinterpret_cast<uint64_t>(job.place().load(std::memory_order_relaxed)));
  if (found == jobs_.end() || found->second != &job) return false;
  jobs_.erase(found);
  return true;
}

void SimExecutor::OnSimEvent(const SimEvent& event) {
  const auto found = jobs_.find(event.to);
  if (found == jobs_.end()) return;  // taken back
  Job& job = *found->second;
  jobs_.erase(found);
  LoopCore* const loop = std::exchange(tls_loop, nullptr);
  FramePool* const pool = std::exchange(tls_pool, FramePool::Outside());
  BlockingHost* const host = std::exchange(tls_blocking_host, static_cast<BlockingHost*>(this));
  RunJob(job);
  tls_blocking_host = host;
  tls_pool = pool;
  tls_loop = loop;
}

void SimExecutor::OnBlock() noexcept {
  GYRE_CHECK(false, "a job in a simulation was about to block the only thread that there is");
}

}  // namespace gyre::internal
