#include "gyre/bench/cost_table.h"

#include <linux/perf_event.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <optional>

namespace gyre::bench {
namespace {

constexpr int kRuns = 9;

int64_t NowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// User-space instructions of this thread, if the machine counts them.
class InstructionCounter {
 public:
  InstructionCounter() {
    perf_event_attr attributes;
    std::memset(&attributes, 0, sizeof(attributes));
    attributes.type = PERF_TYPE_HARDWARE;
    attributes.size = sizeof(attributes);
    attributes.config = PERF_COUNT_HW_INSTRUCTIONS;
    attributes.exclude_kernel = 1;
    fd_ = static_cast<int>(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC));
  }
  ~InstructionCounter() {
    if (fd_ >= 0) close(fd_);
  }
  InstructionCounter(const InstructionCounter&) = delete;
  InstructionCounter& operator=(const InstructionCounter&) = delete;

  std::optional<uint64_t> Read() const {
    uint64_t value = 0;
    if (fd_ < 0 || read(fd_, &value, sizeof(value)) != sizeof(value)) return std::nullopt;
    return value;
  }

 private:
  int fd_;
};

struct Flags {
  bool is_check = false;
  bool is_short = false;
  std::string count;  // ROW/SIDE
  uint64_t operations = 0;
  std::string only;
};

struct Sample {
  double ns = 0;
  double instructions = -1;
};

Sample Measure(const CostBody& body, uint64_t operations, const InstructionCounter& counter) {
  const std::optional<uint64_t> before = counter.Read();
  Sample sample;
  sample.ns = body(operations) / static_cast<double>(operations);
  const std::optional<uint64_t> after = counter.Read();
  if (before && after) sample.instructions = static_cast<double>(*after - *before) / static_cast<double>(operations);
  return sample;
}

double Quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1) + 0.5)];
}

std::string Number(double value, int decimals) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.*f", decimals, value);
  return value < 0 ? "-" : text;
}

// Prints one row; false if it is over its limit.
bool MeasureRow(const CostRow& row, uint64_t operations, int runs, const InstructionCounter& counter) {
  std::vector<double> gyre_ns, raw_ns, ratios, gyre_instructions, raw_instructions;
  Measure(row.gyre, operations / 10 + 1, counter);  // warm up
  if (row.raw) Measure(row.raw, operations / 10 + 1, counter);
  for (int run = 0; run < runs; ++run) {
    Sample raw;
    const bool raw_first = run % 2 == 0;
    if (row.raw && raw_first) raw = Measure(row.raw, operations, counter);
    const Sample gyre = Measure(row.gyre, operations, counter);
    if (row.raw && !raw_first) raw = Measure(row.raw, operations, counter);
    gyre_ns.push_back(gyre.ns);
    gyre_instructions.push_back(gyre.instructions);
    raw_ns.push_back(raw.ns);
    raw_instructions.push_back(raw.instructions);
    if (row.raw) ratios.push_back(gyre.ns / raw.ns);
  }
  const double ratio = row.raw ? Quantile(ratios, 0.5) : -1;
  const bool is_over = row.limit > 0 && ratio > row.limit;
  std::printf("%-34s %8s %8s %7s %15s %6s %7s %7s  %s\n", row.name.c_str(), Number(Quantile(gyre_ns, 0.5), 1).c_str(),
              row.raw ? Number(Quantile(raw_ns, 0.5), 1).c_str() : "-", Number(ratio, 2).c_str(),
              row.raw ? ("[" + Number(Quantile(ratios, 0.25), 2) + ", " + Number(Quantile(ratios, 0.75), 2) + "]").c_str()
                      : "-",
              row.limit > 0 ? (Number(row.limit, 1) + (is_over ? " OVER" : "")).c_str() : "-",
              Number(Quantile(gyre_instructions, 0.5), 1).c_str(),
              row.raw ? Number(Quantile(raw_instructions, 0.5), 1).c_str() : "-", row.peers.c_str());
  std::fflush(stdout);
  return !is_over;
}

