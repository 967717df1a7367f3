// Quartiles and the other small sums that bench/throughput prints.
#ifndef GYRE_BENCH_THROUGHPUT_STATS_H_
#define GYRE_BENCH_THROUGHPUT_STATS_H_

#include <optional>
#include <string>
#include <vector>

namespace gyre::bench {

struct Quartiles {
  double lower = 0;
  double median = 0;
  double upper = 0;
};

// Interpolated between neighbours; `samples` is not empty.
Quartiles QuartilesOf(std::vector<double> samples);

// Of samples[i] / base[i]: what was measured in the same round meets the same weather.
Quartiles RatioQuartiles(const std::vector<double>& samples, const std::vector<double>& base);

// Goes through 0 .. count-1, backwards in odd rounds, so that a machine that gets slower or faster favours none.
int PlaceInRound(int round, int turn, int count);

std::string FormatRatio(const Quartiles& ratio);
std::string OrDash(std::optional<double> value, int digits);
std::string PercentOrDash(std::optional<double> share);

// `samples` is not empty, and all are positive.
double GeometricMean(const std::vector<double>& samples);

}  // namespace gyre::bench

#endif  // GYRE_BENCH_THROUGHPUT_STATS_H_
