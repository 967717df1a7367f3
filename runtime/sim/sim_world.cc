#include "gyre/runtime/sim/sim_world.h"

namespace gyre::testing {

uint64_t SimWorld::trace_hash() const {
  internal::TraceHash hash = core_.events.trace();
  hash.Mix(static_cast<uint64_t>(Now().time_since_epoch().count()));
  for (internal::Rng rng : {core_.rng, core_.scheduling_rng}) hash.Mix(rng.Next());  // copies: nothing is drawn
  return hash.value();
}

}  // namespace gyre::testing
