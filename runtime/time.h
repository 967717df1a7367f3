// Durations and points in time as gyre uses them: 64-bit nanoseconds of the steady clock.
//
// Units: nanoseconds. A Duration converts from any integral std::chrono literal (5ms, 10s) without a cast; 1.5s is 1500ms.
#ifndef GYRE_RUNTIME_TIME_H_
#define GYRE_RUNTIME_TIME_H_

#include <chrono>
#include <cstdint>

namespace gyre {

using Duration = std::chrono::nanoseconds;

// A point on the loop's clock: the steady clock in production, virtual time in simulation.
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, std::chrono::nanoseconds>;

inline constexpr Duration kForever = Duration::max();
inline constexpr TimePoint kNever = TimePoint::max();

// `start + wait` that stops at kNever instead of overflowing; a negative wait gives `start`.
constexpr TimePoint After(TimePoint start, Duration wait) {
  if (wait <= Duration::zero()) return start;
  if (wait >= kNever - start) return kNever;
  return start + wait;
}

}  // namespace gyre

#endif  // GYRE_RUNTIME_TIME_H_
