// SimExecutor: the pools of a simulated world. A job runs when its event comes: after a while, in an order that the
// seed chooses.
//
// A job runs on the simulation's thread, outside of any loop, as it does on a pool's thread; it takes no virtual time.
// One that blocks would wait for ever: a check failure.
//
// Thread-safety: none; the simulation's thread.
// Lifetime:      its backend's.
#ifndef GYRE_RUNTIME_SIM_SIM_EXECUTOR_H_
#define GYRE_RUNTIME_SIM_SIM_EXECUTOR_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string_view>

#include "absl/status/status.h"
#include "gyre/runtime/blocking_section.h"
#include "gyre/runtime/internal/executor_source.h"
#include "gyre/runtime/offload/executor.h"
#include "gyre/runtime/sim/sim_core.h"

namespace gyre::internal {

class SimExecutor final : public Executor, public ExecutorSource, private SimEventHandler, private BlockingHost {
 public:
  explicit SimExecutor(SimCore& core) : core_(core), handler_(core.events.AddHandler(*this)) {}
  ~SimExecutor() override { core_.events.RemoveHandler(handler_); }

  std::string_view name() const override { return "sim"; }
  size_t thread_count() const noexcept override { return 0; }
  absl::Status Submit(Job& job) noexcept override;
  bool Revoke(Job& job) noexcept override;
  bool IsFull() const noexcept override { return jobs_.size() >= core_.options.jobs_max; }

  Executor& cpu_executor() override { return *this; }
  Executor& blocking_executor() override { return *this; }

 private:
  enum EventKind : uint32_t { kRunJob = 200 };  // apart from others, for the trace

  void OnSimEvent(const SimEvent& event) override;
  void OnBlock() noexcept override;
  void OnUnblock() noexcept override {}

  SimCore& core_;
  const uint32_t handler_;
  uint64_t last_number_ = 0;
  std::map<uint64_t, Job*> jobs_;  // by number, which is also a job's place
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_SIM_SIM_EXECUTOR_H_
