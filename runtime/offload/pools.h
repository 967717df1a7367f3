// Pools: the CpuPool and the BlockingPool of one runtime, each made when it is first asked for.
//
// Thread-safety: any thread, but for the destructor.
// Lifetime:      outlives the loops that it serves; a pool that was given in the options outlives it.
// Errors:        what making a pool throws, the caller gets; the next call tries again.
#ifndef GYRE_RUNTIME_OFFLOAD_POOLS_H_
#define GYRE_RUNTIME_OFFLOAD_POOLS_H_

#include <atomic>
#include <memory>
#include <mutex>

#include "gyre/runtime/internal/executor_source.h"
#include "gyre/runtime/internal/thread_cpus.h"
#include "gyre/runtime/metrics.h"
#include "gyre/runtime/offload/blocking_pool.h"
#include "gyre/runtime/offload/cpu_pool.h"
#include "gyre/runtime/offload/executor.h"

namespace gyre {

class PoolOptions {
 public:
  PoolOptions() {}

  PoolOptions& set_cpu(const CpuPoolOptions& options) {
    cpu_ = options;
    return *this;
  }
  PoolOptions& set_blocking(const BlockingPoolOptions& options) {
    blocking_ = options;
    return *this;
  }
  // Instead of a pool of the runtime's own: one that is shared, or the program's. Must outlive the runtime.
  PoolOptions& set_cpu_executor(Executor& executor) {
    cpu_executor_ = &executor;
    return *this;
  }
  PoolOptions& set_blocking_executor(Executor& executor) {
    blocking_executor_ = &executor;
    return *this;
  }

  const CpuPoolOptions& cpu() const { return cpu_; }
  const BlockingPoolOptions& blocking() const { return blocking_; }
  Executor* cpu_executor() const { return cpu_executor_; }
  Executor* blocking_executor() const { return blocking_executor_; }

 private:
  CpuPoolOptions cpu_;
  BlockingPoolOptions blocking_;
  Executor* cpu_executor_ = nullptr;
  Executor* blocking_executor_ = nullptr;
};

namespace internal {

// A pool that is made when it is first asked for.
template <class Pool>
class LazyPool {
 public:
  // Its threads get `cpus`: the first that asks may be a loop's that is bound to one.
  template <class Options>
  Pool& Get(const Options& options, const ThreadCpus& cpus) {
    std::call_once(once_, [&] {
      const OnCpus on_cpus(cpus);
      pool_ = std::make_unique<Pool>(options);
      is_made_.store(true, std::memory_order_release);
    });
    return *pool_;
  }
  // Nothing of one that was not made.
  PoolMetrics metrics() const { return is_made_.load(std::memory_order_acquire) ? pool_->metrics() : PoolMetrics(); }

 private:
  std::once_flag once_;
  std::atomic<bool> is_made_{false};  // release: the pool is made. acquire: it may be asked.
  std::unique_ptr<Pool> pool_;
};

class Pools final : public ExecutorSource {
 public:
  explicit Pools(const PoolOptions& options) : options_(options) {}
  Pools(const Pools&) = delete;
  Pools& operator=(const Pools&) = delete;

  Executor& cpu_executor() override {
    if (options_.cpu_executor() != nullptr) return *options_.cpu_executor();
    return cpu_.Get(options_.cpu(), cpus_);
  }
  Executor& blocking_executor() override {
    if (options_.blocking_executor() != nullptr) return *options_.blocking_executor();
    return blocking_.Get(options_.blocking(), cpus_);
  }

  // Of pools that were made here.
  PoolMetrics cpu_metrics() const { return cpu_.metrics(); }
  PoolMetrics blocking_metrics() const { return blocking_.metrics(); }

 private:
  const PoolOptions options_;
  const ThreadCpus cpus_;  // of the thread that made the runtime
  LazyPool<CpuPool> cpu_;
  LazyPool<BlockingPool> blocking_;
};

}  // namespace internal
}  // namespace gyre

#endif  // GYRE_RUNTIME_OFFLOAD_POOLS_H_
