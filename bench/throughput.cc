// How many messages a second does a gyre echo server serve on one loop and on two, next to the same server on raw
// epoll, Asio and libuv, and what does a message cost? How often a second does a loop hand something to another loop,
// or to a pool, and have it back, next to Asio and to the least that this takes?
//
// Real TCP over loopback; each loop and the load generator are threads pinned to a core each, where there are enough.
// Figures hold within a run only: compare ratios, and only those of rows that nothing disturbed. The table shows; what
// is to be claimed is checked with --pairs (see --help). A row whose load generator is busy nearly all the time is
// limited by the load, and its ratio is a lower bound for what is faster.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <iostream>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gyre/bench/cpus.h"
#include "gyre/bench/throughput_flags.h"
#include "gyre/bench/throughput_handover.h"
#include "gyre/bench/throughput_measure.h"
#include "gyre/bench/throughput_pairs.h"
#include "gyre/bench/throughput_placement.h"
#include "gyre/bench/throughput_progress.h"
#include "gyre/bench/throughput_table.h"

namespace gyre::bench {
namespace {

constexpr std::string_view kFamily = "BM_Throughput_";

// How a Measurement travels through Google Benchmark, and what --benchmark_out writes.
constexpr struct {
  const char* name;
  double Measurement::*column;
} kCounters[] = {
    {"messages_per_s", &Measurement::messages_per_s},
    {"p50_us", &Measurement::p50_us},
    {"p99_us", &Measurement::p99_us},
    {"p999_us", &Measurement::p999_us},
    {"server_cpu_ns_per_message", &Measurement::server_cpu_ns},
    {"server_busy", &Measurement::server_busy},
    {"load_busy", &Measurement::load_busy},
};
constexpr struct {
  const char* name;
  std::optional<double> Measurement::*column;
} kOptionalCounters[] = {
    {"disturbed", &Measurement::disturbed},
    {"syscalls_per_message", &Measurement::syscalls_per_message},
};

void SetCounters(const Measurement& measurement, benchmark::UserCounters& counters) {
  for (const auto& [name, column] : kCounters) counters[name] = measurement.*column;
  for (const auto& [name, column] : kOptionalCounters) {
    if (measurement.*column) counters[name] = *(measurement.*column);
  }
}

Measurement FromCounters(const benchmark::UserCounters& counters) {
  Measurement measurement;
  for (const auto& [name, column] : kCounters) measurement.*column = counters.at(name).value;
  for (const auto& [name, column] : kOptionalCounters) {
    const auto found = counters.find(name);
    if (found != counters.end()) measurement.*column = found->second.value;
  }
  return measurement;
}

// Shows runs as a ThroughputTable. (Google Benchmark's own reporters would print one time for each, and begin with what
// they think of how their library was built.)
class TableReporter : public benchmark::BenchmarkReporter {
 public:
  explicit TableReporter(Progress& progress) : progress_(progress) {}

  bool ReportContext(const Context&) override { return true; }

  void ReportRuns(const std::vector<Run>& runs) override {
    progress_.Clear();
    for (const Run& run : runs) {
      if (run.run_type == Run::RT_Iteration) Show(run);
    }
  }

  void Finalize() override { table_.Finish(GetOutputStream()); }

  bool has_failure() const { return has_failure_; }

 private:
  void Show(const Run& run) {
    const std::string& name = run.run_name.function_name;  // kFamily, cell, '/', server
    const std::size_t slash = name.find('/');
    const std::string cell = name.substr(kFamily.size(), slash - kFamily.size());
    const std::string server = name.substr(slash + 1);
    StartTableFor(ParseCell(cell)->loops);
    if (run.error_occurred) {
      has_failure_ = true;
      table_.AddFailure(GetOutputStream(), cell, server, run.error_message);
    } else {
      table_.Add(GetOutputStream(), cell, server, FromCounters(run.counters));
    }
  }

  // A mean over cells of different numbers of loops would say nothing.
  void StartTableFor(int loops) {
    if (loops != loops_) table_.Finish(GetOutputStream());
    if (loops != loops_) table_ = ThroughputTable();
    loops_ = loops;
  }

