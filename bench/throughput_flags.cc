#include "gyre/bench/throughput_flags.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"

namespace gyre::bench {

const std::string_view kUsage =
    R"(throughput: gyre beside its peers in the same run. TCP echo over loopback, on one loop and on two, under the same
load; then handovers: what a loop hands to another loop, or to a pool.

  throughput                               the tables: every cell, every server, every handover, about 90 seconds
  throughput --cell=64x64x1 --pairs=15     checks a claim: alternating pairs, median ratios and quartiles
  throughput --handover=call --pairs=15    the same of a handover

  --cell=CxBxD[,...]   connections x bytes x depth (messages outstanding on each connection); CxBxD@N on N loops
  --servers=a,b        only these, and raw_epoll, which all ratios refer to; of the echo only
  --handover=a,b       call, call_x100 (calls to another loop and their answers, one or 100 at once), message (one way),
                       offload, offload_x1000 (jobs on a pool and back, one or 1000 at once). What names cells, servers
                       or handovers leaves the others out
  --pairs=N            N rounds in alternating order on each cell, instead of the table (of a handover: instead of 5)
  --self_check         also measures raw_epoll as if it were another server: its ratio is the noise
  --load=epoll         how the load generator works; io_uring, which costs it less, is taken where it can be had
  --verify             compares every byte that comes back
  --window_ms=N        length of one measurement (default 800; with --pairs 500; of a handover 100)
  --warmup_ms=N        time before it that does not count (default 100)
  --short              a few small cells for 50 ms each, bytes compared, and a round of each handover: a test, not a
                       measurement
  --benchmark_...      Google Benchmark's own, for the table (--benchmark_filter=REGEX, --benchmark_out=FILE)
)";

namespace {

constexpr std::string_view kSelfCheckName = "raw_epoll_again";

// What was said, before the defaults that depend on each other are filled in.
struct Said {
  bool is_short = false;
  bool is_self_check = false;
  bool is_verified = false;
  std::optional<int> window_ms;
  std::optional<int> warmup_ms;
  std::optional<LoadIo> load_io;
  std::string_view servers;
  std::string_view handovers;
};

std::string_view TakeUpTo(std::string_view& text, char separator) {
  const std::size_t end = text.find(separator);
  const std::string_view head = text.substr(0, end);
  text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  return head;
}

absl::string_view ForAbsl(std::string_view text) { return {text.data(), text.size()}; }

absl::Status ParseNumber(std::string_view flag, std::string_view text, int max, int* number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  if (error == std::errc() && end == text.data() + text.size() && *number >= 1 && *number <= max) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(ForAbsl(flag), "=", ForAbsl(text), ": expected a number from 1 to ", max));
}

absl::Status ParseMillis(std::string_view flag, std::string_view text, std::optional<int>* millis) {
  return ParseNumber(flag, text, 600'000, &millis->emplace());
}

absl::Status ParseCells(std::string_view text, std::vector<Cell>* cells) {
  do {
    const std::string_view name = TakeUpTo(text, ',');
    const std::optional<Cell> cell = ParseCell(name);
    if (!cell) {
      return absl::InvalidArgumentError(absl::StrCat("--cell=", ForAbsl(name), ": expected ", CellLimits()));
    }
    cells->push_back(*cell);
  } while (!text.empty());
  return absl::OkStatus();
}

absl::Status ParseLoadIo(std::string_view text, std::optional<LoadIo>* io) {
  const LoadIo cheapest = CheapestLoadIo();
  if (text == "epoll") {
    *io = LoadIo::kEpoll;
  } else if (text == "io_uring" && cheapest == LoadIo::kUring) {
    *io = LoadIo::kUring;
  } else if (text == "io_uring") {
    return absl::InvalidArgumentError("--load=io_uring: this kernel does not let us (6.1 or later, and not forbidden)");
  } else {
    return absl::InvalidArgumentError(absl::StrCat("--load=", ForAbsl(text), ": expected epoll or io_uring"));
  }
  return absl::OkStatus();
}

std::string ServerNames() {
  std::string names;
  for (const EchoServer& server : AllEchoServers()) {
    names.append(names.empty() ? "" : ", ").append(server.name);
  }
  return names;
}

const EchoServer* FindServer(std::string_view name) {
  const auto all = AllEchoServers();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const EchoServer& server) { return server.name == name; });
  return found == all.end() ? nullptr : &*found;
}

// The named servers in the order of AllEchoServers(), all of them if none is named; the yardstick always.
absl::Status ChooseServers(std::string_view names, std::vector<EchoServer>* servers) {
  std::vector<std::string_view> chosen;
  while (!names.empty()) {
    const std::string_view name = TakeUpTo(names, ',');
    if (FindServer(name) == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("--servers: there is no server \"", ForAbsl(name), "\"; there are: ", ServerNames()));
    }
    chosen.push_back(name);
  }
  for (const EchoServer& server : AllEchoServers()) {
    const bool is_named = std::find(chosen.begin(), chosen.end(), server.name) != chosen.end();
    if (chosen.empty() || is_named || server.name == kYardstick) servers->push_back(server);
  }
  return absl::OkStatus();
}

