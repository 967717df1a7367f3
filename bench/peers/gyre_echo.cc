// gyre, written as a user would: the handler is examples/echo_server.cc's.
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "gyre/bench/peers/peers.h"
#include "gyre/io/tcp_listener.h"
#include "gyre/io/tcp_stream.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/try.h"
#include "gyre/runtime/with_scope.h"

namespace gyre::bench {
namespace {

Task<absl::Status> Echo(TcpStream peer) {
  for (;;) {
    Buffer chunk = co_await Try(co_await peer.Receive());
    if (chunk.empty()) co_return absl::OkStatus();
    co_await Try(co_await peer.Send(chunk));
  }
}

Task<absl::Status> AcceptAll(TcpListener& listener, Scope& scope) {
  for (;;) {
    TcpStream peer = co_await Try(co_await listener.Accept());
    scope.Spawn(Echo, std::move(peer));
  }
}

}  // namespace

void RunGyreEcho(int stop_fd, std::function<void(std::uint16_t)> on_listening, ServerCounters* counters) {
  std::thread stopper;  // asleep until the end
  auto serve = [&](Scope& scope) -> Task<absl::Status> {
    TcpListener listener = co_await Try(TcpListener::Bind(Endpoint::Loopback(0)));
    const Endpoint where = co_await Try(listener.local_endpoint());
    Loop& loop = Loop::Current();
    stopper = std::thread([&loop, &scope, stop_fd] {
      pollfd watched{stop_fd, POLLIN, 0};
      while (poll(&watched, 1, /*timeout=*/-1) < 0) {
      }
      // Taking the signal, not just hearing of it, orders this after all that its sender has done with the loop's counters.
      std::uint64_t signal = 0;
      if (read(stop_fd, &signal, sizeof(signal)) != sizeof(signal)) ServerFailed("gyre", "read(stop_fd)", errno);
      loop.Post([&scope] { scope.RequestStop(); });
    });
    counters->syscalls = [&loop] { return loop.backend().counters().syscalls.value(); };
    on_listening(where.port());
    co_return co_await AcceptAll(listener, scope);
  };
  auto run = [&]() -> Task<absl::Status> {
    // A connection that breaks is only closed.
    co_return co_await Supervise([](const TaskInfo&, const Outcome<>&) {}, serve);
  };
  const absl::Status status = Run(run);
  if (stopper.joinable()) stopper.join();
  if (!absl::IsCancelled(status)) ServerFailed("gyre", "serve", std::string_view(status.ToString()));
}

}  // namespace gyre::bench
