#include "gyre/runtime/sim/sim_world.h"

#include "gyre/runtime/check.h"

namespace gyre::testing {

RuntimeOptions SimWorld::Loops(size_t loops) {
  GYRE_CHECK(loops > 0, "SimWorld::Loops wants a number of loops, from 1 on: a simulation must not depend on its machine's CPUs");
  return RuntimeOptions().set_loops(loops).set_host(host_);
}

uint64_t SimWorld::trace_hash() const {
  internal::TraceHash hash = core_.events.trace();
  hash.Mix(static_cast<uint64_t>(Now().time_since_epoch().count()));
  for (internal::Rng rng : {core_.rng, core_.scheduling_rng}) hash.Mix(rng.Next());  // copies: nothing is drawn
  return hash.value();
}

}  // namespace gyre::testing
