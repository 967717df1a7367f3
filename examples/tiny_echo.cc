#include <cstdio>

#include "gyre/gyre.h"

using namespace std::chrono_literals;

gyre::Task<absl::Status> Echo(gyre::TcpStream peer) {
  for (;;) {
    gyre::Buffer chunk = co_await gyre::Try(co_await peer.Receive());  // leased: an idle connection holds no buffer
    if (chunk.empty()) co_return absl::OkStatus();                     // the peer hung up
    co_await gyre::Try(co_await peer.Send(chunk));
  }
}

gyre::Task<absl::Status> Serve() {
  gyre::TcpListener listener = co_await gyre::Try(gyre::TcpListener::Bind(gyre::Endpoint::Loopback(7777)));
  co_await gyre::Try(co_await gyre::ServeUntilSignal(std::move(listener), Echo, 10s));  // SIGTERM: drain, then stop
  co_return absl::OkStatus();
}

int main() {
  const absl::Status status = gyre::Run(Serve());
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
