// TickHistogram: counts durations in ticks by their powers of two; told in nanoseconds when it is read.
//
// Thread-safety: AddAlone by one thread; AddShared by any; Read by any.
// Cost:          about 2 ns each; AddShared takes longer where threads meet.
#ifndef GYRE_RUNTIME_INTERNAL_TICK_HISTOGRAM_H_
#define GYRE_RUNTIME_INTERNAL_TICK_HISTOGRAM_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "gyre/runtime/internal/clock.h"
#include "gyre/runtime/internal/ticks.h"
#include "gyre/runtime/metrics.h"
#include "gyre/runtime/time.h"

namespace gyre::internal {

// How long a tick is: from how many have passed since this was made.
class TickScale {
 public:
  TickScale() : start_(SteadyNow()), start_ticks_(ReadTicks()) {}
  double NsPerTick() const {
    const auto ticks = static_cast<double>(ReadTicks() - start_ticks_);
    return ticks > 0 ? static_cast<double>((SteadyNow() - start_).count()) / ticks : 1;
  }

 private:
  const TimePoint start_;
  const uint64_t start_ticks_;
};

class TickHistogram {
 public:
  void AddAlone(uint64_t ticks) {
    std::atomic<uint64_t>& count = counts_[BucketOf(ticks)];
    count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  void AddShared(uint64_t ticks) { counts_[BucketOf(ticks)].fetch_add(1, std::memory_order_relaxed); }

  DurationHistogram Read(const TickScale& scale) const {
    std::array<uint64_t, DurationHistogram::kBuckets> counts{};
    for (size_t i = 0; i < counts.size(); ++i) counts[i] = counts_[i].load(std::memory_order_relaxed);
    return DurationHistogram(counts, scale.NsPerTick());
  }

 private:
  static size_t BucketOf(uint64_t ticks) {
    return std::min<size_t>(static_cast<size_t>(std::bit_width(ticks)), DurationHistogram::kBuckets - 1);
  }

  std::array<std::atomic<uint64_t>, DurationHistogram::kBuckets> counts_{};  // relaxed: figures
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_TICK_HISTOGRAM_H_
