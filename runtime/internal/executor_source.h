// ExecutorSource: where a loop finds the pools of its runtime, or of its simulation.
//
// Thread-safety: any thread.
// Lifetime:      outlives the loops that know it.
#ifndef GYRE_RUNTIME_INTERNAL_EXECUTOR_SOURCE_H_
#define GYRE_RUNTIME_INTERNAL_EXECUTOR_SOURCE_H_

namespace gyre {
class Executor;
}

namespace gyre::internal {

class ExecutorSource {
 public:
  // Made at the first call, which may throw what making it throws.
  virtual Executor& cpu_executor() = 0;
  virtual Executor& blocking_executor() = 0;

 protected:
  ~ExecutorSource() = default;
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_EXECUTOR_SOURCE_H_
