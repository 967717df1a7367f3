// SteadyNow: the time of the steady clock, for threads that belong to no loop. On a loop, ask the loop.
//
// Thread-safety: any thread.
// Cost:          about 30 ns.
#ifndef GYRE_RUNTIME_INTERNAL_CLOCK_H_
#define GYRE_RUNTIME_INTERNAL_CLOCK_H_

#include <chrono>

#include "gyre/runtime/time.h"

namespace gyre::internal {

inline TimePoint SteadyNow() { return std::chrono::time_point_cast<Duration>(std::chrono::steady_clock::now()); }

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_CLOCK_H_
