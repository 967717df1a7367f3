#include "gyre/bench/throughput_measure.h"

#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <future>
#include <map>
#include <string>
#include <system_error>
#include <thread>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "gyre/bench/cpus.h"
#include "gyre/bench/throughput_placement.h"
#include "gyre/bench/throughput_stats.h"
#include "gyre/runtime/check.h"

namespace gyre::bench {
namespace {

// How long each thread of this process has waited so far, ready to run, for a CPU; none where the kernel does not say.
std::map<std::string, Duration> WaitsForCpu() {
  std::map<std::string, Duration> waits;
  std::error_code gone;  // a thread that ends meanwhile
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task", gone)) {
    std::ifstream file(thread.path() / "schedstat");
    std::int64_t ran_ns = 0;
    std::int64_t waited_ns = 0;
    if (file >> ran_ns >> waited_ns) waits[thread.path().filename()] = std::chrono::nanoseconds(waited_ns);
  }
  return waits;
}

Duration Cpu(clockid_t clock) {
  timespec used{};
  const bool is_known = clock_gettime(clock, &used) == 0;
  GYRE_CHECK(is_known, "a process can read its own CPU clocks");
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

// A server on threads of its own, from construction to destruction.
class RunningServer {
 public:
  RunningServer(const EchoServer& server, int loops) : server_(server) {
    GYRE_CHECK(stop_fd_ >= 0, "an eventfd can be had: raise the limit on descriptors");
    request_.stop_fd = stop_fd_;
    request_.loops = loops;
    request_.cpus = PlaceFor(loops).loops;
    request_.on_listening = [this](std::uint16_t port) {
      is_listening_ = true;
      listening_.set_value(port);
    };
    request_.counters = &counters_;
    thread_ = std::thread([this] { Serve(); });
    port_ = listening_.get_future().get();
  }
  RunningServer(const RunningServer&) = delete;
  RunningServer& operator=(const RunningServer&) = delete;
  ~RunningServer() {
    const std::uint64_t one = 1;
    GYRE_CHECK(write(stop_fd_, &one, sizeof(one)) == sizeof(one), "an eventfd that nobody has written to takes a one");
    thread_.join();
    close(stop_fd_);
  }

  std::uint16_t port() const { return port_; }

  std::optional<std::uint64_t> Syscalls() const {
    return counters_.syscalls ? std::optional(counters_.syscalls()) : std::nullopt;
  }

 private:
  void Serve() {
    RunOnlyOn(request_.cpus);
    server_.run(request_);
    if (!is_listening_) ServerFailed(server_.name, "start", "returned without listening");
  }

  const EchoServer server_;
  const int stop_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  ServeRequest request_;
  ServerCounters counters_;  // published by the promise
  std::promise<std::uint16_t> listening_;
  bool is_listening_ = false;  // of the server's threads, which end before Serve looks
  std::thread thread_;
  std::uint16_t port_ = 0;
};

// What server and load generator (the calling thread) have used so far, and how long they waited for it.
struct Use {
  explicit Use(const RunningServer& server)
      : waits(WaitsForCpu()),
        load_cpu(Cpu(CLOCK_THREAD_CPUTIME_ID)),
        server_cpu(Cpu(CLOCK_PROCESS_CPUTIME_ID) - load_cpu),
        syscalls(server.Syscalls()) {}

  std::map<std::string, Duration> waits;
  Duration load_cpu;
  Duration server_cpu;  // all other threads of the process are the server's
  std::optional<std::uint64_t> syscalls;
};

// The thread that waited longest.
Duration LongestWait(const Use& before, const Use& after) {
  Duration longest{};
  for (const auto& [thread, waited] : after.waits) {
    const auto found = before.waits.find(thread);
    longest = std::max(longest, waited - (found != before.waits.end() ? found->second : Duration{}));
  }
  return longest;
}

Measurement Summarize(const LoadResult& load, const Use& before, const Use& after, bool is_pinned) {
  const double messages = static_cast<double>(load.messages);
  const double elapsed_ns = static_cast<double>(load.elapsed.count());
  const double server_cpu_ns = static_cast<double>((after.server_cpu - before.server_cpu).count());
  Measurement result;
  result.messages = messages;
  result.seconds = elapsed_ns / 1e9;
  result.messages_per_s = messages / result.seconds;
  result.p50_us = load.latency.Percentile(50) / 1e3;
  result.p99_us = load.latency.Percentile(99) / 1e3;
  result.p999_us = load.latency.Percentile(99.9) / 1e3;
  result.server_cpu_ns = server_cpu_ns / messages;
  result.server_busy = server_cpu_ns / elapsed_ns;
  if (is_pinned) result.disturbed = static_cast<double>(LongestWait(before, after).count()) / elapsed_ns;
  result.load_busy = static_cast<double>(load.cpu.count()) / elapsed_ns;
  if (after.syscalls) {
    result.syscalls_per_message = static_cast<double>(*after.syscalls - *before.syscalls) / messages;
  }
  return result;
}

}  // namespace

absl::Status RaiseDescriptorLimit(int connections_max) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return absl::ErrnoToStatus(errno, "getrlimit(RLIMIT_NOFILE)");
  const rlim_t needed = 2 * static_cast<rlim_t>(connections_max) + 640;  // the rest for the loops
  if (limit.rlim_cur >= needed) return absl::OkStatus();
  if (limit.rlim_max < needed) {
    return absl::ResourceExhaustedError(absl::StrCat(connections_max, " connections need ", needed,
                                                     " descriptors, and the hard limit is ", limit.rlim_max,
                                                     ": raise it (ulimit -Hn) or choose a smaller --cell"));
  }
  limit.rlim_cur = needed;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return absl::ErrnoToStatus(errno, "setrlimit(RLIMIT_NOFILE)");
  return absl::OkStatus();
}

double MedianOf(const std::vector<Measurement>& all, double Measurement::*column) {
  std::vector<double> samples;
  for (const Measurement& one : all) samples.push_back(one.*column);
  return QuartilesOf(samples).median;
}

std::optional<double> MedianOf(const std::vector<Measurement>& all, std::optional<double> Measurement::*column) {
  std::vector<double> samples;
  for (const Measurement& one : all) {
    if (one.*column) samples.push_back(*(one.*column));
  }
  return samples.empty() ? std::nullopt : std::optional(QuartilesOf(samples).median);
}

absl::StatusOr<Measurement> Measure(const EchoServer& server, const Cell& cell, const MeasureOptions& options) {
  LoadOptions load;
  load.connections = cell.connections;
  load.message_bytes = cell.message_bytes;
  load.depth = cell.depth;
  load.warmup = options.warmup;
  load.window = options.window;
  load.verify_contents = options.verify_contents;
  load.io = options.load_io;

  const Placement placement = PlaceFor(cell.loops);
  RunningServer running(server, cell.loops);
  RunOnlyOn(placement.load);
  const absl::Cleanup run_anywhere = [] { RunOnlyOn({}); };
  std::optional<Use> before;
  std::optional<Use> after;
  const WindowHooks hooks{[&] { before.emplace(running); }, [&] { after.emplace(running); }};
  absl::StatusOr<LoadResult> result = GenerateLoad(running.port(), load, hooks);
  if (!result.ok()) return result.status();
  return Summarize(*result, *before, *after, placement.is_pinned());
}

}  // namespace gyre::bench
