#include "gyre/runtime/sim/explorer.h"

#include <algorithm>
#include <numeric>
#include <ostream>
#include <set>
#include <string_view>

#include "gyre/runtime/check.h"
#include "gyre/runtime/internal/place_text.h"
#include "gyre/runtime/internal/rng.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/sim/forked_runs.h"

namespace gyre::testing {

using internal::RunProgress;
using internal::RunResult;
using internal::RunSpec;
using internal::RunWorld;

namespace {

// In a run that is disturbed a body may await more than in the undisturbed one, but not for ever.
constexpr uint64_t kAwaitsOnTop = 1000;
constexpr uint64_t kAwaitsFactor = 4;

// Completions bring their results: only so is there a moment between the two.
SimOptions CalmOptions() {
  SimOptions options = SimOptions::Calm();
  options.in_place_completion_one_in = 1;
  return options;
}

std::string PlaceAndFunction(const std::source_location& where) {
  return internal::PlaceText(where) + ": " + where.function_name();
}

void Indent(std::string& into, std::string_view text) {
  while (!text.empty()) {
    const size_t end = text.find('\n');
    into += "\n    " + std::string(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
}

}  // namespace

std::string ExplorerFailure::ToString() const {
  std::string text = run;
  if (where.line() != 0) text += " at " + PlaceAndFunction(where);
  for (const std::source_location& caller : callers) text += "\n  awaited at " + PlaceAndFunction(caller);
  Indent(text, what);
  if (!output.empty()) {
    text += "\n  it wrote:";
    Indent(text, output);
  }
  return text + "\n  replay: options.set_replay(\"" + run + "\")";
}

std::string ExplorerReport::ToString() const {
  std::string text = std::to_string(points_.size()) + " points, " + std::to_string(runs_) + " runs, " +
                     std::to_string(disturbed_) + " of them disturbed, " + std::to_string(failures_.size()) +
                     " failures";
  for (const ExplorerFailure& failure : failures_) text += "\n" + failure.ToString();
  return text;
}

std::ostream& operator<<(std::ostream& out, const ExplorerReport& report) { return out << report.ToString(); }

ExplorerReport Explorer::Explore() {
  GYRE_CHECK(Loop::TryCurrent() == nullptr, "StopAtEveryAwait was called on a running loop: it runs loops of its own");
  RunWorld calm;
  calm.options = CalmOptions();
  ExploreWorld(calm);
  for (uint64_t seed = 1; seed <= options_.seeds_ && !IsEnough(); ++seed) {
    RunWorld world;
    world.is_calm = false;
    world.seed = seed;
    world.options = options_.sim_options_;
    ExploreWorld(world);
  }
  if (IsReplay() && !is_replayed_) {
    ExplorerFailure failure;
    failure.run = options_.replay_;
    failure.what = "there is no run of this name: a report of the same options and body gives them";
    report_.failures_.push_back(std::move(failure));
  }
  return std::move(report_);
}

void Explorer::ExploreWorld(const RunWorld& world) {
  if (IsReplay() && !options_.replay_.starts_with(world.Name() + "/")) return;
  std::vector<RunSpec> first(1);
  first[0].world = &world;
  first[0].awaits_max = options_.plan_.awaits_max;
  const std::vector<RunResult> undisturbed = Run(first);
  if (world.is_calm) report_.points_ = undisturbed[0].points;
  const std::vector<RunSpec> specs = PlanRuns(world, undisturbed[0].points);
  if (IsReplay()) return Replay(first, specs);
  Run(PlanShieldedRuns(specs, Run(specs)));
}

void Explorer::Replay(const std::vector<RunSpec>& undisturbed, const std::vector<RunSpec>& specs) {
  std::vector<RunSpec> wanted;
  auto want = [&](const RunSpec& spec) {
    if (spec.Name() == options_.replay_) wanted.push_back(spec);
  };
  for (RunSpec spec : specs) {
    want(spec);
    if (spec.pass != ExplorerPass::kStopBefore) continue;
    spec.pass = ExplorerPass::kStopShielded;
    want(spec);
  }
  Run(wanted);
  is_replayed_ = !wanted.empty() || undisturbed[0].Name() == options_.replay_;
}

// All, or a sample that always has the first and the last: setting up and taking down.
std::vector<uint32_t> Explorer::ChoosePoints(size_t count) const {
  std::vector<uint32_t> points(count);
  std::iota(points.begin(), points.end(), 1);
  if (count <= options_.points_max_) return points;
  internal::Rng rng(options_.sampling_seed_);
  std::swap(points[1], points.back());
  for (size_t i = 2; i < options_.points_max_; ++i) std::swap(points[i], points[i + rng.Below(count - i)]);
  points.resize(options_.points_max_);
  std::sort(points.begin(), points.end());
  return points;
}

std::vector<RunSpec> Explorer::PlanRuns(const RunWorld& world, const std::vector<AwaitPoint>& points) const {
  std::vector<RunSpec> specs;
  std::set<Duration> deadlines;
  const std::vector<uint32_t> chosen = ChoosePoints(points.size());
  for (const ExplorerPass pass : options_.passes_) {
    RunSpec spec;
    spec.world = &world;
    spec.pass = pass;
    spec.awaits_max = kAwaitsOnTop + kAwaitsFactor * points.size();
    if (pass == ExplorerPass::kUnstarted) specs.push_back(spec);
    if (pass == ExplorerPass::kUnstarted || pass == ExplorerPass::kStopShielded) continue;
    for (const uint32_t point : chosen) {
      spec.point = point;
      spec.expected = points[point - 1];
      if (pass == ExplorerPass::kFailOperation && spec.expected.operation == AwaitPoint::kNoOperation) continue;
      if (pass == ExplorerPass::kDeadline && !deadlines.insert(spec.expected.at).second) continue;
      specs.push_back(spec);
    }
  }
  return specs;
}

// Where a stop was survived behind a shield: the same without it.
std::vector<RunSpec> Explorer::PlanShieldedRuns(const std::vector<RunSpec>& specs,
                                                const std::vector<RunResult>& results) const {
  std::vector<RunSpec> shielded;
  if (std::ranges::count(options_.passes_, ExplorerPass::kStopShielded) == 0) return shielded;
  for (size_t i = 0; i < results.size(); ++i) {
    if (specs[i].pass != ExplorerPass::kStopBefore || !results[i].has_shields) continue;
    shielded.push_back(specs[i]);
    shielded.back().pass = ExplorerPass::kStopShielded;
  }
  return shielded;
}

std::vector<RunResult> Explorer::Run(const std::vector<RunSpec>& specs) {
  const auto run = [&](size_t index, RunProgress& progress, const internal::GiveUp& give_up) {
    return internal::RunOnce(specs[index], options_.plan_, body_, progress, give_up);
  };
  std::vector<RunResult> all;
  internal::ForkedRuns forked(run, options_.hang_limit_);
  while (all.size() < specs.size() && !IsEnough()) {
    std::vector<RunResult> some;
    if (options_.is_forking_ && !IsReplay()) {
      some = forked.RunUntilFailure(all.size(), specs.size());
    } else {
      RunProgress progress;
      some.push_back(run(all.size(), progress, [](const RunResult& result) { GYRE_CHECK(false, result.failure); }));
    }
    for (RunResult& result : some) {
      Note(specs[all.size()], result);
      all.push_back(std::move(result));
    }
  }
  return all;
}

void Explorer::Note(const RunSpec& spec, const RunResult& result) {
  ++report_.runs_;
  report_.disturbed_ += result.was_disturbed;
  if (result.failure.empty()) return;
  ExplorerFailure failure;
  failure.run = spec.Name();
  for (size_t i = 0; i < result.target.depth; ++i) {
    if (i == 0) failure.where = result.target.frames[i];
    if (i > 0) failure.callers.push_back(result.target.frames[i]);
  }
  failure.what = result.failure;
  failure.output = result.output;
  report_.failures_.push_back(std::move(failure));
}

}  // namespace gyre::testing
