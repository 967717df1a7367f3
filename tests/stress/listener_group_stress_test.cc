// Connections are handed from loop to loop while one of the loops is stopped, at a moment that only chance decides:
// each is served or closed, none is lost, and no descriptor stays open.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "gyre/io/buffer.h"
#include "gyre/io/listener_group.h"
#include "gyre/io/serve.h"
#include "gyre/runtime/runtime.h"
#include "gyre/runtime/try.h"
#include "gyre/tests/support/closing.h"
#include "gyre/tests/support/contract_backends.h"

namespace gyre {
namespace {

constexpr size_t kLoops = 4;

Task<absl::Status> Echo(TcpStream peer) {
  for (;;) {
    Buffer chunk = co_await Try(co_await peer.Receive());
    if (chunk.empty()) co_return absl::OkStatus();
    co_await Try(co_await peer.Send(chunk));
  }
}

// True if it was served.
bool Visit(Endpoint server) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  char byte = 'x';
  const bool is_served = connect(fd, server.address(), server.length()) == 0 && send(fd, &byte, 1, MSG_NOSIGNAL) == 1 &&
                         recv(fd, &byte, 1, 0) == 1;
  const linger reset = {.l_onoff = 1, .l_linger = 0};  // no TIME_WAIT for each of thousands
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
  close(fd);
  return is_served;
}

// `end`: called on a thread when `visits` have been made.
template <class End>
void Flood(Endpoint server, int visits, std::atomic<int>& served, const End& end) {
  std::array<std::thread, 2> threads;
  std::atomic<int> made{0};
  for (std::thread& thread : threads) {
    thread = std::thread([&] {
      for (int i = 0; i < 100; ++i) {
        if (Visit(server)) ++served;
        if (++made == visits) end();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// One round: `stops_all` ends it with an error on a loop, which stops the others at once; else loop 1 drains first.
void RunRound(AcceptBalance balance, int visits, bool stops_all) {
  const size_t fds = testing::CountOpenFds();
  Runtime runtime(RuntimeOptions().set_loops(kLoops));
  ListenerGroup group(Endpoint::Loopback(0), kLoops, ListenOptions().set_balance(balance));
  std::vector<testing::Closing> closing(kLoops);
  std::vector<ServeReport> reports(kLoops);
  std::atomic<size_t> listening{0};
  std::atomic<int> served{0};
  std::thread thread;
  auto serve = [&](size_t loop) -> Task<absl::Status> {
    TcpListener listener = co_await Try(group.Listen(loop));
    const Endpoint server = *listener.local_endpoint();
    if (++listening == kLoops) {
      thread = std::thread([&, server] {
        Flood(server, visits, served, [&] { closing[1].Close(); });
        for (size_t i = 0; i < kLoops; ++i) {
          if (i != 1) closing[i].Close();
        }
      });
    }
    reports[loop] = co_await Try(co_await Serve(std::move(listener), Echo, kForever, closing[loop].Wait()));
    if (stops_all && loop == 1) co_return absl::AbortedError("stops the others");
    co_return absl::OkStatus();
  };
  const absl::Status status = runtime.RunOnEveryLoop(serve);
  thread.join();
  EXPECT_EQ(status.ok(), !stops_all) << status;
  ServeReport total;
  for (const ServeReport& report : reports) total += report;
  if (!stops_all) {
    EXPECT_GE(total.served + total.failed, static_cast<uint64_t>(served.load()));
  }
  for (size_t i = 0; i < kLoops; ++i) EXPECT_EQ(group.connections(i), 0);
  EXPECT_EQ(testing::CountOpenFds(), fds);
}

TEST(ListenerGroupStress, OneLoopLeavesWhileOthersHandConnectionsToIt) {
  for (int round = 0; round < 30; ++round) {
    RunRound(round % 2 == 0 ? AcceptBalance::kExact : AcceptBalance::kCorrected, 1 + round * 5, /*stops_all=*/false);
  }
}

TEST(ListenerGroupStress, AllLoopsAreStoppedWhileConnectionsAreUnderWay) {
  for (int round = 0; round < 30; ++round) {
    RunRound(AcceptBalance::kExact, 1 + round * 5, /*stops_all=*/true);
  }
}

}  // namespace
}  // namespace gyre
