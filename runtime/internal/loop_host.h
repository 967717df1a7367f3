// LoopHost: who makes and runs a Runtime's loops. Threads do, one for each loop; a simulation takes the loops in turns.
//
// Thread-safety: as the Runtime says.
// Lifetime:      outlives its Runtimes.
// Errors:        a bad status of either says why nothing has run. std::bad_alloc, too, comes before anything has.
#ifndef GYRE_RUNTIME_INTERNAL_LOOP_HOST_H_
#define GYRE_RUNTIME_INTERNAL_LOOP_HOST_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gyre/runtime/backend.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/run.h"

namespace gyre::internal {

// One loop of a Runtime, and what runs there.
struct HostedLoop {
  Loop* loop;
  RootBase* root;
  std::function<void()> on_end;  // when root and loop have ended, outside of every loop; does not throw
};

class LoopHost {
 public:
  virtual absl::StatusOr<std::unique_ptr<Backend>> OpenBackend(const RunOptions& options) = 0;
  // Returns when the last has ended; the first runs on the calling thread.
  virtual absl::Status RunAll(std::vector<HostedLoop>& loops, const RunOptions& options) = 0;

 protected:
  ~LoopHost() = default;
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_LOOP_HOST_H_
