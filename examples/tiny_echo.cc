#include "gyre/gyre.h"

gyre::Task<absl::Status> Echo(gyre::TcpStream peer) {
  for (;;) {
    gyre::Buffer chunk = co_await gyre::Try(co_await peer.Receive());  // leased: an idle connection holds no buffer
    if (chunk.empty()) co_return absl::OkStatus();                     // the peer hung up
    co_await gyre::Try(co_await peer.Send(chunk));
  }
}

gyre::Task<absl::Status> Serve() {
  gyre::TcpListener listener = co_await gyre::Try(gyre::TcpListener::Bind(gyre::Endpoint::Loopback(7777)));
  auto accept_all = [&](gyre::Scope& scope) -> gyre::Task<absl::Status> {
    for (;;) scope.Spawn(Echo, co_await gyre::Try(co_await listener.Accept()));
  };
  auto ignore = [](const gyre::TaskInfo&, const gyre::Outcome<>&) {};  // a broken connection does not end the server
  co_return co_await gyre::Supervise(ignore, accept_all);
}

int main() { return gyre::Run(Serve()).ok() ? 0 : 1; }