// The named handovers in the order of AllHandovers().
absl::Status ChooseHandovers(std::string_view names, std::vector<Handover>* handovers) {
  const auto all = AllHandovers();
  std::vector<std::string_view> chosen;
  while (!names.empty()) chosen.push_back(TakeUpTo(names, ','));
  for (const std::string_view name : chosen) {
    if (std::any_of(all.begin(), all.end(), [&](const Handover& one) { return one.name == name; })) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("--handover: there is no handover \"", ForAbsl(name), "\"; see --help"));
  }
  for (const Handover& one : all) {
    if (std::find(chosen.begin(), chosen.end(), one.name) != chosen.end()) handovers->push_back(one);
  }
  return absl::OkStatus();
}

absl::Status ParseFlag(std::string_view flag, std::string_view value, bool has_value, Flags* flags, Said* said) {
  if (flag == "--cell" && has_value) return ParseCells(value, &flags->cells);
  if (flag == "--pairs" && has_value) return ParseNumber(flag, value, 10'000, &flags->pairs);
  if (flag == "--window_ms" && has_value) return ParseMillis(flag, value, &said->window_ms);
  if (flag == "--warmup_ms" && has_value) return ParseMillis(flag, value, &said->warmup_ms);
  if (flag == "--load" && has_value) return ParseLoadIo(value, &said->load_io);
  if (flag == "--servers" && has_value && !value.empty()) {
    said->servers = value;
  } else if (flag == "--handover" && has_value && !value.empty()) {
    said->handovers = value;
  } else if (flag == "--short" && !has_value) {
    said->is_short = true;
  } else if (flag == "--self_check" && !has_value) {
    said->is_self_check = true;
  } else if (flag == "--verify" && !has_value) {
    said->is_verified = true;
  } else if (flag == "--help" && !has_value) {
    flags->is_help = true;
  } else {
    return absl::InvalidArgumentError(absl::StrCat("unknown or incomplete argument ", ForAbsl(flag), "; see --help"));
  }
  return absl::OkStatus();
}

// What was named; everything if nothing was.
absl::Status ChooseParts(const Said& said, Flags* flags) {
  const bool is_echo_named = !flags->cells.empty() || !said.servers.empty() || flags->benchmark_args.size() > 1;
  const bool is_echo_wanted = is_echo_named || said.handovers.empty();
  if (flags->cells.empty() && is_echo_wanted) flags->cells = said.is_short ? ShortCells() : DefaultCells();
  if (!said.handovers.empty()) return ChooseHandovers(said.handovers, &flags->handovers);
  if (!is_echo_named) flags->handovers.assign(AllHandovers().begin(), AllHandovers().end());
  return absl::OkStatus();
}

void CompleteHandover(const Said& said, Flags* flags) {
  HandoverOptions& options = flags->handover;
  if (said.is_short) {
    options.rounds = 1;
    options.window = std::chrono::milliseconds(5);
  }
  if (flags->pairs > 0) options.rounds = flags->pairs;
  if (said.window_ms) options.window = std::chrono::milliseconds(*said.window_ms);
  options.is_self_check = said.is_self_check;
}

absl::Status Complete(const Said& said, Flags* flags) {
  if (absl::Status status = ChooseParts(said, flags); !status.ok()) return status;
  CompleteHandover(said, flags);
  if (absl::Status status = ChooseServers(said.servers, &flags->servers); !status.ok()) return status;
  if (said.is_self_check) flags->servers.push_back({kSelfCheckName, FindServer(kYardstick)->run});
  const int window_ms = said.is_short ? 50 : flags->pairs > 0 ? 500 : 800;
  flags->measure.window = std::chrono::milliseconds(said.window_ms.value_or(window_ms));
  flags->measure.warmup = std::chrono::milliseconds(said.warmup_ms.value_or(said.is_short ? 10 : 100));
  flags->measure.verify_contents = said.is_short || said.is_verified;
  flags->measure.load_io = said.load_io ? *said.load_io : CheapestLoadIo();
  for (const Cell& cell : flags->cells) {
    if (flags->pairs == 0 || ServersOf(*flags, cell).size() > 1) continue;
    return absl::InvalidArgumentError(absl::StrCat("--pairs needs a server to compare with raw_epoll under ",
                                                   cell.Name(), ": --servers=..., --self_check"));
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<EchoServer> ServersOf(const Flags& flags, const Cell& cell) {
  std::vector<EchoServer> servers;
  for (const EchoServer& server : flags.servers) {
    if (server.loops_min <= cell.loops) servers.push_back(server);
  }
  return servers;
}

int MeasurementCount(const Flags& flags) {
  std::size_t count = 0;
  for (const Cell& cell : flags.cells) count += ServersOf(flags, cell).size();
  return static_cast<int>(count);
}

absl::StatusOr<Flags> ParseFlags(int argc, char** argv) {
  Flags flags;
  Said said;
  flags.benchmark_args.push_back(argv[0]);
  for (int i = 1; i < argc; ++i) {
    std::string_view value = argv[i];
    if (value.starts_with("--benchmark_")) {
      flags.benchmark_args.push_back(argv[i]);
      continue;
    }
    const bool has_value = value.find('=') != std::string_view::npos;
    std::string flag(TakeUpTo(value, '='));
    std::replace(flag.begin() + std::min<std::size_t>(2, flag.size()), flag.end(), '-', '_');
    if (absl::Status status = ParseFlag(flag, value, has_value, &flags, &said); !status.ok()) return status;
  }
  if (flags.pairs > 0 && flags.benchmark_args.size() > 1) {
    return absl::InvalidArgumentError(absl::StrCat(flags.benchmark_args[1], " has no meaning with --pairs"));
  }
  if (absl::Status status = Complete(said, &flags); !status.ok()) return status;
  return flags;
}

}  // namespace gyre::bench