int RunOneSide(const std::vector<CostRow>& rows, const Flags& flags) {
  const size_t slash = flags.count.rfind('/');
  const std::string name = flags.count.substr(0, slash);
  const std::string side = slash == std::string::npos ? "" : flags.count.substr(slash + 1);
  for (const CostRow& row : rows) {
    if (row.name != name || (side != "gyre" && side != "raw")) continue;
    const CostBody& body = side == "gyre" ? row.gyre : row.raw;
    if (!body) break;
    const uint64_t operations = flags.operations > 0 ? flags.operations : row.operations;
    body(operations);
    std::printf("%s: %llu operations\n", flags.count.c_str(), static_cast<unsigned long long>(operations));
    return 0;
  }
  std::fprintf(stderr, "--count=%s: expected ROW/gyre or ROW/raw with one of these rows:\n", flags.count.c_str());
  for (const CostRow& row : rows) std::fprintf(stderr, "  %s\n", row.name.c_str());
  return 2;
}

std::optional<Flags> ParseFlags(int argc, char** argv) {
  Flags flags;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    auto value = [&](std::string_view prefix) { return std::string(argument.substr(prefix.size())); };
    if (argument == "--check") {
      flags.is_check = true;
    } else if (argument == "--short") {
      flags.is_short = true;
    } else if (argument.starts_with("--count=")) {
      flags.count = value("--count=");
    } else if (argument.starts_with("--only=")) {
      flags.only = value("--only=");
    } else if (argument.starts_with("--operations=")) {
      const std::string text = value("--operations=");
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), flags.operations);
      if (error != std::errc() || end != text.data() + text.size() || flags.operations == 0) {
        std::fprintf(stderr, "%s: expected a whole number above 0\n", argv[i]);
        return std::nullopt;
      }
    } else {
      std::fprintf(stderr,
                   "unknown argument \"%s\": expected --check (fail if a ratio is over its limit), --short, --only=ROW, "
                   "--count=ROW/gyre|raw (one side alone, for callgrind), --operations=N\n",
                   argv[i]);
      return std::nullopt;
    }
  }
  return flags;
}

// Best effort: fewer migrations, less noise. Threads made later inherit it.
void PinToFirstCpu() {
  cpu_set_t first;
  CPU_ZERO(&first);
  CPU_SET(0, &first);
  sched_setaffinity(0, sizeof(first), &first);
}

}  // namespace

Stopwatch::Stopwatch() : start_ns_(NowNs()) {}

double Stopwatch::ElapsedNs() const { return static_cast<double>(NowNs() - start_ns_); }

int RunCostTable(int argc, char** argv, std::string_view title, const std::vector<CostRow>& rows,
                 CostThreads threads) {
  const std::optional<Flags> flags = ParseFlags(argc, argv);
  if (!flags) return 2;
  if (!flags->count.empty()) return RunOneSide(rows, *flags);
  if (threads == CostThreads::kOne) PinToFirstCpu();
  const InstructionCounter counter;
  const int runs = flags->is_short ? 1 : kRuns;
  std::printf("%.*s: ns per operation, median of %d interleaved runs\n", static_cast<int>(title.size()), title.data(),
              runs);
  std::printf("%-34s %8s %8s %7s %15s %6s %7s %7s  %s\n", "operation", "gyre ns", "raw ns", "ratio", "[quartiles]",
              "limit", "gyre in", "raw in", "others (ns)");
  bool is_ok = true;
  for (const CostRow& row : rows) {
    if (!flags->only.empty() && row.name != flags->only) continue;
    uint64_t operations = flags->operations > 0 ? flags->operations : row.operations;
    if (flags->is_short) operations = operations / 100 + 1;
    is_ok &= MeasureRow(row, operations, runs, counter);
  }
  return flags->is_check && !is_ok ? 1 : 0;
}

}  // namespace gyre::bench
