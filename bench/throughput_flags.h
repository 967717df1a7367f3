// Flags: what bench/throughput was asked to do.
//
// Errors: ParseFlags says which argument is wrong and why; the program then exits with status 2.
#ifndef GYRE_BENCH_THROUGHPUT_FLAGS_H_
#define GYRE_BENCH_THROUGHPUT_FLAGS_H_

#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "gyre/bench/peers/echo_server.h"
#include "gyre/bench/peers/handover.h"
#include "gyre/bench/throughput_cell.h"
#include "gyre/bench/throughput_handover.h"
#include "gyre/bench/throughput_measure.h"

namespace gyre::bench {

struct Flags {
  bool is_help = false;
  int pairs = 0;                    // 0: the table; else the comparison in alternating pairs
  std::vector<Cell> cells;          // none: no echo
  std::vector<EchoServer> servers;  // with the yardstick among them; not all fit each cell: see ServersOf
  MeasureOptions measure;
  std::vector<Handover> handovers;
  HandoverOptions handover;
  std::vector<char*> benchmark_args;  // argv[0] and what is Google Benchmark's
};

extern const std::string_view kUsage;

absl::StatusOr<Flags> ParseFlags(int argc, char** argv);

// Those that can have the cell's number of loops.
std::vector<EchoServer> ServersOf(const Flags& flags, const Cell& cell);

// Over all cells.
int MeasurementCount(const Flags& flags);

}  // namespace gyre::bench

#endif  // GYRE_BENCH_THROUGHPUT_FLAGS_H_
