// Measure: one server under one load, each on threads (and, where there are enough, CPUs) of its own. See Placement.
//
// Thread-safety: one measurement at a time, and nothing else that uses CPU in the process meanwhile.
// Errors:        a server that cannot serve ends the process (ServerFailed); a load that goes wrong is a status.
#ifndef GYRE_BENCH_THROUGHPUT_MEASURE_H_
#define GYRE_BENCH_THROUGHPUT_MEASURE_H_

#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gyre/bench/load_generator.h"
#include "gyre/bench/peers/echo_server.h"
#include "gyre/bench/throughput_cell.h"
#include "gyre/runtime/time.h"

namespace gyre::bench {

struct MeasureOptions {
  Duration warmup = std::chrono::milliseconds(100);
  Duration window = std::chrono::milliseconds(800);
  bool verify_contents = false;
  LoadIo load_io = LoadIo::kEpoll;
};

struct Measurement {
  double messages = 0;
  double seconds = 0;
  double messages_per_s = 0;
  double p50_us = 0;
  double p99_us = 0;
  double p999_us = 0;
  double server_cpu_ns = 0;  // per message, of all the server's threads
  double server_busy = 0;    // share of the window, 0..1 for each loop
  double load_busy = 0;      // the same of the load generator: near 1 it is what limits the server
  // Share of the window for which other programs kept a thread of the two off its CPU; want: 0. Not known where server
  // and load generator share CPUs.
  std::optional<double> disturbed;
  std::optional<double> syscalls_per_message;  // of servers that count them
};

// Raises the soft limit on descriptors to what both ends of `connections_max` connections need.
absl::Status RaiseDescriptorLimit(int connections_max);

// The median of a column of `all`, which is not empty; of an optional one, over those that know it.
double MedianOf(const std::vector<Measurement>& all, double Measurement::*column);
std::optional<double> MedianOf(const std::vector<Measurement>& all, std::optional<double> Measurement::*column);

absl::StatusOr<Measurement> Measure(const EchoServer& server, const Cell& cell, const MeasureOptions& options);

}  // namespace gyre::bench

#endif  // GYRE_BENCH_THROUGHPUT_MEASURE_H_
