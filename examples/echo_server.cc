// A TCP echo server: sends back what it receives. Each loop has a listener, and keeps the connections that it accepted.
//
//   echo_server --port 7777 --loops 2
//
// SIGTERM or SIGINT: it stops accepting, lets connections finish within the grace time, says who was late, and exits.

#include <atomic>
#include <csignal>
#include <cstdio>
#include <string>
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

// With one loop, main would be little more than Serve in a gyre::Run.
class EchoServer {
 public:
  // `signals`: one watcher for each loop, so that each hears of the end.
  EchoServer(const examples::ServerFlags& flags, std::vector<gyre::SignalWatcher> signals)
      : flags_(flags), signals_(std::move(signals)), runtime_(Options(flags)) {}

  absl::StatusOr<gyre::ServeReport> Run() {
    auto serve_all = [this](gyre::Scope& scope) { return ServeAll(scope); };
    return runtime_.Run(serve_all);
  }

 private:
  using Report = absl::StatusOr<gyre::ServeReport>;

  static gyre::RuntimeOptions Options(const examples::ServerFlags& flags) {
    return gyre::RuntimeOptions()
        .set_loops(static_cast<size_t>(flags.loops))
        .set_backend(flags.run_options.backend())
        .set_allow_environment(flags.run_options.allow_environment());
  }

  // The first loop's listener chooses the port for all. A loop that can't serve ends the others.
  gyre::Task<Report> ServeAll(gyre::Scope& scope) {
    gyre::TcpListener listener = co_await gyre::Try(Bind(flags_.where));
    const gyre::Endpoint where = co_await gyre::Try(listener.local_endpoint());
    std::vector<gyre::TaskHandle<Report>> others;
    for (size_t loop = 1; loop < runtime_.loops(); ++loop) {
      others.push_back(gyre::SpawnOn(scope, runtime_.loop(loop), &EchoServer::BindAndServe, this, loop, where));
    }
    gyre::ServeReport total = co_await gyre::Try(co_await Serve(0, std::move(listener), where));
    for (const gyre::TaskHandle<Report>& other : others) {
      const gyre::Outcome<Report>& outcome = co_await other.Join();
      total += co_await gyre::Try(outcome.value());
    }
    co_return total;
  }

  gyre::Task<Report> BindAndServe(size_t loop, gyre::Endpoint where) {
    gyre::TcpListener listener = co_await gyre::Try(Bind(where));
    co_return co_await Serve(loop, std::move(listener), where);
  }

  absl::StatusOr<gyre::TcpListener> Bind(gyre::Endpoint where) const {
    return gyre::TcpListener::Bind(where, gyre::ListenOptions().set_reuse_port(runtime_.loops() > 1));
  }

  gyre::Task<Report> Serve(size_t loop, gyre::TcpListener listener, gyre::Endpoint where) {
    if (++listening_ == runtime_.loops()) Announce(where);
    co_return co_await gyre::Serve(std::move(listener), Echo, flags_.grace, signals_[loop].Next());
  }

  static void Announce(gyre::Endpoint where) {
    std::printf("listening on %s\n", where.ToString().c_str());
    std::fflush(stdout);
  }

  const examples::ServerFlags& flags_;
  std::vector<gyre::SignalWatcher> signals_;
  gyre::Runtime runtime_;
  std::atomic<size_t> listening_{0};  // counts; the default order is more than it needs
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
