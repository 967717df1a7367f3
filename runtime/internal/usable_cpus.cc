#include "gyre/runtime/internal/usable_cpus.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>

namespace gyre::internal {
namespace {

std::optional<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::optional<double> Ratio(double quota, double period) {
  if (quota <= 0 || period <= 0) return std::nullopt;
  return quota / period;
}

// "max 100000" or "150000 100000".
std::optional<double> QuotaV2(const std::string& folder) {
  const std::optional<std::string> text = ReadFile(folder + "/cpu.max");
  if (!text.has_value()) return std::nullopt;
  std::istringstream words(*text);
  double quota = 0;
  double period = 0;
  if (!(words >> quota >> period)) return std::nullopt;
  return Ratio(quota, period);
}

// Two files; a quota of -1 is none.
std::optional<double> QuotaV1(const std::string& folder) {
  const std::optional<std::string> quota = ReadFile(folder + "/cpu.cfs_quota_us");
  const std::optional<std::string> period = ReadFile(folder + "/cpu.cfs_period_us");
  if (!quota.has_value() || !period.has_value()) return std::nullopt;
  return Ratio(std::strtod(quota->c_str(), nullptr), std::strtod(period->c_str(), nullptr));
}

// The least quota of `path` and the groups above it. Inside a container the mount often shows only the group itself, at its
// top, while the path is the host's: so the top is asked in any case.
template <class Quota>
std::optional<double> LeastUpwards(const std::string& mount, std::string path, Quota quota) {
  std::optional<double> least;
  for (;;) {
    const std::optional<double> here = quota(mount + path);
    if (here.has_value() && (!least.has_value() || *here < *least)) least = here;
    if (path.empty()) return least;
    path.resize(path.find_last_of('/') == std::string::npos ? 0 : path.find_last_of('/'));
  }
}

bool HasController(std::string_view controllers, std::string_view name) {
  std::istringstream list{std::string(controllers)};
  for (std::string controller; std::getline(list, controller, ',');) {
    if (controller == name) return true;
  }
  return false;
}

}  // namespace

std::vector<int> AffinityCpus() {
  // The kernel refuses a mask that is too small for the CPUs it may have.
  for (int cpus = CPU_SETSIZE; cpus <= 1 << 16; cpus *= 2) {
    cpu_set_t* mask = CPU_ALLOC(static_cast<size_t>(cpus));
    if (mask == nullptr) return {};
    const size_t bytes = CPU_ALLOC_SIZE(static_cast<size_t>(cpus));
    std::vector<int> usable;
    const bool is_known = sched_getaffinity(0, bytes, mask) == 0;
    for (int cpu = 0; is_known && cpu < cpus; ++cpu) {
      if (CPU_ISSET_S(static_cast<size_t>(cpu), bytes, mask)) usable.push_back(cpu);
    }
    CPU_FREE(mask);
    if (is_known) return usable;
  }
  return {};
}

std::optional<double> CgroupCpuQuota(std::string_view root) {
  const std::string base(root);
  const std::optional<std::string> groups = ReadFile(base + "/proc/self/cgroup");
  if (!groups.has_value()) return std::nullopt;
  std::istringstream lines(*groups);
  for (std::string line; std::getline(lines, line);) {  // "ID:CONTROLLERS:PATH"
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    std::string path = line.substr(second + 1);
    if (path == "/") path.clear();
    std::optional<double> quota;
    if (controllers.empty()) {
      quota = LeastUpwards(base + "/sys/fs/cgroup", path, QuotaV2);
    } else if (HasController(controllers, "cpu")) {
      quota = LeastUpwards(base + "/sys/fs/cgroup/cpu", path, QuotaV1);
    }
    if (quota.has_value()) return quota;
  }
  return std::nullopt;
}

int UsableCpus() {
  int cpus = static_cast<int>(AffinityCpus().size());
  if (cpus == 0) cpus = static_cast<int>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
  if (const std::optional<double> quota = CgroupCpuQuota(""); quota.has_value() && *quota < cpus) {
    cpus = static_cast<int>(*quota);
  }
  return std::max(1, cpus);
}

}  // namespace gyre::internal
