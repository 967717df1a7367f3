#include "gyre/tests/support/worlds.h"

#include <cstdint>
#include <string>

#include "gtest/gtest.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/sim/sim_world.h"

namespace gyre::testing {

void InCalmSimulation(const WorldRoot& root) {
  SCOPED_TRACE("calm simulation");
  SimWorld world(1, SimOptions::Calm());
  world.Run(root);
}

void InSimulation(const WorldRoot& root) {
  InCalmSimulation(root);
  for (uint64_t seed = 1; seed <= kWorldSeeds && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SimWorld world(seed);
    world.Run(root);
  }
}

void OnEpoll(const WorldRoot& root) {
  SCOPED_TRACE("epoll");
  Run(RunOptions().set_backend(BackendKind::kEpoll), root);
}

void InEveryWorld(const WorldRoot& root) {
  InSimulation(root);
  OnEpoll(root);
}

}  // namespace gyre::testing
