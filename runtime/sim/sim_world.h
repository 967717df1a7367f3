// SimWorld: runs a program in virtual time, on a simulated network, in an order that its seed alone decides.
//
//   gyre::testing::SimWorld world(seed);
//   absl::Status status = world.Run([] { return ServeAndTalk(); });
//   EXPECT_EQ(world.Elapsed(), 10h);                                  // took no time
//   EXPECT_EQ(world.trace_hash(), again.trace_hash());                // the same seed takes the same course
//
// The program runs unmodified: it gets its time, sockets and order from gyre. A task that waits for what can't come is
// a check failure instead of a hang.
//
// A program with several loops runs in it as well, through a Runtime that is made with its options:
//
//   gyre::Runtime runtime(world.Loops(3));
//   absl::Status status = runtime.RunOnEveryLoop(Serve);
//
// Thread-safety: none; one thread. Other threads may post into the loop that runs (see SimBackend).
// Lifetime:      outlives what its loops opened, and its Runtimes. Several Runs may follow one another: clock and network go on.
// Errors:        as gyre::Run gives them.
#ifndef GYRE_RUNTIME_SIM_SIM_WORLD_H_
#define GYRE_RUNTIME_SIM_SIM_WORLD_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "gyre/runtime/backend/sim_backend.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/runtime.h"
#include "gyre/runtime/sim/sim_core.h"
#include "gyre/runtime/sim/sim_host.h"
#include "gyre/runtime/sim/sim_options.h"
#include "gyre/runtime/time.h"

namespace gyre::testing {

class SimWorld {
 public:
  explicit SimWorld(uint64_t seed, const SimOptions& options = SimOptions()) : core_(seed, options) {}
  SimWorld(const SimWorld&) = delete;
  SimWorld& operator=(const SimWorld&) = delete;

  // As gyre::Run. The options' backend has no meaning here.
  template <class Root>
  decltype(auto) Run(const RunOptions& options, Root&& root) {
    SimBackend backend(core_);
    return internal::RunOnBackend(backend, options, std::forward<Root>(root));
  }
  template <class Root>
    requires(!std::same_as<std::decay_t<Root>, RunOptions>)
  decltype(auto) Run(Root&& root) {
    return Run(RunOptions(), std::forward<Root>(root));
  }

  // For a Runtime with so many loops in this world: all on this thread, turn by turn, in an order that the seed
  // chooses. Backend, pinning and pools have no meaning here. 0 is a check failure: how many CPUs there are must not decide.
  RuntimeOptions Loops(size_t loops);

  uint64_t seed() const { return core_.seed; }
  TimePoint Now() const { return core_.events.now(); }
  // Since the world began.
  Duration Elapsed() const { return Now() - internal::SimEvents::kStart; }
  // What happened so far, and what the seed would choose next: equal for equal courses.
  uint64_t trace_hash() const;
  // May be changed also while a program runs.
  SimOptions& options() { return core_.options; }

  // Sockets in the network, also those that wait in a backlog; and the process's open descriptors. For leak checks.
  size_t open_sockets() const { return core_.network.open_sockets(); }
  size_t open_descriptors() const { return core_.fds.size(); }

 private:
  internal::SimCore core_;
  internal::SimHost host_{core_};
};

// What RunSim gives.
template <class T>
struct SimResult {
  T value;
  uint64_t trace_hash;
};
template <>
struct SimResult<void> {
  uint64_t trace_hash;
};

// One run in a world of its own.
template <class Root>
auto RunSim(uint64_t seed, const SimOptions& options, Root&& root) {
  using T = decltype(std::declval<SimWorld&>().Run(std::forward<Root>(root)));
  SimWorld world(seed, options);
  if constexpr (std::is_void_v<T>) {
    world.Run(std::forward<Root>(root));
    return SimResult<void>{world.trace_hash()};
  } else {
    T value = world.Run(std::forward<Root>(root));
    return SimResult<T>{std::forward<T>(value), world.trace_hash()};
  }
}
template <class Root>
auto RunSim(uint64_t seed, Root&& root) {
  return RunSim(seed, SimOptions(), std::forward<Root>(root));
}

}  // namespace gyre::testing

#endif  // GYRE_RUNTIME_SIM_SIM_WORLD_H_
