// gyre inside an Asio io_context: an echo server, on the thread that runs the context.
//
//   embed_asio 7777
//
// Asio watches for SIGTERM and SIGINT, and asks its guest to stop.
#include <asio.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "gyre/gyre.h"

using namespace std::chrono_literals;

namespace {

gyre::Task<absl::Status> Echo(gyre::TcpStream peer) {
  for (;;) {
    gyre::Buffer chunk = co_await gyre::Try(co_await peer.Receive());
    if (chunk.empty()) co_return absl::OkStatus();
    co_await gyre::Try(co_await peer.Send(chunk));
  }
}

// For ever, or until it is stopped.
gyre::Task<absl::Status> Serve(uint16_t port) {
  gyre::TcpListener listener = co_await gyre::Try(gyre::TcpListener::Bind(gyre::Endpoint::Loopback(port)));
  const gyre::Endpoint where = co_await gyre::Try(listener.local_endpoint());
  std::printf("listening on %s\n", where.ToString().c_str());
  std::fflush(stdout);
  auto never = gyre::SleepUntil(gyre::kNever);
  co_await gyre::Try(co_await gyre::Serve(std::move(listener), Echo, 0s, std::move(never)));
  co_return absl::OkStatus();
}

// Runs the guest whenever it has something to do, and the rest of the context in between.
class Embedding {
 public:
  Embedding(asio::io_context& host, gyre::EmbeddedLoop<absl::Status>& guest)
      : guest_(guest), readable_(host, guest.fd()), signals_(host, SIGTERM, SIGINT) {
    signals_.async_wait([this](std::error_code error, int) {
      if (!error) guest_.RequestStop("a signal");
    });
    PollWhenReadable();
  }
  ~Embedding() { readable_.release(); }  // the descriptor is gyre's

 private:
  void PollWhenReadable() {
    readable_.async_wait(asio::posix::stream_descriptor::wait_read, [this](std::error_code error) {
      if (error) return;
      guest_.PollOnce();  // gyre's tasks run in here, and nowhere else
      if (!guest_.IsDone()) return PollWhenReadable();
      signals_.cancel();  // or the context would wait for one
    });
  }

  gyre::EmbeddedLoop<absl::Status>& guest_;
  asio::posix::stream_descriptor readable_;
  asio::signal_set signals_;
};

}  // namespace

int main(int argc, char** argv) {
  const auto port = static_cast<uint16_t>(argc > 1 ? std::atoi(argv[1]) : 7777);
  absl::StatusOr<gyre::EmbeddedLoop<absl::Status>> guest = gyre::StartEmbedded(Serve(port));
  if (!guest.ok()) return 1;
  asio::io_context host;
  Embedding embedding(host, *guest);
  host.run();
  const absl::Status status = guest->Result();
  std::printf("%s\n", absl::IsCancelled(status) ? "stopped" : status.ToString().c_str());
  return absl::IsCancelled(status) ? 0 : 1;
}
