#include "gyre/bench/throughput_measure.h"

#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <future>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gyre/runtime/check.h"

namespace gyre::bench {
namespace {

// The CPU that servers run on; set by PrepareMachine, -1 where nothing is pinned.
int server_cpu = -1;

void PinTo(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  // A CPU taken offline since we looked: the figures then say so themselves.
  pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

// How long a thread of this process has waited, ready to run, for its CPU; zero where the kernel does not say.
Duration WaitedForCpu(pid_t thread) {
  std::ifstream file(absl::StrCat("/proc/self/task/", thread, "/schedstat"));
  std::int64_t ran_ns = 0;
  std::int64_t waited_ns = 0;
  file >> ran_ns >> waited_ns;
  return std::chrono::nanoseconds(waited_ns);
}

// A server on a pinned thread of its own, from construction to destruction.
class RunningServer {
 public:
  explicit RunningServer(const EchoServer& server) : server_(server) {
    GYRE_CHECK(stop_fd_ >= 0, "an eventfd can be had: raise the limit on descriptors");
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
  pid_t thread_id() const { return thread_id_; }

  std::optional<std::uint64_t> Syscalls() const {
    return counters_.syscalls ? std::optional(counters_.syscalls()) : std::nullopt;
  }

  Duration Cpu() {
    clockid_t clock{};
    timespec used{};
    const bool is_known =
        pthread_getcpuclockid(thread_.native_handle(), &clock) == 0 && clock_gettime(clock, &used) == 0;
    if (!is_known) ServerFailed(server_.name, "its thread", "ended while it was measured");
    return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
  }

 private:
  void Serve() {
    if (server_cpu >= 0) PinTo(server_cpu);
    thread_id_ = gettid();  // published by the promise
    bool is_listening = false;
    const auto on_listening = [&](std::uint16_t port) {
      is_listening = true;
      listening_.set_value(port);
    };
    server_.run(stop_fd_, on_listening, &counters_);
    if (!is_listening) ServerFailed(server_.name, "start", "returned without listening");
  }

  const EchoServer server_;
  const int stop_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  ServerCounters counters_;  // published by the promise
  std::promise<std::uint16_t> listening_;
  pid_t thread_id_ = 0;
  std::thread thread_;
  std::uint16_t port_ = 0;
};

// What a server has used so far, and what others have taken from it and from the load generator (the calling thread).
struct Use {
  explicit Use(RunningServer& server)
      : cpu(server.Cpu()),
        server_waited(WaitedForCpu(server.thread_id())),
        load_waited(WaitedForCpu(gettid())),
        syscalls(server.Syscalls()) {}

  Duration cpu;
  Duration server_waited;
  Duration load_waited;
  std::optional<std::uint64_t> syscalls;
};

Measurement Summarize(const LoadResult& load, const Use& before, const Use& after) {
  const double messages = static_cast<double>(load.messages);
  const double elapsed_ns = static_cast<double>(load.elapsed.count());
  const double server_cpu_ns = static_cast<double>((after.cpu - before.cpu).count());
  Measurement result;
  result.messages = messages;
  result.seconds = elapsed_ns / 1e9;
  result.messages_per_s = messages / result.seconds;
  result.p50_us = load.latency.Percentile(50) / 1e3;
  result.p99_us = load.latency.Percentile(99) / 1e3;
  result.p999_us = load.latency.Percentile(99.9) / 1e3;
  result.server_cpu_ns = server_cpu_ns / messages;
  result.server_busy = server_cpu_ns / elapsed_ns;
  const Duration waited = std::max(after.server_waited - before.server_waited, after.load_waited - before.load_waited);
  result.disturbed = static_cast<double>(waited.count()) / elapsed_ns;
  result.load_busy = static_cast<double>(load.cpu.count()) / elapsed_ns;
  if (after.syscalls) {
    result.syscalls_per_message = static_cast<double>(*after.syscalls - *before.syscalls) / messages;
  }
  return result;
}

}  // namespace

std::string PrepareMachine() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  int load_cpu = -1;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE && load_cpu < 0; ++cpu) {
      if (CPU_ISSET(cpu, &allowed)) (server_cpu < 0 ? server_cpu : load_cpu) = cpu;
    }
  }
  if (load_cpu < 0) {
    server_cpu = -1;
    return "one CPU: nothing is pinned, and server and load generator share it";
  }
  PinTo(load_cpu);
  return absl::StrCat("server on CPU ", server_cpu, ", load generator on CPU ", load_cpu);
}

absl::Status RaiseDescriptorLimit(int connections_max) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return absl::ErrnoToStatus(errno, "getrlimit(RLIMIT_NOFILE)");
  const rlim_t needed = 2 * static_cast<rlim_t>(connections_max) + 64;
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

absl::StatusOr<Measurement> Measure(const EchoServer& server, const Cell& cell, const MeasureOptions& options) {
  LoadOptions load;
  load.connections = cell.connections;
  load.message_bytes = cell.message_bytes;
  load.depth = cell.depth;
  load.warmup = options.warmup;
  load.window = options.window;
  load.verify_contents = options.verify_contents;
  load.io = options.load_io;

  RunningServer running(server);
  std::optional<Use> before;
  std::optional<Use> after;
  const WindowHooks hooks{[&] { before.emplace(running); }, [&] { after.emplace(running); }};
  absl::StatusOr<LoadResult> result = GenerateLoad(running.port(), load, hooks);
  if (!result.ok()) return result.status();
  return Summarize(*result, *before, *after);
}

}  // namespace gyre::bench
