// A TCP echo server: sends back what it receives. Each loop has a listener, and hands connections to other loops only
// while it has far more than they.
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
      : flags_(flags),
        signals_(std::move(signals)),
        runtime_(Options(flags)),
        group_(flags.where, runtime_.loops()),
        reports_(runtime_.loops()) {}

  // A loop that can't serve ends the others.
  absl::StatusOr<gyre::ServeReport> Run() {
    const absl::Status status = runtime_.RunOnEveryLoop([this](size_t loop) { return Serve(loop); });
    if (!status.ok()) return status;
    gyre::ServeReport total;
    for (const gyre::ServeReport& report : reports_) total += report;
    return total;
  }

 private:
  static gyre::RuntimeOptions Options(const examples::ServerFlags& flags) {
    return gyre::RuntimeOptions()
        .set_loops(static_cast<size_t>(flags.loops))
        .set_backend(flags.run_options.backend())
        .set_allow_environment(flags.run_options.allow_environment());
  }

  gyre::Task<absl::Status> Serve(size_t loop) {
    gyre::TcpListener listener = co_await gyre::Try(group_.Listen(loop));
    const gyre::Endpoint where = co_await gyre::Try(listener.local_endpoint());
    if (++listening_ == runtime_.loops()) Announce(where);
    auto serving = gyre::Serve(std::move(listener), Echo, flags_.grace, signals_[loop].Next());
    reports_[loop] = co_await gyre::Try(co_await std::move(serving));
    co_return absl::OkStatus();
  }

  static void Announce(gyre::Endpoint where) {
    std::printf("listening on %s\n", where.ToString().c_str());
    std::fflush(stdout);
  }

  const examples::ServerFlags& flags_;
  std::vector<gyre::SignalWatcher> signals_;
  gyre::Runtime runtime_;
  gyre::ListenerGroup group_;
  std::vector<gyre::ServeReport> reports_;
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
