#include "gyre/bench/throughput_table.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gyre/bench/throughput_stats.h"

namespace gyre::bench {
namespace {

// The median of each column.
Measurement Typical(const std::vector<Measurement>& all) {
  Measurement typical = all.front();
  for (double Measurement::*column :
       {&Measurement::messages_per_s, &Measurement::p50_us, &Measurement::p99_us, &Measurement::p999_us,
        &Measurement::server_cpu_ns, &Measurement::server_busy, &Measurement::load_busy}) {
    typical.*column = MedianOf(all, column);
  }
  for (std::optional<double> Measurement::*column : {&Measurement::disturbed, &Measurement::syscalls_per_message}) {
    typical.*column = MedianOf(all, column);
  }
  return typical;
}

constexpr absl::string_view kColumns =
    "messages/s    ratio    p50 us    p99 us  p99.9 us  CPU ns/msg  syscalls/msg  busy: server  load  disturbed";

std::string FormatRow(const Measurement& row, std::optional<double> ratio) {
  return absl::StrFormat("%10.0f %8s %9.1f %9.1f %9.1f %11.0f %13s %12.0f%% %4.0f%% %10s", row.messages_per_s,
                         OrDash(ratio, 3), row.p50_us, row.p99_us, row.p999_us, row.server_cpu_ns,
                         OrDash(row.syscalls_per_message, 3), 100 * row.server_busy, 100 * row.load_busy,
                         PercentOrDash(row.disturbed));
}

template <class T>
void AddIfNew(std::vector<T>& all, const T& one) {
  if (std::find(all.begin(), all.end(), one) == all.end()) all.push_back(one);
}

}  // namespace

void ThroughputTable::Add(std::ostream& out, const std::string& cell, const std::string& server,
                          const Measurement& measurement) {
  RowOf(out, cell, server).measurements.push_back(measurement);
}

void ThroughputTable::AddFailure(std::ostream& out, const std::string& cell, const std::string& server,
                                 const std::string& why) {
  RowOf(out, cell, server).failure = why;
}

ThroughputTable::Row& ThroughputTable::RowOf(std::ostream& out, const std::string& cell, const std::string& server) {
  if (cell != cell_) PrintCell(out);
  cell_ = cell;
  AddIfNew(cells_, cell);
  AddIfNew(servers_, server);
  const auto found = std::find_if(rows_.begin(), rows_.end(), [&](const Row& row) { return row.server == server; });
  return found != rows_.end() ? *found : rows_.emplace_back(Row{server, {}, {}});
}

void ThroughputTable::PrintCell(std::ostream& out) {
  if (rows_.empty()) return;
  std::optional<double> yardstick;
  for (const Row& row : rows_) {
    const bool is_yardstick = row.server == kYardstick && row.failure.empty();
    if (is_yardstick) yardstick = Typical(row.measurements).messages_per_s;
  }
  out << absl::StrFormat("\n%-16s  %s\n", cell_, kColumns);
  for (const Row& row : rows_) {
    if (!row.failure.empty()) {
      out << absl::StrFormat("%-16s  FAILED: %s\n", row.server, row.failure);
      continue;
    }
    const Measurement typical = Typical(row.measurements);
    std::optional<double> ratio;
    if (yardstick) ratio = ratios_[{cell_, row.server}] = typical.messages_per_s / *yardstick;
    out << absl::StrFormat("%-16s  %s\n", row.server, FormatRow(typical, ratio));
  }
  out.flush();
  rows_.clear();
}

void ThroughputTable::Finish(std::ostream& out) {
  PrintCell(out);
  if (!ratios_.empty()) PrintRatios(out);
}

void ThroughputTable::PrintRatios(std::ostream& out) const {
  out << absl::StrFormat("\n%-20s", "messages/s ratio");
  for (const std::string& server : servers_) out << absl::StrFormat(" %15s", server);
  for (const std::string& cell : cells_) {
    out << absl::StrFormat("\n%-20s", cell);
    for (const std::string& server : servers_) {
      const auto found = ratios_.find({cell, server});
      const bool is_known = found != ratios_.end();
      out << absl::StrFormat(" %15s", OrDash(is_known ? std::optional(found->second) : std::nullopt, 3));
    }
  }
  out << absl::StrFormat("\n%-20s", "geometric mean");
  for (const std::string& server : servers_) {
    std::vector<double> of_server;
    for (const auto& [key, ratio] : ratios_) {
      if (key.second == server) of_server.push_back(ratio);
    }
    // A mean over other cells than its neighbours' would mislead.
    const bool is_complete = of_server.size() == cells_.size();
    out << absl::StrFormat(" %15s", OrDash(is_complete ? std::optional(GeometricMean(of_server)) : std::nullopt, 3));
  }
  out << "\n";
  out.flush();
}

}  // namespace gyre::bench
