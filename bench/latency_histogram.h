// LatencyHistogram: counts of durations in log-linear buckets, for percentiles of millions of samples.
//
// Thread-safety: one thread at a time.
// Units:         nanoseconds; from 2^40 ns (18 minutes) on, all share the last bucket.
// Cost:          Add is a shift and an increment: no allocation, no division. Percentiles are at most 1.6% too high.
#ifndef GYRE_BENCH_LATENCY_HISTOGRAM_H_
#define GYRE_BENCH_LATENCY_HISTOGRAM_H_

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace gyre::bench {

class LatencyHistogram {
 public:
  void Add(std::uint64_t ns) {
    ++buckets_[BucketOf(ns)];
    ++count_;
  }

  std::uint64_t count() const { return count_; }

  // The duration that `percent` of all samples do not exceed, in ns; 0 if there are none.
  double Percentile(double percent) const;

 private:
  // Up to 2^kLinearBits each ns has its bucket; then every power of two is cut into kPerOctave equal ones.
  static constexpr int kLinearBits = 7;
  static constexpr int kBitsMax = 40;
  static constexpr std::size_t kPerOctave = std::size_t{1} << (kLinearBits - 1);
  static constexpr std::size_t kBuckets = (kBitsMax - kLinearBits + 2) * kPerOctave;

  static std::size_t BucketOf(std::uint64_t ns) {
    if (ns >= std::uint64_t{1} << kBitsMax) return kBuckets - 1;
    const int shift = std::bit_width(ns) - kLinearBits;
    if (shift <= 0) return ns;
    return shift * kPerOctave + (ns >> shift);
  }

  // The largest duration that falls into `bucket`.
  static std::uint64_t UpperEdge(std::size_t bucket);

  std::array<std::uint64_t, kBuckets> buckets_{};
  std::uint64_t count_ = 0;
};

}  // namespace gyre::bench

#endif  // GYRE_BENCH_LATENCY_HISTOGRAM_H_
