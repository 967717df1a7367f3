// InSimulatedLoops: runs a test of several loops in a calm simulation, and in simulations that choose whose turn it is.
// `test(runtime)` is called once for each, so all its state belongs inside.
#ifndef GYRE_TESTS_SUPPORT_SIMULATED_LOOPS_H_
#define GYRE_TESTS_SUPPORT_SIMULATED_LOOPS_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "gtest/gtest.h"
#include "gyre/runtime/runtime.h"
#include "gyre/runtime/sim/sim_world.h"

namespace gyre::testing {

inline constexpr uint64_t kSimulatedLoopsSeeds = 50;

template <class Test>
void InSimulatedLoops(size_t loops, Test test) {
  for (uint64_t seed = 0; seed <= kSimulatedLoopsSeeds && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed == 0 ? "calm simulation" : "seed " + std::to_string(seed));
    SimWorld world(seed, seed == 0 ? SimOptions::Calm() : SimOptions());
    Runtime runtime(world.Loops(loops));
    test(runtime);
  }
}

// The same, and on threads.
template <class Test>
void OnLoopsEverywhere(size_t loops, Test test) {
  InSimulatedLoops(loops, test);
  SCOPED_TRACE("threads");
  Runtime runtime(RuntimeOptions().set_loops(loops));
  test(runtime);
}

}  // namespace gyre::testing

#endif  // GYRE_TESTS_SUPPORT_SIMULATED_LOOPS_H_
