// StopAtEveryAwait: finds what a program forgets to clean up, by stopping it at each of its awaits in turn.
//
//   gyre::testing::ExplorerOptions options;
//   options.Track("permits", [&] { return pool.free_permits(); });
//   const gyre::testing::ExplorerReport report = gyre::testing::StopAtEveryAwait(options, [&] { return Fetch(pool); });
//   EXPECT_TRUE(report.ok()) << report;
//
// The body runs once undisturbed in a simulated world, to count its leaf awaits: its points. Then it runs again for
// each point and each ExplorerPass, in a fresh world with the same seed. After every run nothing may be left behind
// (frames, tasks, callbacks, timers, descriptors, leased buffers), what is tracked must have its value of before, and
// the invariants must hold. A body that hangs, spins after a stop, crashes or trips a check is a finding as well. The
// body is ordinary code: anything that gyre::Run takes, called anew for each run, that ends by itself.
//
// Runs happen in forked children of the test's process, so that a crash is a finding and a finding spoils nothing that
// comes after: state outside the body is, in each child, what it was when StopAtEveryAwait was called. A failed
// GoogleTest expectation inside the body, or in an invariant, is a finding too. See docs/explorer.md.
//
// Thread-safety: a thread without a running loop. Forking wants a process without other threads; with some, use
//                set_is_forking(false): then the first run that crashes ends the test.
// Lifetime:      what the body, trackers and invariants refer to lives until StopAtEveryAwait returns.
// Errors:        all are in the report.
// Cost:          points x passes runs of the body, each about the cost of the undisturbed one; see set_points_max.
#ifndef GYRE_RUNTIME_SIM_EXPLORER_H_
#define GYRE_RUNTIME_SIM_EXPLORER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <source_location>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "gyre/runtime/internal/finish.h"
#include "gyre/runtime/sim/explorer_run.h"
#include "gyre/runtime/sim/sim_options.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/with_scope.h"

namespace gyre::testing {

// What to look for, and where.
class ExplorerOptions {
 public:
  // One calm world, every pass but those that stop single tasks.
  ExplorerOptions() {}

  // `count()` must give the same before and after each run: free permits, open files, queued bytes.
  ExplorerOptions& Track(std::string name, std::function<int64_t()> count) {
    plan_.trackers.emplace_back(std::move(name), std::move(count));
    return *this;
  }
  // A claim that must hold after each run.
  ExplorerOptions& AddInvariant(std::string claim, std::function<bool(const ExploredRun&)> holds) {
    plan_.invariants.emplace_back(std::move(claim), std::move(holds));
    return *this;
  }
  // Only these. The undisturbed run is always made.
  ExplorerOptions& set_passes(std::vector<ExplorerPass> passes) {
    passes_ = std::move(passes);
    return *this;
  }
  ExplorerOptions& AddPass(ExplorerPass pass) {
    passes_.push_back(pass);
    return *this;
  }
  // Explores also in worlds with surprises, under the seeds 1 to `count`.
  ExplorerOptions& set_seeds(uint64_t count) {
    seeds_ = count;
    return *this;
  }
  // The worlds of set_seeds.
  ExplorerOptions& set_sim_options(const SimOptions& options) {
    sim_options_ = options;
    return *this;
  }
  // Of a body with more points than this, in each world, only so many are tried, which a seed chooses.
  ExplorerOptions& set_points_max(size_t points, uint64_t sampling_seed = 1) {
    points_max_ = points;
    sampling_seed_ = sampling_seed;
    return *this;
  }
  // Gives up after so many findings.
  ExplorerOptions& set_failures_max(size_t failures) {
    failures_max_ = failures;
    return *this;
  }
  // In the pass kFailOperation, a body that ends well although an operation of it failed is a finding.
  ExplorerOptions& set_must_report_errors(bool must) {
    plan_.must_report_errors = must;
    return *this;
  }
  // The undisturbed run may end with an error.
  ExplorerOptions& set_may_fail(bool may) {
    plan_.may_fail = may;
    return *this;
  }
  // Leaf awaits after which a run counts as one that never ends.
  ExplorerOptions& set_awaits_max(uint64_t awaits) {
    plan_.awaits_max = awaits;
    return *this;
  }
  // Real time without news from a child, after which it is killed: a coroutine that never suspends.
  ExplorerOptions& set_hang_limit(Duration limit) {
    hang_limit_ = limit;
    return *this;
  }
  ExplorerOptions& set_is_forking(bool is_forking) {
    is_forking_ = is_forking;
    return *this;
  }
  // Only the run of this name, as a report gives it, and in this process: for a debugger.
  ExplorerOptions& set_replay(std::string run) {
    replay_ = std::move(run);
    return *this;
  }

