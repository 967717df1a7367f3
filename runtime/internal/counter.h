// Counter: a figure that one thread writes and any may read: no lock prefix, no tearing.
#ifndef GYRE_RUNTIME_INTERNAL_COUNTER_H_
#define GYRE_RUNTIME_INTERNAL_COUNTER_H_

#include <atomic>
#include <cstdint>

namespace gyre::internal {

class Counter {
 public:
  uint64_t Add(uint64_t count) {
    const uint64_t sum = value_.load(std::memory_order_relaxed) + count;
    value_.store(sum, std::memory_order_relaxed);
    return sum;
  }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  // relaxed: a statistic, orders nothing.
  std::atomic<uint64_t> value_{0};
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_COUNTER_H_
