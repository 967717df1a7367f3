#include "gyre/bench/latency_histogram.h"

#include <algorithm>
#include <cmath>

namespace gyre::bench {

double LatencyHistogram::Percentile(double percent) const {
  if (count_ == 0) return 0;
  const double share = percent / 100 * static_cast<double>(count_);
  const auto rank = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::ceil(share)));
  std::uint64_t seen = 0;
  for (std::size_t bucket = 0; bucket < kBuckets; ++bucket) {
    seen += buckets_[bucket];
    if (seen >= rank) return static_cast<double>(UpperEdge(bucket));
  }
  return static_cast<double>(UpperEdge(kBuckets - 1));
}

std::uint64_t LatencyHistogram::UpperEdge(std::size_t bucket) {
  if (bucket < 2 * kPerOctave) return bucket;
  const std::size_t shift = bucket / kPerOctave - 1;
  const std::uint64_t head = bucket - shift * kPerOctave;
  return ((head + 1) << shift) - 1;
}

}  // namespace gyre::bench
