// EchoServer: one way to write a TCP echo server, as bench/throughput runs it beside the others.
//
// Every server here listens on a port of its own on 127.0.0.1, sends back whatever each connection sends, sets
// TCP_NODELAY on what it accepts, listens with kListenBacklog, reads at most kReadBytes at a time, and has as many
// loops as it is asked for, each on a thread: the caller's, and others of its own.
//
// Thread-safety: `run` is called on a fresh thread, which becomes the first loop's. Several may run at once.
// Lifetime:      `run` returns soon after the request's `stop_fd` (an eventfd that the caller owns) becomes readable,
//                with every descriptor it opened closed and every thread it started ended. A server must not close
//                `stop_fd`.
// Errors:        what the world does to a server (out of descriptors, no port) ends the process through ServerFailed,
//                so that a benchmark never shows a row that was not measured. A connection that breaks is only closed.
#ifndef GYRE_BENCH_PEERS_ECHO_SERVER_H_
#define GYRE_BENCH_PEERS_ECHO_SERVER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

namespace gyre::bench {

inline constexpr int kListenBacklog = 4096;
inline constexpr std::size_t kReadBytes = 64 * 1024;

// What a server counts while it runs. Set before `on_listening` is called, or never: then it is shown as unknown.
struct ServerCounters {
  // System calls made so far, as a statistic. Called on the load generator's thread, while connections are being served.
  std::function<std::uint64_t()> syscalls;
};

// What a server is asked to do. Outlives the call.
struct ServeRequest {
  int stop_fd = -1;
  int loops = 1;
  // Loop i's thread runs on cpus[i] alone; the calling thread may use them all. Empty: nothing is pinned.
  std::span<const int> cpus;
  // Called once, by one of the server's threads, as soon as each loop would accept a connection to `port`.
  std::function<void(std::uint16_t port)> on_listening;
  ServerCounters* counters = nullptr;
};

struct EchoServer {
  // As tables and --servers=... show it. Names that begin with "gyre" are compared with each of the others.
  std::string_view name;

  // Serves on the calling thread, and on more for further loops, until `stop_fd` is readable.
  void (*run)(const ServeRequest& request);

  // Fewer loops make no sense for it.
  int loops_min = 1;
};

// The yardstick that all ratios refer to; AllEchoServers() always has it.
inline constexpr std::string_view kYardstick = "raw_epoll";

// Every server that was built in, in the order in which tables show them.
std::span<const EchoServer> AllEchoServers();

// Says which server failed at what, and ends the process with status 1. Any thread may call it.
[[noreturn]] void ServerFailed(std::string_view server, std::string_view what, std::string_view why);

// The same, with the text that belongs to an errno value.
[[noreturn]] void ServerFailed(std::string_view server, std::string_view what, int error_number);

}  // namespace gyre::bench

#endif  // GYRE_BENCH_PEERS_ECHO_SERVER_H_
