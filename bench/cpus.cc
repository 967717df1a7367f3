#include "gyre/bench/cpus.h"

#include <pthread.h>
#include <sched.h>

#include <vector>

#include "gyre/runtime/internal/usable_cpus.h"

namespace gyre::bench {

std::span<const int> UsableCpus() {
  static const std::vector<int> cpus = internal::AffinityCpus();
  return cpus;
}

void RunOnlyOn(std::span<const int> cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int cpu : cpus.empty() ? UsableCpus() : cpus) CPU_SET(cpu, &set);
  pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

}  // namespace gyre::bench
