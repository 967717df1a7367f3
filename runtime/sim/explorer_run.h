// One run of the explorer: a body in a world of its own, disturbed at one of its points, and what it left behind.
//
// Thread-safety: none; a thread without a running loop.
#ifndef GYRE_RUNTIME_SIM_EXPLORER_RUN_H_
#define GYRE_RUNTIME_SIM_EXPLORER_RUN_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gyre/runtime/errors.h"
#include "gyre/runtime/outcome.h"
#include "gyre/runtime/sim/sim_options.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/time.h"
#include "gyre/runtime/with_scope.h"

namespace gyre::testing {

enum class ExplorerPass : uint8_t {
  kUndisturbed,
  kStopBefore,      // the body is stopped before the await begins
  kStopDuring,      // ... as soon as it waits
  kStopAfter,       // ... when it has its result, and the coroutine has not been resumed yet
  kStopShielded,    // as kStopBefore, and the stop passes every shield at the first await behind it
  kDeadline,        // the body is stopped in a timer step, at the time at which the point was reached
  kFailOperation,   // the operation of an I/O await fails
  kUnstarted,       // the body's task is destroyed without being awaited; once, not at each point
  kStopTaskDuring,  // as kStopDuring, but only the spawned task that awaits there is stopped
  kStopTaskAfter,   // as kStopAfter, ...
};

// A leaf await that a run came to.
struct AwaitPoint {
  static constexpr int8_t kNoOperation = -1;

  std::source_location where;
  Duration at{};                    // since the world began
  int8_t operation = kNoOperation;  // the Opcode of an I/O await
};

// Where a run was disturbed, and who awaited that, innermost first: as far as there is room.
struct AwaitStack {
  std::array<std::source_location, 12> frames;
  size_t depth = 0;
};

// What an invariant is told.
struct ExploredRun {
  std::string name;  // "calm/stop-during/12"
  ExplorerPass pass = ExplorerPass::kUndisturbed;
  bool was_disturbed = false;     // its moment came
  Outcome<absl::Status> outcome;  // the body's; OK for one without a status
  size_t unhandled_errors = 0;    // that the loop's hook was told of
};

}  // namespace gyre::testing

namespace gyre::internal {

struct RunWorld {
  bool is_calm = true;
  uint64_t seed = 1;
  testing::SimOptions options;

  std::string Name() const { return is_calm ? "calm" : "seed " + std::to_string(seed); }
};

struct RunSpec {
  const RunWorld* world = nullptr;
  testing::ExplorerPass pass = testing::ExplorerPass::kUndisturbed;
  uint32_t point = 0;            // from 1; 0 where there is none
  testing::AwaitPoint expected;  // what the undisturbed run saw there
  uint64_t awaits_max = 0;

  std::string Name() const;
};

struct RunResult {
  std::vector<testing::AwaitPoint> points;  // of an undisturbed run
  testing::AwaitStack target;               // where it was disturbed
  bool was_disturbed = false;
  bool has_shields = false;  // some await went on behind a shield after the stop
  std::string failure;       // a line for each thing that is wrong; empty if nothing is
  std::string output;
};

// What is known of a run even if it dies. In memory that parent and child share.
struct RunProgress {
  testing::AwaitStack target;
  bool was_disturbed = false;
  testing::AwaitPoint last;
  uint64_t awaits = 0;
};

// What holds for every run.
struct RunPlan {
  std::vector<std::pair<std::string, std::function<int64_t()>>> trackers;
  std::vector<std::pair<std::string, std::function<bool(const testing::ExploredRun&)>>> invariants;
  bool must_report_errors = false;
  bool may_fail = false;
  uint64_t awaits_max = 1'000'000;
};

template <class Body>
Task<absl::Status> RunExplored(Body& body) {
  if constexpr (ScopeBody<Body>) {
    if constexpr (std::is_void_v<typename BodyTask<Body>::value_type>) {
      co_await WithScope(body);
    } else {
      auto result = co_await WithScope(body);
      co_return StatusOf(result);
    }
  } else {
    using T = AwaitResult<std::invoke_result_t<Body&>>;
    if constexpr (kIsStatusLike<T>) {
      auto result = co_await std::invoke(body);
      co_return StatusOf(result);
    } else {
      static_cast<void>(co_await std::invoke(body));
    }
  }
  co_return absl::OkStatus();
}

template <class Body>
Task<absl::Status> DropExplored(Body& body) {
  if constexpr (ScopeBody<Body>) {
    co_await WithScope([&body](Scope& scope) -> Task<> {
      static_cast<void>(std::invoke(body, scope));
      co_return;
    });
  } else {
    static_cast<void>(std::invoke(body));
  }
  co_return absl::OkStatus();
}

// A body of any type, borrowed.
class ExploredBody {
 public:
  template <class Body>
  explicit ExploredBody(Body& body)
      : run_([&body] { return RunExplored(body); }), drop_([&body] { return DropExplored(body); }) {}

  Task<absl::Status> Run() const { return run_(); }
  // Makes the body's task and destroys it unstarted.
  Task<absl::Status> Drop() const { return drop_(); }

 private:
  std::function<Task<absl::Status>()> run_;
  std::function<Task<absl::Status>()> drop_;
};

// Does not return: the run can't be brought to an end. `result.failure` says why.
using GiveUp = std::function<void(const RunResult& result)>;

RunResult RunOnce(const RunSpec& spec, const RunPlan& plan, const ExploredBody& body, RunProgress& progress,
                  const GiveUp& give_up);

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_SIM_EXPLORER_RUN_H_
