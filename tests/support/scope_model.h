// The model: says what a program of scope_program.h does, from the rules of gyre's semantics alone, with callbacks and
// a list of timers instead of coroutines. Slow, simple, and independent of runtime/.
#ifndef GYRE_TESTS_SUPPORT_SCOPE_MODEL_H_
#define GYRE_TESTS_SUPPORT_SCOPE_MODEL_H_

#include <cstdint>

#include "gyre/tests/support/scope_program.h"

namespace gyre::testing {

// Ways to be wrong, to show that the comparison would notice.
enum class Mistake : uint8_t {
  kNone,
  kStopIsAnEdge,                // only what waits when the stop comes is stopped [D4]
  kErrorLeavesSiblingsAlone,    // [B03]
  kErrorIsLostWhileStopping,    // [D13]
  kFurtherErrorsAreLost,        // [B08]
  kHandleStopIsAnError,         // [D9]
  kScopePassesItsOwnStopOn,     // [C03]
  kScopeSwallowsOuterStop,      // [B05]
  kScopeDoesNotWait,            // for its children
  kInnerDeadlineWins,           // [D7]
  kExpiredDeadlineBeatsResult,  // [D5, D6]
  kShieldLetsStopsIn,           // [C07]
  kShieldLimitFromTheStart,     // [D21]
  kDeliveredDataIsLost,         // [D5]
  kSleepIsDelivered,            // [D5]
  kLatestTimerFirst,            // [D12]
  kOutcomesStopSiblings,        // [D2]
  kRaceStartsAll,               // [E07]
  kFailureWinsAnyOk,            // [D18]
  kStoppedBodyIsNotCleanedUp,   // [D3]
  kJoinerStopsTheTask,          // [D15]
  kOnErrorStopsAll,             // [D22]
  kStartedTaskStaysWithCaller,  // [B24]
  kLimit,
};

// `order` 0: in the order of the ready queue, with gyre's turns. Otherwise a seed: tasks that are ready at one instant
// run in any order, as they do in a simulated world.
EventLog RunModel(const Node& program, uint64_t order, Mistake mistake = Mistake::kNone);

}  // namespace gyre::testing

#endif  // GYRE_TESTS_SUPPORT_SCOPE_MODEL_H_
