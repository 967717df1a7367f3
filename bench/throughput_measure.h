// Measure: one server under one load, each on a thread (and, where there are two, a core) of its own.
//
// Thread-safety: one measurement at a time, from the thread that called PrepareMachine.
// Errors:        a server that cannot serve ends the process (ServerFailed); a load that goes wrong is a status.
#ifndef GYRE_BENCH_THROUGHPUT_MEASURE_H_
#define GYRE_BENCH_THROUGHPUT_MEASURE_H_

#include <optional>
#include <string>

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
  double server_cpu_ns = 0;  // per message, of the server's thread
  double server_busy = 0;    // share of the window, 0..1
  double load_busy = 0;      // the same of the load generator: near 1 it is what limits the server
  double disturbed = 0;      // share of the window for which other programs kept one of the two off its CPU; want: 0
  std::optional<double> syscalls_per_message;  // of servers that count them
};

// Pins the calling thread, which will generate the load, to the second of the CPUs that the process may use, and
// servers to the first; with one CPU nothing is pinned. Returns a line that says what was done.
std::string PrepareMachine();

// Raises the soft limit on descriptors to what both ends of `connections_max` connections need.
absl::Status RaiseDescriptorLimit(int connections_max);

absl::StatusOr<Measurement> Measure(const EchoServer& server, const Cell& cell, const MeasureOptions& options);

}  // namespace gyre::bench

#endif  // GYRE_BENCH_THROUGHPUT_MEASURE_H_