 private:
  friend class Explorer;

  internal::RunPlan plan_;
  std::vector<ExplorerPass> passes_ = {
      ExplorerPass::kStopBefore, ExplorerPass::kStopDuring,    ExplorerPass::kStopAfter, ExplorerPass::kStopShielded,
      ExplorerPass::kDeadline,   ExplorerPass::kFailOperation, ExplorerPass::kUnstarted};
  uint64_t seeds_ = 0;
  SimOptions sim_options_;
  size_t points_max_ = 500;
  uint64_t sampling_seed_ = 1;
  size_t failures_max_ = 10;
  Duration hang_limit_ = std::chrono::seconds(60);
  bool is_forking_ = true;
  std::string replay_;
};

// One run that went wrong.
class ExplorerFailure {
 public:
  ExplorerFailure() {}

  std::string run;                            // its name: for set_replay
  std::source_location where;                 // the await at which it was disturbed; line() is 0 if there was none
  std::vector<std::source_location> callers;  // who awaited that, inner ones first
  std::string what;                           // a line for each thing that is wrong
  std::string output;                         // what the run wrote to stdout and stderr, the end of it

  // All of it, with "FILE:LINE: FUNCTION".
  std::string ToString() const;
};

class ExplorerReport {
 public:
  ExplorerReport() {}

  bool ok() const { return failures_.empty(); }
  // The points of the calm world, in the order in which the undisturbed run came to them.
  const std::vector<AwaitPoint>& points() const { return points_; }
  // Runs made, and those of them whose moment came: an await that has its result at once is never stopped during its
  // wait.
  size_t runs() const { return runs_; }
  size_t disturbed() const { return disturbed_; }
  const std::vector<ExplorerFailure>& failures() const { return failures_; }

  std::string ToString() const;
  friend std::ostream& operator<<(std::ostream& out, const ExplorerReport& report);

 private:
  friend class Explorer;

  std::vector<AwaitPoint> points_;
  std::vector<ExplorerFailure> failures_;
  size_t runs_ = 0;
  size_t disturbed_ = 0;
};

// Implementation: what StopAtEveryAwait does once the body's type no longer matters.
class Explorer {
 public:
  Explorer(const ExplorerOptions& options, const internal::ExploredBody& body) : options_(options), body_(body) {}

  ExplorerReport Explore();

 private:
  void ExploreWorld(const internal::RunWorld& world);
  std::vector<uint32_t> ChoosePoints(size_t count) const;
  std::vector<internal::RunSpec> PlanRuns(const internal::RunWorld& world, const std::vector<AwaitPoint>& points) const;
  void Replay(const std::vector<internal::RunSpec>& undisturbed, const std::vector<internal::RunSpec>& specs);
  std::vector<internal::RunSpec> PlanShieldedRuns(const std::vector<internal::RunSpec>& specs,
                                                  const std::vector<internal::RunResult>& results) const;
  std::vector<internal::RunResult> Run(const std::vector<internal::RunSpec>& specs);
  void Note(const internal::RunSpec& spec, const internal::RunResult& result);
  bool IsReplay() const { return !options_.replay_.empty(); }
  bool IsEnough() const { return report_.failures_.size() >= options_.failures_max_; }

  const ExplorerOptions& options_;
  const internal::ExploredBody& body_;
  ExplorerReport report_;
  bool is_replayed_ = false;
};

// `body` is a callable that gives an awaitable, or takes a Scope& and gives a Task, as for gyre::Run.
template <class Body>
ExplorerReport StopAtEveryAwait(const ExplorerOptions& options, Body&& body) {
  const internal::ExploredBody explored(body);
  return Explorer(options, explored).Explore();
}
template <class Body>
requires(!std::is_same_v<std::decay_t<Body>, ExplorerOptions>) ExplorerReport StopAtEveryAwait(Body&& body) {
  return StopAtEveryAwait(ExplorerOptions(), body);
}

}  // namespace gyre::testing

#endif  // GYRE_RUNTIME_SIM_EXPLORER_H_
