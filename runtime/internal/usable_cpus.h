// How many CPUs this process may use: those of its affinity mask, and no more than the quota of its control group pays for.
//
// Thread-safety: any thread. Reads a few files of /proc and /sys: not for hot paths.
// Errors:        what can't be read limits nothing.
// Units:         whole CPUs; a quota is rounded down, but there is always one.
#ifndef GYRE_RUNTIME_INTERNAL_USABLE_CPUS_H_
#define GYRE_RUNTIME_INTERNAL_USABLE_CPUS_H_

#include <optional>
#include <string_view>
#include <vector>

namespace gyre::internal {

// The numbers of the CPUs that the calling thread may run on; empty if the system does not say.
std::vector<int> AffinityCpus();

// The quota of control groups (version 1 or 2) below the file system `root`, which is "" outside tests: the smallest of the
// process's group and those above it. None if there is none.
std::optional<double> CgroupCpuQuota(std::string_view root);

int UsableCpus();

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_USABLE_CPUS_H_
