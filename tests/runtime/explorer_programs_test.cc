// Whole programs with sockets, stopped and failed at every await: nothing leaks, nothing hangs, their own claims hold.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/io/buffer.h"
#include "gyre/io/endpoint.h"
#include "gyre/io/serve.h"
#include "gyre/io/tcp_listener.h"
#include "gyre/io/tcp_stream.h"
#include "gyre/runtime/deadline.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/shutdown.h"
#include "gyre/runtime/sim/explorer.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/try.h"
#include "gyre/runtime/when_all.h"
#include "gyre/runtime/when_any.h"
#include "gyre/runtime/with_cleanup.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/permits.h"

namespace gyre::testing {
namespace {

using namespace std::chrono_literals;

constexpr uint64_t kSeeds = 2;

template <class Body>
void ExpectNothingFound(size_t points_min, Body body, ExplorerOptions options = ExplorerOptions()) {
  options.set_seeds(kSeeds).AddPass(ExplorerPass::kStopTaskDuring).AddPass(ExplorerPass::kStopTaskAfter);
  const ExplorerReport report = StopAtEveryAwait(options, body);
  EXPECT_TRUE(report.ok()) << report;
  EXPECT_GE(report.points().size(), points_min);
  EXPECT_GT(report.disturbed(), 2 * points_min);
}

Task<absl::Status> Echo(TcpStream peer) {
  for (;;) {
    Buffer chunk = co_await Try(co_await peer.Receive());
    if (chunk.empty()) co_return absl::OkStatus();
    co_await Try(co_await peer.Send(chunk));
  }
}

// Says `text` and reads it back into memory of its own.
Task<absl::Status> Say(TcpStream& stream, std::string_view text) {
  co_await Try(co_await stream.Send(text));
  std::string echoed(text.size(), '\0');
  for (size_t have = 0; have < echoed.size();) {
    const std::span<char> rest = std::span(echoed).subspan(have);
    const size_t count = co_await Try(co_await stream.Receive(std::as_writable_bytes(rest)));
    if (count == 0) co_return absl::UnavailableError("the server hung up");
    have += count;
  }
  EXPECT_EQ(echoed, text);
  co_return absl::OkStatus();
}

Task<absl::Status> Visit(Endpoint server, std::string text) {
  TcpStream stream = co_await Try(co_await TcpStream::Connect(server));
  co_return co_await Say(stream, text);
}

// Serves with `handler` for as long as `clients` take.
Task<absl::Status> ServeBeside(ConnectionHandler handler, std::function<Task<absl::Status>(Endpoint)> clients) {
  TcpListener listener = co_await Try(TcpListener::Bind(Endpoint::Loopback(0)));
  const Endpoint server = co_await Try(listener.local_endpoint());
  auto race = co_await WhenAny(clients(server), Serve(std::move(listener), handler, 1s, SleepFor(kForever)));
  if (race.index == 0) co_return std::get<0>(race.outcomes).status();
  co_return std::get<1>(race.outcomes).status();
}

TEST(ExplorePrograms, AnEchoServerAndItsClients) {
  ExpectNothingFound(12, []() -> Task<absl::Status> {
    co_return co_await ServeBeside(Echo, [](Endpoint server) -> Task<absl::Status> {
      auto body = [&](Scope& scope) -> Task<absl::Status> {
        scope.Spawn(Visit, server, "one");
        scope.Spawn(Visit, server, std::string(100'000, 'x'));
        co_return absl::OkStatus();
      };
      co_return co_await WithScope(body);
    });
  });
}

// Says `text`, and stays until the server hangs up.
Task<absl::Status> Stay(Endpoint server, std::string text) {
  TcpStream stream = co_await Try(co_await TcpStream::Connect(server));
  co_await Try(co_await Say(stream, text));
  const absl::StatusOr<Buffer> end = co_await stream.Receive();
  co_return end.status();
}

TEST(ExplorePrograms, TwoServersThatAreShutDownWhileTheyServe) {
  ExpectNothingFound(12, [](Scope& scope) -> Task<absl::Status> {
    const Shutdown shutdown(5ms);
    for (int i = 0; i < 2; ++i) {
      TcpListener listener = co_await Try(TcpListener::Bind(Endpoint::Loopback(0)));
      const Endpoint server = co_await Try(listener.local_endpoint());
      scope.Spawn(Serve(std::move(listener), Echo, shutdown));
      scope.Spawn(Visit, server, "one");
      scope.Spawn(Stay, server, "two");
    }
    co_await SleepFor(50ms);
    shutdown.Request();
    co_await shutdown.GraceOver();
    co_return absl::OkStatus();
  });
}

Task<absl::Status> Pump(TcpStream& from, TcpStream& to) {
  for (;;) {
    Buffer chunk = co_await Try(co_await from.Receive());
    if (chunk.empty()) co_return to.ShutdownSend();
    co_await Try(co_await to.Send(chunk));
  }
}

Task<absl::Status> Proxy(TcpStream client, Endpoint upstream) {
  TcpStream server = co_await Try(co_await TcpStream::Connect(upstream));
  auto [up, down] = co_await WhenAll(Pump(client, server), Pump(server, client));
  co_return up.ok() ? down : up;
}

TEST(ExplorePrograms, AProxyBetweenAClientAndAServer) {
  ExpectNothingFound(16, []() -> Task<absl::Status> {
    co_return co_await ServeBeside(Echo, [](Endpoint upstream) -> Task<absl::Status> {
      auto proxy = [upstream](TcpStream client) { return Proxy(std::move(client), upstream); };
      auto clients = [](Endpoint server) { return Visit(server, "through the proxy"); };
      co_return co_await ServeBeside(proxy, clients);
    });
  });
}

// At most `size` connections to a server; one that fails or is stopped in use is thrown away.
class Pool {
 public:
  Pool(Endpoint server, size_t size) : server_(server), permits_(size) {}

  Task<absl::Status> Ask(std::string_view text) {
    const Permits::Permit permit = co_await permits_.Acquire();
    TcpStream stream = co_await Try(co_await Take());
    co_await Try(co_await Say(stream, text));
    idle_.push_back(std::move(stream));
    co_return absl::OkStatus();
  }
  size_t free_permits() const { return permits_.free(); }

 private:
  Task<absl::StatusOr<TcpStream>> Take() {
    if (idle_.empty()) co_return co_await TcpStream::Connect(server_);
    TcpStream stream = std::move(idle_.back());
    idle_.pop_back();
    co_return stream;
  }

  const Endpoint server_;
  Permits permits_;
  std::vector<TcpStream> idle_;
};

TEST(ExplorePrograms, APoolOfConnections) {
  ExpectNothingFound(20, []() -> Task<absl::Status> {
    co_return co_await ServeBeside(Echo, [](Endpoint server) -> Task<absl::Status> {
      Pool pool(server, 2);
      auto body = [&](Scope& scope) -> Task<absl::Status> {
        for (int i = 0; i < 4; ++i) scope.Spawn([&pool] { return pool.Ask("hello"); });
        co_return absl::OkStatus();
      };
      const absl::Status status = co_await WithScope(body);
      EXPECT_EQ(pool.free_permits(), 2u);
      co_return status;
    });
  });
}

TEST(ExplorePrograms, AGoodbyeWithADeadline) {
  int open = 0;
  ExplorerOptions options;
  options.AddInvariant("every session is closed", [&open](const ExploredRun&) { return std::exchange(open, 0) == 0; });
  ExpectNothingFound(
      8,
      [&open]() -> Task<absl::Status> {
        co_return co_await ServeBeside(Echo, [&open](Endpoint server) -> Task<absl::Status> {
          TcpStream stream = co_await Try(co_await TcpStream::Connect(server));
          auto talk = [&]() -> Task<absl::Status> {
            ++open;
            co_return co_await Say(stream, "work");
          };
          auto goodbye = [&]() -> Task<absl::Status> {
            --open;
            co_return co_await Timeout(10ms, stream.Send("bye"));
          };
          co_return co_await WithCleanup(talk, goodbye, 100ms);
        });
      },
      options);
}

}  // namespace
}  // namespace gyre::testing
