// gyre, written as a user would: the handler and the loops are examples/echo_server.cc's.
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gyre/bench/peers/peers.h"
#include "gyre/io/tcp_listener.h"
#include "gyre/io/tcp_stream.h"
#include "gyre/runtime/run_on.h"
#include "gyre/runtime/runtime.h"
#include "gyre/runtime/try.h"
#include "gyre/runtime/with_scope.h"

namespace gyre::bench {
namespace {

constexpr std::string_view kName = "gyre";

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

class GyreEcho {
 public:
  explicit GyreEcho(const ServeRequest& request)
      : request_(request), runtime_(RuntimeOptions().set_loops(request.loops).set_pin_loops(!request.cpus.empty())) {}
  GyreEcho(const GyreEcho&) = delete;
  GyreEcho& operator=(const GyreEcho&) = delete;
  ~GyreEcho() {
    if (stopper_.joinable()) stopper_.join();
  }

  absl::Status Run() {
    return runtime_.Run([this]() -> Task<absl::Status> {
      auto serve_all = [this](Scope& scope) { return ServeAll(scope); };
      co_return co_await Supervise(&OnlyClosed, serve_all);
    });
  }

 private:
  // A connection that breaks.
  static void OnlyClosed(const TaskInfo&, const Outcome<>&) {}

  // The first loop's listener chooses the port for all.
  Task<absl::Status> ServeAll(Scope& scope) {
    TcpListener listener = co_await Try(Bind(Endpoint::Loopback(0)));
    const Endpoint where = co_await Try(listener.local_endpoint());
    CountSyscalls();
    StopWhenTold(scope);
    for (std::size_t loop = 1; loop < runtime_.loops(); ++loop) {
      SpawnOn(scope, runtime_.loop(loop), &GyreEcho::BindAndServe, this, where);
    }
    ReportListening(where);
    co_return co_await AcceptAll(listener, scope);
  }

  // On another loop, until it is stopped.
  Task<> BindAndServe(Endpoint where) {
    auto serve = [&](Scope& scope) -> Task<absl::Status> {
      TcpListener listener = co_await Try(Bind(where));
      ReportListening(where);
      co_return co_await AcceptAll(listener, scope);
    };
    const absl::Status status = co_await Supervise(&OnlyClosed, serve);
    ServerFailed(kName, "serve", std::string_view(status.ToString()));
  }

  absl::StatusOr<TcpListener> Bind(Endpoint where) const {
    return TcpListener::Bind(where, ListenOptions().set_reuse_port(runtime_.loops() > 1));
  }

  void ReportListening(Endpoint where) {
    if (++listening_ == runtime_.loops()) request_.on_listening(where.port());
  }

  void CountSyscalls() {
    std::vector<Loop*> loops;
    for (std::size_t loop = 0; loop < runtime_.loops(); ++loop) loops.push_back(&runtime_.loop(loop));
    request_.counters->syscalls = [loops] {
      std::uint64_t sum = 0;
      for (Loop* loop : loops) sum += loop->backend().counters().syscalls.value();
      return sum;
    };
  }

  void StopWhenTold(Scope& scope) {
    stopper_ = std::thread([&loop = Loop::Current(), &scope, stop_fd = request_.stop_fd] {
      pollfd watched{stop_fd, POLLIN, 0};
      while (poll(&watched, 1, /*timeout=*/-1) < 0) {
      }
      // Taking the signal, not just hearing of it, orders this after all that its sender has done with the counters.
      std::uint64_t signal = 0;
      if (read(stop_fd, &signal, sizeof(signal)) != sizeof(signal)) ServerFailed(kName, "read(stop_fd)", errno);
      loop.Post([&scope] { scope.RequestStop(); });
    });
  }

  const ServeRequest& request_;
  Runtime runtime_;
  std::atomic<std::size_t> listening_{0};  // counts; the default order is more than it needs
  std::thread stopper_;                    // asleep until the end
};

}  // namespace

void RunGyreEcho(const ServeRequest& request) {
  const absl::Status status = GyreEcho(request).Run();
  if (!absl::IsCancelled(status)) ServerFailed(kName, "serve", std::string_view(status.ToString()));
}

}  // namespace gyre::bench
