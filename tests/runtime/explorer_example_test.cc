#include <string>

#include "gtest/gtest.h"
#include "gyre/gyre.h"
#include "gyre/runtime/sim/explorer.h"

using namespace std::chrono_literals;

// The code under test: at most so many visits at once, each with a connection of its own.
struct Visitor {
  int free_visits = 2;

  gyre::Task<absl::Status> Greet(gyre::Endpoint server) {
    struct Visit {
      explicit Visit(int& free) : free(--free) {}
      ~Visit() { ++free; }  // also when a stop unwinds: "++free_visits" behind the last co_await would not be reached
      int& free;
    } visit(free_visits);
    gyre::TcpStream stream = co_await gyre::Try(co_await gyre::TcpStream::Connect(server));
    co_return co_await stream.Send("hello\n");
  }
};

TEST(Visitor, LeavesNothingBehindWhereverItIsStopped) {
  Visitor visitor;
  std::string heard;
  gyre::testing::ExplorerOptions options;
  options.Track("free visits", [&] { return visitor.free_visits; });
  options.AddInvariant("who ends well was heard", [&](const gyre::testing::ExploredRun& run) {
    return !run.outcome.ok() || !run.was_disturbed || run.pass == gyre::testing::ExplorerPass::kUnstarted ||
           heard == "hello\n";
  });
  const gyre::testing::ExplorerReport report =
      gyre::testing::StopAtEveryAwait(options.set_seeds(5), [&]() -> gyre::Task<absl::Status> {
        heard.clear();
        gyre::TcpListener listener = co_await gyre::Try(gyre::TcpListener::Bind(gyre::Endpoint::Loopback(0)));
        const gyre::Endpoint server = co_await gyre::Try(listener.local_endpoint());
        auto hear = [&]() -> gyre::Task<absl::Status> {
          gyre::TcpStream peer = co_await gyre::Try(co_await listener.Accept());
          for (;;) {
            const gyre::Buffer chunk = co_await gyre::Try(co_await peer.Receive());
            if (chunk.empty()) co_return absl::OkStatus();
            heard += chunk.string_view();
          }
        };
        auto [greeted, listened] = co_await gyre::WhenAll(visitor.Greet(server), hear());
        co_return greeted.ok() ? listened : greeted;
      });
  EXPECT_TRUE(report.ok()) << report;
}
