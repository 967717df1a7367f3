// Quartiles and the other small sums that bench/throughput prints.
#ifndef GYRE_BENCH_THROUGHPUT_STATS_H_
#define GYRE_BENCH_THROUGHPUT_STATS_H_

#include <vector>

namespace gyre::bench {

struct Quartiles {
  double lower = 0;
  double median = 0;
  double upper = 0;
};

// Interpolated between neighbours; `samples` is not empty.
Quartiles QuartilesOf(std::vector<double> samples);

// `samples` is not empty, and all are positive.
double GeometricMean(const std::vector<double>& samples);

}  // namespace gyre::bench

#endif  // GYRE_BENCH_THROUGHPUT_STATS_H_
