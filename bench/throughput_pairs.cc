#include "gyre/bench/throughput_pairs.h"

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gyre/bench/throughput_progress.h"
#include "gyre/bench/throughput_stats.h"

namespace gyre::bench {
namespace {

// What one server did, round by round.
struct Series {
  std::string server;
  std::vector<Measurement> rounds;
};

Quartiles RatioOf(const Series& series, const Series& base, double Measurement::*column) {
  std::vector<double> samples;
  std::vector<double> base_samples;
  for (const Measurement& round : series.rounds) samples.push_back(round.*column);
  for (const Measurement& round : base.rounds) base_samples.push_back(round.*column);
  return RatioQuartiles(samples, base_samples);
}

absl::StatusOr<std::vector<Series>> MeasureRounds(const Flags& flags, const Cell& cell, Progress& progress) {
  const std::vector<EchoServer> servers = ServersOf(flags, cell);
  std::vector<Series> all;
  for (const EchoServer& server : servers) all.push_back({std::string(server.name), {}});
  for (int round = 0; round < flags.pairs; ++round) {
    for (std::size_t turn = 0; turn < all.size(); ++turn) {
      const int place = PlaceInRound(round, static_cast<int>(turn), static_cast<int>(all.size()));
      progress.Step(absl::StrCat(cell.Name(), " pair ", round + 1, " ", all[place].server));
      absl::StatusOr<Measurement> measurement = Measure(servers[place], cell, flags.measure);
      if (!measurement.ok()) {
        return absl::Status(measurement.status().code(),
                            absl::StrCat(cell.Name(), " ", all[place].server, ": ", measurement.status().message()));
      }
      all[place].rounds.push_back(*std::move(measurement));
    }
  }
  progress.Clear();
  return all;
}

void PrintAgainstYardstick(const std::vector<Series>& all, std::ostream& out) {
  const Series* yardstick = nullptr;
  for (const Series& series : all) {
    if (series.server == kYardstick) yardstick = &series;
  }
  out << absl::StrFormat("%-16s %11s %11s %9s %5s %9s   %-23s %s\n", "server", "messages/s", "CPU ns/msg", "p99 us",
                         "load", "disturbed", "messages/s : raw_epoll", "CPU : raw_epoll");
  for (const Series& series : all) {
    out << absl::StrFormat(
        "%-16s %11.0f %11.0f %9.1f %4.0f%% %9s   %s %s\n", series.server,
        MedianOf(series.rounds, &Measurement::messages_per_s), MedianOf(series.rounds, &Measurement::server_cpu_ns),
        MedianOf(series.rounds, &Measurement::p99_us), 100 * MedianOf(series.rounds, &Measurement::load_busy),
        PercentOrDash(MedianOf(series.rounds, &Measurement::disturbed)),
        FormatRatio(RatioOf(series, *yardstick, &Measurement::messages_per_s)),
        FormatRatio(RatioOf(series, *yardstick, &Measurement::server_cpu_ns)));
  }
}

void PrintAgainstPeers(const std::vector<Series>& all, std::ostream& out) {
  for (const Series& ours : all) {
    if (!ours.server.starts_with("gyre")) continue;
    for (const Series& peer : all) {
      if (peer.server.starts_with("gyre")) continue;
      out << absl::StrFormat("%-32s %s\n", absl::StrCat(ours.server, " : ", peer.server),
                             FormatRatio(RatioOf(ours, peer, &Measurement::messages_per_s)));
    }
  }
}

}  // namespace

absl::Status RunPairs(const Flags& flags, std::ostream& out) {
  Progress progress(MeasurementCount(flags) * flags.pairs);
  for (const Cell& cell : flags.cells) {
    absl::StatusOr<std::vector<Series>> all = MeasureRounds(flags, cell, progress);
    if (!all.ok()) return all.status();
    const auto window_ms = std::chrono::duration_cast<std::chrono::milliseconds>(flags.measure.window).count();
    out << absl::StrFormat("\n%s, %d pairs of %d ms: median [lower quartile, upper quartile]\n", cell.Name(),
                           flags.pairs, window_ms);
    PrintAgainstYardstick(*all, out);
    PrintAgainstPeers(*all, out);
    out.flush();
  }
  return absl::OkStatus();
}

}  // namespace gyre::bench
