#include "gyre/bench/throughput_handover.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gyre/bench/cpus.h"
#include "gyre/bench/throughput_stats.h"

namespace gyre::bench {
namespace {

// What is sent one way is in memory all at once, in the worst case.
constexpr std::uint64_t kOperationsMax = 1'000'000;
constexpr std::uint64_t kOperationsMin = 100;
constexpr int kLoopsMax = 2;

struct Sample {
  double per_s = 0;
  double cpu_ns = 0;  // of an operation
};

// What one peer did, round by round.
struct Series {
  std::string name;
  HandoverPeer peer;
  std::uint64_t operations = 0;  // in a round
  std::vector<Sample> rounds;

  std::vector<double> Column(double Sample::*column) const {
    std::vector<double> samples;
    for (const Sample& round : rounds) samples.push_back(round.*column);
    return samples;
  }
  double Median(double Sample::*column) const { return QuartilesOf(Column(column)).median; }
};

std::span<const int> CpusOf(const Handover& handover) {
  const std::span<const int> cpus = UsableCpus();
  const auto loops = static_cast<std::size_t>(handover.loops);
  return loops > 1 && cpus.size() >= loops ? cpus.first(loops) : std::span<const int>();
}

absl::StatusOr<HandoverRun> Measure(const Handover& handover, const HandoverPeer& peer, std::uint64_t operations) {
  HandoverRun run(operations, handover.at_once, CpusOf(handover));
  std::thread thread([&] {
    RunOnlyOn(run.cpus());
    peer.run(run);
  });
  thread.join();
  if (run.ran() == operations && run.elapsed() > Duration::zero()) return run;
  return absl::InternalError(absl::StrCat(std::string(handover.name), " ", std::string(peer.name), ": ", run.ran(),
                                          " of ", operations, " operations ran"));
}

// A multiple of what is under way at once.
std::uint64_t Whole(const Handover& handover, double operations) {
  const double chains = std::clamp(operations, double{kOperationsMin}, double{kOperationsMax}) / handover.at_once;
  return std::max<std::uint64_t>(1, static_cast<std::uint64_t>(chains)) * handover.at_once;
}

// How many operations take about a window. Warms up as well.
absl::StatusOr<std::uint64_t> OperationsIn(Duration window, const Handover& handover, const HandoverPeer& peer) {
  double operations = kOperationsMin;
  for (;;) {
    const std::uint64_t count = Whole(handover, operations);
    const absl::StatusOr<HandoverRun> run = Measure(handover, peer, count);
    if (!run.ok()) return run.status();
    const double windows = std::chrono::duration<double>(run->elapsed()) / std::chrono::duration<double>(window);
    const double fitting = static_cast<double>(count) / windows;
    if (windows > 0.25 || operations >= double{kOperationsMax}) return Whole(handover, fitting);
    operations = 4 * static_cast<double>(count);
  }
}

absl::Status MeasureOnce(const Handover& handover, Series& series) {
  const absl::StatusOr<HandoverRun> run = Measure(handover, series.peer, series.operations);
  if (!run.ok()) return run.status();
  const auto operations = static_cast<double>(series.operations);
  const double seconds = std::chrono::duration<double>(run->elapsed()).count();
  series.rounds.push_back({operations / seconds, static_cast<double>(run->cpu().count()) / operations});
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Series>> MeasureRounds(const Handover& handover, const HandoverOptions& options) {
  std::vector<Series> all;
  for (const HandoverPeer& peer : handover.peers) {
    all.push_back({std::string(peer.name), peer, 0, {}});
    const bool is_doubled = options.is_self_check && peer.name == handover.yardstick;
    if (is_doubled) all.push_back({absl::StrCat(all.back().name, "_again"), peer, 0, {}});
  }
  for (Series& series : all) {
    const absl::StatusOr<std::uint64_t> operations = OperationsIn(options.window, handover, series.peer);
    if (!operations.ok()) return operations.status();
    series.operations = *operations;
  }
  const int count = static_cast<int>(all.size());
  for (int round = 0; round < options.rounds; ++round) {
    for (int turn = 0; turn < count; ++turn) {
      absl::Status status = MeasureOnce(handover, all[PlaceInRound(round, turn, count)]);
      if (!status.ok()) return status;
    }
  }
  return all;
}

std::string Ratio(const Series& series, const Series& base) {
  return FormatRatio(RatioQuartiles(series.Column(&Sample::per_s), base.Column(&Sample::per_s)));
}

void PrintAgainstYardstick(const Handover& handover, const std::vector<Series>& all, std::ostream& out) {
  const auto yardstick =
      std::find_if(all.begin(), all.end(), [&](const Series& series) { return series.name == handover.yardstick; });
  out << absl::StrFormat("%-16s %13s %11s %11s   %s\n", "", "operations/s", "ns each", "CPU ns each",
                         absl::StrCat("operations/s : ", std::string(handover.yardstick)));
  for (const Series& series : all) {
    const double per_s = series.Median(&Sample::per_s);
    out << absl::StrFormat("%-16s %13.0f %11.1f %11.1f   %s\n", series.name, per_s, 1e9 / per_s,
                           series.Median(&Sample::cpu_ns), Ratio(series, *yardstick));
  }
}

void PrintAgainstPeers(const Handover& handover, const std::vector<Series>& all, std::ostream& out) {
  for (const Series& ours : all) {
    if (!ours.name.starts_with("gyre")) continue;
    for (const Series& peer : all) {
      if (peer.name.starts_with("gyre") || peer.peer.name == handover.yardstick) continue;
      out << absl::StrFormat("%-54s %s\n", absl::StrCat(ours.name, " : ", peer.name), Ratio(ours, peer));
    }
  }
}

}  // namespace

absl::Status CompareHandover(const Handover& handover, const HandoverOptions& options, std::ostream& out) {
  const absl::StatusOr<std::vector<Series>> all = MeasureRounds(handover, options);
  if (!all.ok()) return all.status();
  const auto window_ms = std::chrono::duration_cast<std::chrono::milliseconds>(options.window).count();
  out << absl::StrFormat("\n%s: %s\n%d rounds of at most %d ms: median [lower quartile, upper quartile]\n",
                         std::string(handover.name), std::string(handover.description), options.rounds, window_ms);
  PrintAgainstYardstick(handover, *all, out);
  PrintAgainstPeers(handover, *all, out);
  out.flush();
  return absl::OkStatus();
}

std::string DescribeHandoverPlacement() {
  const bool is_pinned = UsableCpus().size() >= kLoopsMax;
  return absl::StrCat("handovers: ", is_pinned ? "two loops on a CPU each" : "two loops share a CPU",
                      "; a loop and its pool on any of ", UsableCpus().size());
}

}  // namespace gyre::bench
