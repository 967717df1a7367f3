// A shutdown is requested and cut short from several threads, at moments that only chance decides, while its loops begin,
// wait, serve and end: each wait ends once, each connection is counted once, and nothing stays open.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "gyre/io/buffer.h"
#include "gyre/io/listener_group.h"
#include "gyre/io/serve.h"
#include "gyre/runtime/runtime.h"
#include "gyre/runtime/shutdown.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/try.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/contract_backends.h"

namespace gyre {
namespace {

// --- those who wait

class Waiters {
 public:
  explicit Waiters(size_t loops) : runtime_(RuntimeOptions().set_loops(loops)) {}

  // Gives how many of the waits have ended.
  int Run() {
    std::array<std::thread, 2> threads = {std::thread([this] { Request(); }), std::thread([this] { CutShort(); })};
    EXPECT_EQ(runtime_.RunOnEveryLoop([this] { return Wait(); }), absl::OkStatus());
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(first_ones_, 1);
    return ends_;
  }

 private:
  void Request() {
    for (int i = 0; i < 2; ++i) first_ones_ += shutdown_.Request() ? 1 : 0;
  }
  void CutShort() {
    const bool has_begun = shutdown_.requested();
    const bool was_first = shutdown_.CutShort("chance") && shutdown_.reason().message() == "chance";
    EXPECT_FALSE(has_begun && was_first);
    first_ones_ += was_first ? 1 : 0;
  }

  // Four waits, two of which are stopped while they may be about to end.
  Task<> Wait() {
    auto body = [this](Scope& scope) -> Task<> {
      Shutdown::Intake intake(shutdown_);
      std::vector<TaskHandle<>> waits;
      for (int i = 0; i < 2; ++i) {
        waits.push_back(scope.Spawn(shutdown_.Requested()));
        waits.push_back(scope.Spawn(shutdown_.GraceOver()));
      }
      co_await Yield();
      waits[0].RequestStop();
      waits[1].RequestStop();
      co_await waits[2].Join();
      intake.Close();
      for (TaskHandle<>& wait : waits) {
        const Outcome<>& outcome = co_await wait.Join();
        EXPECT_FALSE(outcome.has_exception());
        ++ends_;
      }
    };
    co_await WithScope(body);
  }

  Shutdown shutdown_{kForever};
  Runtime runtime_;
  std::atomic<int> first_ones_{0};
  std::atomic<int> ends_{0};
};

TEST(ShutdownStress, EachWaitEndsOnceHoweverRequestsStopsAndEndsMeet) {
  constexpr size_t kLoops = 3;
  for (int round = 0; round < 300; ++round) EXPECT_EQ(Waiters(kLoops).Run(), 4 * static_cast<int>(kLoops));
}

// --- those who serve

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

// Clients on two threads; one requests the shutdown after `visits`, and cuts it short ten visits later.
uint64_t Flood(Endpoint server, const Shutdown& shutdown, int visits) {
  std::array<std::thread, 2> threads;
  std::atomic<uint64_t> served{0};
  std::atomic<int> made{0};
  for (std::thread& thread : threads) {
    thread = std::thread([&] {
      for (int i = 0; i < 100; ++i) {
        if (Visit(server)) ++served;
        const int count = ++made;
        if (count == visits) shutdown.Request();
        if (count == visits + 10) shutdown.CutShort();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return served;
}

void RunServer(AcceptBalance balance, int visits) {
  const size_t fds = testing::CountOpenFds();
  const Shutdown shutdown(kForever);
  Runtime runtime(RuntimeOptions().set_loops(kLoops));
  ListenerGroup group(Endpoint::Loopback(0), kLoops, ListenOptions().set_balance(balance));
  std::vector<ServeReport> reports(kLoops);
  std::atomic<size_t> listening{0};
  uint64_t served = 0;
  std::thread thread;
  auto serve = [&](size_t loop) -> Task<absl::Status> {
    TcpListener listener = co_await Try(group.Listen(loop));
    const Endpoint server = *listener.local_endpoint();
    if (++listening == kLoops) {
      thread = std::thread([&, server] { served = Flood(server, shutdown, visits); });
    }
    reports[loop] = co_await Try(co_await Serve(std::move(listener), Echo, shutdown));
    co_return absl::OkStatus();
  };
  const absl::Status status = runtime.RunOnEveryLoop(serve);
  EXPECT_TRUE(status.ok()) << status;
  thread.join();
  ServeReport total;
  for (const ServeReport& report : reports) total += report;
  EXPECT_GE(total.served + total.failed + total.cut_off, served) << total.ToString();
  EXPECT_LE(total.served + total.failed + total.cut_off, 200u) << total.ToString();
  EXPECT_LE(total.late.size(), total.cut_off);
  for (size_t i = 0; i < kLoops; ++i) EXPECT_EQ(group.connections(i), 0);
  EXPECT_EQ(testing::CountOpenFds(), fds);
}

TEST(ShutdownStress, UnderLoadEachConnectionIsCountedOnceAndNothingStaysOpen) {
  for (int round = 0; round < 30; ++round) {
    RunServer(round % 2 == 0 ? AcceptBalance::kExact : AcceptBalance::kCorrected, 1 + round * 6);
  }
}

}  // namespace
}  // namespace gyre
