// Cell: one load that servers are compared under, and on how many loops they serve it; written CONNECTIONSxBYTESxDEPTH
// (64x64x1), for several loops with @LOOPS behind it (64x64x1@2).
#ifndef GYRE_BENCH_THROUGHPUT_CELL_H_
#define GYRE_BENCH_THROUGHPUT_CELL_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gyre::bench {

struct Cell {
  int connections = 1;
  int message_bytes = 64;
  int depth = 1;  // messages outstanding on each connection
  int loops = 1;  // the server's

  std::string Name() const;
};

// nullopt if `text` is not such numbers within the limits of CellLimits().
std::optional<Cell> ParseCell(std::string_view text);
std::string CellLimits();

// What the default run shows: {1, 64, 1024} connections x {64 B, 16 KiB} x depth {1, 16} on one loop, and four of those
// on two. Those of one loop come first.
std::vector<Cell> DefaultCells();

// A few small ones that still reach pipelining, partial sends and several connections.
std::vector<Cell> ShortCells();

}  // namespace gyre::bench

#endif  // GYRE_BENCH_THROUGHPUT_CELL_H_
