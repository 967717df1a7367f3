// A TCP echo server: sends back what it receives. Each loop has a listener, and hands connections to other loops only
// while it has far more than they.
//
//   echo_server --port 7777 --loops 2
//
// SIGTERM or SIGINT: all loops stop accepting, let connections finish within the grace time, say who was late, and end. A
// second one ends the grace time.

#include <atomic>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

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
  EchoServer(const examples::ServerFlags& flags, gyre::Shutdown shutdown)
      : shutdown_(std::move(shutdown)),
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
    reports_[loop] = co_await gyre::Try(co_await gyre::Serve(std::move(listener), Echo, shutdown_));
    co_return absl::OkStatus();
  }

  static void Announce(gyre::Endpoint where) {
    std::printf("listening on %s\n", where.ToString().c_str());
    std::fflush(stdout);
  }

  const gyre::Shutdown shutdown_;
  gyre::Runtime runtime_;
  gyre::ListenerGroup group_;
  std::vector<gyre::ServeReport> reports_;
  std::atomic<size_t> listening_{0};  // counts; the default order is more than it needs
};

absl::StatusOr<gyre::ServeReport> Serve(const examples::ServerFlags& flags) {
  const gyre::Shutdown shutdown(flags.grace);
  const absl::StatusOr<gyre::ShutdownOnSignal> signals = gyre::ShutdownOnSignal::Watch(shutdown);
  if (!signals.ok()) return signals.status();
  return EchoServer(flags, shutdown).Run();
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
  for (const gyre::LateConnection& late : report->late) std::fprintf(stderr, "late: %s\n", late.ToString().c_str());
  std::printf("stopped: %s\n", report->ToString().c_str());
  return 0;
}
