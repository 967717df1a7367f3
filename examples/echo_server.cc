// A TCP echo server: sends back what it receives. Each loop has a listener, and keeps the connections that it accepted.
//
//   echo_server --port 7777 --loops 2
//
// SIGTERM or SIGINT: it stops accepting, lets connections finish within the grace time, says who was late, and exits.

#include <atomic>
#include <csignal>
#include <cstdio>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gyre/examples/server_flags.h"
#include "gyre/gyre.h"

namespace {

gyre::Task<absl::Status> Echo(gyre::TcpStream peer) {
  for (;;) {
    gyre::Buffer chunk = co_await gyre::Try(co_await peer.Receive());  // leased: an idle connection holds no buffer
    if (chunk.empty()) co_return absl::OkStatus();                     // the peer hung up
    co_await gyre::Try(co_await peer.Send(chunk));
  }
}

// With one loop, main would be little more than this coroutine in a gyre::Run.
class EchoServer {
 public:
  // `signals`: one watcher for each loop, so that each hears of the end.
  EchoServer(examples::ServerFlags flags, std::vector<gyre::SignalWatcher> signals)
      : flags_(std::move(flags)), signals_(std::move(signals)), reports_(signals_.size(), gyre::ServeReport()) {}

  // The first loop runs here; it starts the others when it knows the port.
  absl::StatusOr<gyre::ServeReport> Run() {
    RunLoop(0, flags_.where);
    for (std::thread& thread : threads_) thread.join();
    gyre::ServeReport total;
    for (const absl::StatusOr<gyre::ServeReport>& report : reports_) {
      if (!report.ok()) return report.status();
      total += *report;
    }
    return total;
  }

 private:
  void RunLoop(size_t index, gyre::Endpoint where) {
    reports_[index] = gyre::Run(flags_.run_options, Serve(index, where));
    if (!reports_[index].ok()) std::raise(SIGTERM);  // a loop that can't serve ends the others, as an operator would
  }

  gyre::Task<absl::StatusOr<gyre::ServeReport>> Serve(size_t index, gyre::Endpoint where) {
    gyre::ListenOptions options;
    options.set_reuse_port(signals_.size() > 1);
    gyre::TcpListener listener = co_await gyre::Try(gyre::TcpListener::Bind(where, options));
    where = co_await gyre::Try(listener.local_endpoint());
    if (index == 0) StartOtherLoops(where);
    if (++listening_ == signals_.size()) Announce(where);
    co_return co_await gyre::Serve(std::move(listener), Echo, flags_.grace, signals_[index].Next());
  }

  void StartOtherLoops(gyre::Endpoint where) {
    for (size_t index = 1; index < signals_.size(); ++index) {
      threads_.emplace_back([this, index, where] { RunLoop(index, where); });
    }
  }

  static void Announce(gyre::Endpoint where) {
    std::printf("listening on %s\n", where.ToString().c_str());
    std::fflush(stdout);
  }

  const examples::ServerFlags flags_;
  std::vector<gyre::SignalWatcher> signals_;
  std::vector<absl::StatusOr<gyre::ServeReport>> reports_;  // each written by its loop's thread
  std::vector<std::thread> threads_;                        // the first loop's thread only
  std::atomic<size_t> listening_{0};                        // counts; the default order is more than it needs
};

// Signals are blocked meanwhile, so that one finds all the watchers or none: a loop that missed it would never end.
absl::StatusOr<std::vector<gyre::SignalWatcher>> WatchForEach(int loops) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  const absl::Cleanup unblock = [&] { pthread_sigmask(SIG_SETMASK, &before, nullptr); };
  std::vector<gyre::SignalWatcher> watchers;
  for (int i = 0; i < loops; ++i) {
    absl::StatusOr<gyre::SignalWatcher> watcher = gyre::SignalWatcher::Watch(SIGTERM, SIGINT);
    if (!watcher.ok()) return watcher.status();
    watchers.push_back(*std::move(watcher));
  }
  return watchers;
}

absl::StatusOr<gyre::ServeReport> Serve(const examples::ServerFlags& flags) {
  absl::StatusOr<std::vector<gyre::SignalWatcher>> signals = WatchForEach(flags.loops);
  if (!signals.ok()) return signals.status();
  return EchoServer(flags, *std::move(signals)).Run();
}

void PrintError(const absl::Status& status) {
  std::fprintf(stderr, "echo_server: %s\n", std::string(status.message()).c_str());
}

}  // namespace

int main(int argc, char** argv) {
  const absl::StatusOr<examples::ServerFlags> flags = examples::ParseServerFlags(argc, argv);
  if (!flags.ok()) {
    PrintError(flags.status());
    return 2;
  }
  if (flags->help) {
    std::printf("A TCP echo server. Flags (defaults):\n%s", std::string(examples::kServerFlagsHelp).c_str());
    return 0;
  }
  const absl::StatusOr<gyre::ServeReport> report = Serve(*flags);
  if (!report.ok()) {
    PrintError(report.status());
    return 1;
  }
  std::printf("stopped: %s\n", report->ToString().c_str());
  return 0;
}
