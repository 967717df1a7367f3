#include "gyre/runtime/metrics.h"

#include <cmath>
#include <numeric>

namespace gyre {

Duration DurationHistogram::bound(size_t bucket) const {
  return Duration(static_cast<int64_t>(std::ceil(std::ldexp(first_bound_ns_, static_cast<int>(bucket)))));
}

uint64_t DurationHistogram::count() const { return std::accumulate(counts_.begin(), counts_.end(), uint64_t{0}); }

Duration DurationHistogram::Quantile(double q) const {
  const uint64_t total = count();
  if (total == 0) return Duration::zero();
  const double wanted = q * static_cast<double>(total);
  uint64_t so_far = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    so_far += counts_[i];
    if (so_far > 0 && static_cast<double>(so_far) >= wanted) return bound(i);
  }
  return bound(kBuckets - 1);
}

DurationHistogram DurationHistogram::Since(const DurationHistogram& earlier) const {
  DurationHistogram since(*this);
  for (size_t i = 0; i < kBuckets; ++i) since.counts_[i] -= earlier.counts_[i];
  return since;
}

}  // namespace gyre
