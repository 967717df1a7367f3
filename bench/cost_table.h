// CostTable: what an operation of gyre costs, as a ratio to a raw loop that does the same in the same process.
//
// Each row is measured in kRuns rounds, gyre and raw in turn, so that both meet the same weather; the ratio shown is the
// median of the rounds' ratios. Instructions per operation come from the processor's counter where the machine gives
// it to the process; elsewhere `--count=ROW/gyre` runs one side alone, for valgrind --tool=callgrind.
//
// Errors: an unknown flag or row ends the process with status 2; with --check a ratio over its limit, with status 1.
#ifndef GYRE_BENCH_COST_TABLE_H_
#define GYRE_BENCH_COST_TABLE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace gyre::bench {

// Does `operations` operations; gives the nanoseconds they took, without set-up.
using CostBody = std::function<double(uint64_t operations)>;

class CostRow {
 public:
  CostRow(std::string name, CostBody gyre, CostBody raw) : name(std::move(name)), gyre(gyre), raw(raw) {}

  // The ratio that gyre must not exceed; 0: only shown.
  CostRow& Limit(double ratio) {
    limit = ratio;
    return *this;
  }
  // What other runtimes took where docs/benchmarks.md says, in ns, for orientation.
  CostRow& Peers(std::string text) {
    peers = std::move(text);
    return *this;
  }
  CostRow& Operations(uint64_t count) {
    operations = count;
    return *this;
  }

  std::string name;
  CostBody gyre;
  CostBody raw;  // null: no raw equal
  double limit = 0;
  std::string peers;
  uint64_t operations = 1'000'000;
};

// What the bodies use: one thread is bound to the first CPU; several need their CPUs.
enum class CostThreads {
  kOne,
  kSeveral,
};

// Parses the flags, measures, prints; gives the exit status.
int RunCostTable(int argc, char** argv, std::string_view title, const std::vector<CostRow>& rows,
                 CostThreads threads = CostThreads::kOne);

// For bodies: nanoseconds between construction and Stop.
class Stopwatch {
 public:
  Stopwatch();
  double ElapsedNs() const;

 private:
  int64_t start_ns_;
};

}  // namespace gyre::bench

#endif  // GYRE_BENCH_COST_TABLE_H_
