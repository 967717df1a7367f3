#include "gyre/bench/throughput_stats.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "gyre/runtime/check.h"

namespace gyre::bench {
namespace {

double At(const std::vector<double>& sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return std::lerp(sorted[below], sorted[above], place - static_cast<double>(below));
}

}  // namespace

Quartiles QuartilesOf(std::vector<double> samples) {
  GYRE_CHECK(!samples.empty(), "quartiles are of at least one sample");
  std::sort(samples.begin(), samples.end());
  return {At(samples, 0.25), At(samples, 0.5), At(samples, 0.75)};
}

double GeometricMean(const std::vector<double>& samples) {
  GYRE_CHECK(!samples.empty(), "a mean is of at least one sample");
  double logs = 0;
  for (double sample : samples) logs += std::log(sample);
  return std::exp(logs / static_cast<double>(samples.size()));
}

}  // namespace gyre::bench
