// ThroughputTable: prints one table for each cell as it is finished, and at the end the ratios of all cells.
//
// A server that was measured several times under a cell shows the median of each column. A measurement that failed
// shows as such, with its reason, and never as a number.
#ifndef GYRE_BENCH_THROUGHPUT_TABLE_H_
#define GYRE_BENCH_THROUGHPUT_TABLE_H_

#include <map>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "gyre/bench/throughput_measure.h"

namespace gyre::bench {

class ThroughputTable {
 public:
  // `cell` and `server` are names; when the cell changes, the one before it is printed to `out`.
  void Add(std::ostream& out, const std::string& cell, const std::string& server, const Measurement& measurement);
  void AddFailure(std::ostream& out, const std::string& cell, const std::string& server, const std::string& why);

  // Prints the last cell and the ratios of all.
  void Finish(std::ostream& out);

 private:
  struct Row {
    std::string server;
    std::vector<Measurement> measurements;
    std::string failure;  // empty if there was none
  };

  Row& RowOf(std::ostream& out, const std::string& cell, const std::string& server);
  void PrintCell(std::ostream& out);
  void PrintRatios(std::ostream& out) const;

  std::string cell_;       // the one being filled
  std::vector<Row> rows_;  // of cell_
  std::vector<std::string> cells_;
  std::vector<std::string> servers_;
  std::map<std::pair<std::string, std::string>, double> ratios_;  // by cell and server
};

}  // namespace gyre::bench

#endif  // GYRE_BENCH_THROUGHPUT_TABLE_H_
