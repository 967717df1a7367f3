#include "gyre/bench/peers/handover.h"

#include <time.h>

#include <chrono>

#include "gyre/bench/cpus.h"
#include "gyre/runtime/check.h"

namespace gyre::bench {
namespace {

Duration ProcessCpu() {
  timespec used{};
  const bool is_known = clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) == 0;
  GYRE_CHECK(is_known, "a process can read its own CPU clock");
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

}  // namespace

void HandoverRun::PinLoop(int loop) const {
  if (!cpus_.empty()) RunOnlyOn(cpus_.subspan(loop, 1));
}

void HandoverRun::Start() {
  cpu_at_start_ = ProcessCpu();
  started_at_ = std::chrono::steady_clock::now();
}

void HandoverRun::Stop(std::uint64_t ran) {
  elapsed_ = std::chrono::steady_clock::now() - started_at_;
  cpu_ = ProcessCpu() - cpu_at_start_;
  ran_ = ran;
}

}  // namespace gyre::bench
