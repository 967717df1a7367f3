#include "gyre/bench/throughput_stats.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "absl/strings/str_format.h"
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

Quartiles RatioQuartiles(const std::vector<double>& samples, const std::vector<double>& base) {
  GYRE_CHECK(samples.size() == base.size(), "a ratio is within a round: both were measured in each");
  std::vector<double> ratios;
  for (std::size_t round = 0; round < samples.size(); ++round) ratios.push_back(samples[round] / base[round]);
  return QuartilesOf(ratios);
}

int PlaceInRound(int round, int turn, int count) { return round % 2 == 0 ? turn : count - 1 - turn; }

std::string FormatRatio(const Quartiles& ratio) {
  return absl::StrFormat("%7.3f [%.3f, %.3f]", ratio.median, ratio.lower, ratio.upper);
}

std::string OrDash(std::optional<double> value, int digits) {
  return value ? absl::StrFormat("%.*f", digits, *value) : "-";
}

std::string PercentOrDash(std::optional<double> share) { return share ? absl::StrFormat("%.0f%%", 100 * *share) : "-"; }

double GeometricMean(const std::vector<double>& samples) {
  GYRE_CHECK(!samples.empty(), "a mean is of at least one sample");
  double logs = 0;
  for (double sample : samples) logs += std::log(sample);
  return std::exp(logs / static_cast<double>(samples.size()));
}

}  // namespace gyre::bench