  Progress& progress_;
  ThroughputTable table_;
  int loops_ = 0;  // of the cells in table_
  bool has_failure_ = false;
};

void RunOne(benchmark::State& state, const EchoServer& server, const Cell& cell, const MeasureOptions& options,
            Progress& progress) {
  progress.Step(absl::StrCat(cell.Name(), " ", std::string(server.name)));
  for (auto _ : state) {
    absl::StatusOr<Measurement> measurement = Measure(server, cell, options);
    if (!measurement.ok()) {
      state.SkipWithError(std::string(measurement.status().message()).c_str());
      break;
    }
    state.SetIterationTime(measurement->seconds);
    state.SetItemsProcessed(static_cast<std::int64_t>(measurement->messages));
    SetCounters(*measurement, state.counters);
  }
}

// Cell by cell, all servers of a cell one after the other: Google Benchmark keeps the order.
void RegisterAll(const Flags& flags, Progress& progress) {
  for (const Cell& cell : flags.cells) {
    for (const EchoServer& server : ServersOf(flags, cell)) {
      const std::string name = absl::StrCat(std::string(kFamily), cell.Name(), "/", std::string(server.name));
      const auto run = [server, cell, &flags, &progress](benchmark::State& state) {
        RunOne(state, server, cell, flags.measure, progress);
      };
      benchmark::RegisterBenchmark(name.c_str(), run)->Iterations(1)->UseManualTime();
    }
  }
}

// Returns the process's exit status.
int RunTable(Flags& flags) {
  const bool is_everything = flags.benchmark_args.size() == 1;
  Progress progress(is_everything ? MeasurementCount(flags) : 0);
  RegisterAll(flags, progress);
  int argc = static_cast<int>(flags.benchmark_args.size());
  flags.benchmark_args.push_back(nullptr);
  benchmark::Initialize(&argc, flags.benchmark_args.data());
  if (benchmark::ReportUnrecognizedArguments(argc, flags.benchmark_args.data())) return 2;
  TableReporter reporter(progress);
  const std::size_t matched = benchmark::RunSpecifiedBenchmarks(&reporter);
  benchmark::Shutdown();
  if (matched == 0) {
    std::cerr << "throughput: no benchmark has such a name\n";
    return 2;
  }
  return reporter.has_failure() ? 1 : 0;
}

int RunPairsMode(const Flags& flags) {
  const absl::Status status = RunPairs(flags, std::cout);
  if (!status.ok()) std::cerr << "throughput: " << status.message() << "\n";
  return status.ok() ? 0 : 1;
}

void DescribeMachine(const Flags& flags, std::ostream& out) {
  std::set<int> loops;
  for (const Cell& cell : flags.cells) loops.insert(cell.loops);
  for (int count : loops) out << DescribePlacement(count) << "\n";
  const bool is_uring = flags.measure.load_io == LoadIo::kUring;
  out << "the load is on " << (is_uring ? "io_uring" : "epoll")
      << "; cells are connections x bytes x depth (@ loops); ratios are to " << kYardstick << std::endl;
}

int RunHandovers(const Flags& flags) {
  if (flags.handovers.empty()) return 0;
  std::cout << "\n" << DescribeHandoverPlacement() << "\n";
  Progress progress(static_cast<int>(flags.handovers.size()));
  for (const Handover& handover : flags.handovers) {
    progress.Step(std::string(handover.name));
    std::ostringstream table;
    const absl::Status status = CompareHandover(handover, flags.handover, table);
    progress.Clear();
    std::cout << table.str() << std::flush;
    if (!status.ok()) std::cerr << "throughput: " << status.message() << "\n";
    if (!status.ok()) return 1;
  }
  return 0;
}

int RunEcho(Flags& flags) {
  if (flags.cells.empty()) return 0;
  DescribeMachine(flags, std::cout);
  return flags.pairs > 0 ? RunPairsMode(flags) : RunTable(flags);
}

int Main(int argc, char** argv) {
  UsableCpus();  // while nothing is pinned yet
  absl::StatusOr<Flags> flags = ParseFlags(argc, argv);
  if (!flags.ok()) {
    std::cerr << "throughput: " << flags.status().message() << "\n";
    return 2;
  }
  if (flags->is_help) {
    std::cout << kUsage;
    return 0;
  }
  int connections_max = 0;
  for (const Cell& cell : flags->cells) connections_max = std::max(connections_max, cell.connections);
  if (absl::Status status = RaiseDescriptorLimit(connections_max); !status.ok()) {
    std::cerr << "throughput: " << status.message() << "\n";
    return 1;
  }
  const int echo = RunEcho(*flags);
  const int handovers = echo == 2 ? 0 : RunHandovers(*flags);
  return std::max(echo, handovers);
}

}  // namespace
}  // namespace gyre::bench

int main(int argc, char** argv) { return gyre::bench::Main(argc, argv); }
