// Serves that share a Shutdown: in simulation, two on one loop; and on the loops of a Runtime.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/io/buffer.h"
#include "gyre/io/listener_group.h"
#include "gyre/io/serve.h"
#include "gyre/runtime/errors.h"
#include "gyre/runtime/log.h"
#include "gyre/runtime/runtime.h"
#include "gyre/runtime/shutdown.h"
#include "gyre/runtime/sim/sim_world.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/try.h"
#include "gyre/runtime/with_cleanup.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/contract_backends.h"

namespace gyre {
namespace {

using namespace std::chrono_literals;
using testing::SimOptions;
using testing::SimWorld;

constexpr Duration kGrace = 10s;
// What a message needs, at most, in the simulated network.
constexpr Duration kSoon = 50ms;

Task<absl::Status> Echo(TcpStream peer) {
  for (;;) {
    Buffer chunk = co_await Try(co_await peer.Receive());
    if (chunk.empty()) co_return absl::OkStatus();
    co_await Try(co_await peer.Send(chunk));
  }
}

// When it ends, it goes on for two seconds, whatever it is told.
Task<absl::Status> EchoAndCleanUp(TcpStream peer) {
  auto echo = [&]() -> Task<absl::Status> { co_return co_await Echo(std::move(peer)); };
  auto clean_up = []() -> Task<absl::Status> {
    co_await SleepFor(2s);
    co_return absl::OkStatus();
  };
  co_return co_await WithCleanup(echo, clean_up, /*grace=*/kForever);
}

Task<absl::Status> Talk(TcpStream& stream) {
  co_await Try(co_await stream.Send("x"));
  co_return (co_await stream.Receive()).status();
}

// Connects and is served.
Task<TcpStream> Guest(Endpoint server) {
  TcpStream stream = *co_await TcpStream::Connect(server);
  const absl::Status status = co_await Talk(stream);
  EXPECT_TRUE(status.ok()) << status;
  co_return stream;
}

// Until the server hangs up.
Task<TimePoint> EndOf(TcpStream& stream) {
  const absl::StatusOr<Buffer> end = co_await stream.Receive();
  EXPECT_TRUE(!end.ok() || end->empty());
  co_return Loop::Current().ReadClock();
}

bool IsNear(TimePoint time, TimePoint expected) { return time >= expected && time < expected + kSoon; }

// The end of a Serve, as a value: a bad status would stop the scope that it is spawned into.
class Ended {
 public:
  explicit Ended(absl::StatusOr<ServeReport> report) : report(std::move(report)) {}
  absl::StatusOr<ServeReport> report;
};

Task<Ended> ServeToItsEnd(TcpListener listener, ConnectionHandler handler, Shutdown shutdown) {
  absl::StatusOr<ServeReport> report = co_await Serve(std::move(listener), std::move(handler), std::move(shutdown));
  co_return Ended(std::move(report));
}

// One Serve on this loop.
class OneServer {
 public:
  OneServer(Scope& scope, const Shutdown& shutdown, ConnectionHandler handler = Echo) {
    TcpListener listener = *TcpListener::Bind(Endpoint::Loopback(0));
    where = *listener.local_endpoint();
    serving = scope.Spawn(ServeToItsEnd(std::move(listener), std::move(handler), shutdown));
  }

  Task<ServeReport> Report() {
    const Outcome<Ended>& outcome = co_await serving.Join();
    co_return *outcome.value().report;
  }

  Endpoint where;
  TaskHandle<Ended> serving;
};

class ServeShutdownTest : public ::testing::TestWithParam<uint64_t> {
 protected:
  template <class Body>
  void InWorld(Body body, const SimOptions& options = SimOptions()) {
    SimWorld world(GetParam(), options);
    auto root = [&body](Scope& scope) -> Task<absl::Status> {
      co_await body(scope);
      co_return absl::OkStatus();
    };
    const absl::Status status = world.Run(root);
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(world.open_descriptors(), 0u);
  }
};

INSTANTIATE_TEST_SUITE_P(Seeds, ServeShutdownTest, ::testing::Range<uint64_t>(1, 9));

TEST_P(ServeShutdownTest, OneRequestEndsAllAndTheirReportsAddUp) {
  InWorld([](Scope& scope) -> Task<> {
    const Shutdown shutdown(kGrace);
    OneServer first(scope, shutdown);
    OneServer second(scope, shutdown);
    for (int i = 0; i < 3; ++i) (co_await Guest(first.where)).Close();
    TcpStream stays = co_await Guest(second.where);
    co_await SleepFor(1s);
    shutdown.Request();
    ServeReport total = co_await first.Report();
    EXPECT_LT(Loop::Current().ReadClock(), shutdown.deadline()) << "it had nobody to wait for";
    total += co_await second.Report();
    EXPECT_TRUE(IsNear(Loop::Current().ReadClock(), shutdown.deadline()));
    EXPECT_EQ(total.ToString(), "3 served, 1 cut off");
  });
}

TEST_P(ServeShutdownTest, AllAreCutOffAtOneDeadlineAlsoThoseThatBeganLate) {
  InWorld([](Scope& scope) -> Task<> {
    const Shutdown shutdown(kGrace);
    OneServer first(scope, shutdown);
    TcpStream early = co_await Guest(first.where);
    shutdown.Request();
    co_await SleepFor(4s);
    TcpListener listener = *TcpListener::Bind(Endpoint::Loopback(0));
    auto guest = scope.Spawn(Guest(*listener.local_endpoint()));
    co_await SleepFor(1s);  // it waits to be accepted
    auto second = scope.Spawn(Serve(std::move(listener), Echo, shutdown));
    const Outcome<TcpStream>& late = co_await guest.Join();
    EXPECT_TRUE(late.has_value()) << "served";
    const TimePoint end = co_await EndOf(early);
    EXPECT_TRUE(IsNear(end, shutdown.deadline()));
    const Outcome<absl::StatusOr<ServeReport>>& report = co_await second.Join();
    EXPECT_TRUE(IsNear(Loop::Current().ReadClock(), shutdown.deadline()));
    EXPECT_EQ(report.value()->ToString(), "0 served, 1 cut off");
  });
}

TEST_P(ServeShutdownTest, NobodyIsCutOffBeforeAllHaveClosedTheirListeners) {
  InWorld([](Scope& scope) -> Task<> {
    const Shutdown shutdown(Duration::zero());
    Shutdown::Intake other(shutdown);  // that of a third, which takes its time
    OneServer first(scope, shutdown);
    OneServer second(scope, shutdown);
    TcpStream guest = co_await Guest(first.where);
    shutdown.Request();
    co_await SleepFor(500ms);
    const absl::StatusOr<TcpStream> refused = co_await TcpStream::Connect(second.where);
    EXPECT_EQ(ErrnoOf(refused.status()), ECONNREFUSED) << refused.status();
    const absl::Status served = co_await Talk(guest);
    EXPECT_TRUE(served.ok()) << served;
    other.Close();
    const TimePoint closed = Loop::Current().ReadClock();
    const TimePoint end = co_await EndOf(guest);
    EXPECT_TRUE(IsNear(end, closed));
  });
}

TEST_P(ServeShutdownTest, CutShortEndsTheGraceTimeOfAll) {
  InWorld([](Scope& scope) -> Task<> {
    const Shutdown shutdown(kForever);
    OneServer first(scope, shutdown);
    OneServer second(scope, shutdown);
    TcpStream one = co_await Guest(first.where);
    TcpStream other = co_await Guest(second.where);
    shutdown.Request();
    co_await SleepFor(std::chrono::hours(1));
    const absl::Status served = co_await Talk(other);
    EXPECT_TRUE(served.ok()) << served;
    shutdown.CutShort();
    ServeReport total = co_await first.Report();
    total += co_await second.Report();
    EXPECT_EQ(total.ToString(), "0 served, 2 cut off");
  });
}

TEST_P(ServeShutdownTest, TheLateAreNamed) {
  InWorld([](Scope& scope) -> Task<> {
    const Shutdown shutdown(kGrace);
    OneServer server(scope, shutdown);
    std::vector<TcpStream> guests;
    std::vector<std::string> expected;
    for (int i = 0; i < 3; ++i) {
      guests.push_back(co_await Guest(server.where));
      expected.push_back(guests.back().local_endpoint()->ToString() + " on loop 0");
    }
    guests.front().Close();
    expected.erase(expected.begin());
    shutdown.Request();
    const ServeReport report = co_await server.Report();
    std::vector<std::string> late;
    for (const LateConnection& connection : report.late) late.push_back(connection.ToString());
    std::sort(late.begin(), late.end());
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(late, expected);
    EXPECT_EQ(report.lingering, 0u);
  });
}

TEST_P(ServeShutdownTest, OfManyThatAreLateSixteenAreNamedAndAllAreCounted) {
  InWorld([](Scope& scope) -> Task<> {
    const Shutdown shutdown(Duration::zero());
    OneServer first(scope, shutdown);
    OneServer second(scope, shutdown);
    std::vector<TcpStream> guests;
    for (size_t i = 0; i < ServeReport::kLateMax + 4; ++i) guests.push_back(co_await Guest(first.where));
    for (int i = 0; i < 4; ++i) guests.push_back(co_await Guest(second.where));
    shutdown.Request();
    ServeReport total = co_await second.Report();
    EXPECT_EQ(total.late.size(), 4u);
    total += co_await first.Report();
    EXPECT_EQ(total.cut_off, ServeReport::kLateMax + 8);
    EXPECT_EQ(total.late.size(), ServeReport::kLateMax);
  });
}

// Their tasks have not begun when the grace time ends.
TEST_P(ServeShutdownTest, ThoseThatAreAcceptedAtTheEndAreNamedToo) {
  InWorld([](Scope&) -> Task<> {
    const Shutdown shutdown(Duration::zero());
    TcpListener listener = *TcpListener::Bind(Endpoint::Loopback(0));
    std::vector<TcpStream> guests;
    for (int i = 0; i < 5; ++i) guests.push_back(*co_await TcpStream::Connect(*listener.local_endpoint()));
    co_await SleepFor(1s);
    shutdown.CutShort();
    const absl::StatusOr<ServeReport> report = co_await Serve(std::move(listener), Echo, shutdown);
    EXPECT_EQ(report->ToString(), "0 served, 5 cut off");
    EXPECT_EQ(report->late.size(), 5u);
    for (const LateConnection& late : report->late) EXPECT_NE(late.peer.port(), 0);
  });
}

std::vector<std::string>& LoggedLines() {
  static std::vector<std::string> lines;
  return lines;
}

TEST_P(ServeShutdownTest, ThoseThatDoNotEndASecondAfterTheirStopAreLoggedAndMarked) {
  LoggedLines().clear();
  const LogSink before = SetLogSink([](std::string_view line) { LoggedLines().emplace_back(line); });
  InWorld([](Scope& scope) -> Task<> {
    const Shutdown shutdown(kGrace);
    OneServer slow(scope, shutdown, EchoAndCleanUp);
    OneServer quick(scope, shutdown);
    TcpStream lingers = co_await Guest(slow.where);
    TcpStream ends = co_await Guest(quick.where);
    const std::string who = lingers.local_endpoint()->ToString();
    shutdown.Request();
    ServeReport total = co_await quick.Report();
    total += co_await slow.Report();
    EXPECT_TRUE(IsNear(Loop::Current().ReadClock(), shutdown.deadline() + 2s));
    EXPECT_EQ(total.cut_off, 2u);
    EXPECT_EQ(total.lingering, 1u);
    EXPECT_EQ(total.late.size(), 2u);
    EXPECT_EQ(total.late.at(1).ToString(), who + " on loop 0, still there 1 s after its stop");
    EXPECT_FALSE(total.late.at(0).is_lingering);
    EXPECT_EQ(LoggedLines().size(), 1u);
    EXPECT_NE(LoggedLines().at(0).find(who), std::string::npos) << LoggedLines().at(0);
  });
  SetLogSink(before);
}

TEST_P(ServeShutdownTest, OneThatFailsDelaysNobodyAndTheOthersGoOn) {
  // Whichever listener it hits.
  InWorld(
      [](Scope& scope) -> Task<> {
        const Shutdown shutdown(Duration::zero());
        OneServer first(scope, shutdown);
        OneServer second(scope, shutdown);
        co_await SleepFor(1s);
        EXPECT_NE(first.serving.Done(), second.serving.Done());
        OneServer& sound = first.serving.Done() ? second : first;
        OneServer& failed = first.serving.Done() ? first : second;
        const Outcome<Ended>& outcome = co_await failed.serving.Join();
        EXPECT_EQ(ErrnoOf(outcome.value().report.status()), EPROTO) << outcome.value().report.status();
        TcpStream guest = co_await Guest(sound.where);
        shutdown.Request();
        const TimePoint request = Loop::Current().ReadClock();
        const ServeReport report = co_await sound.Report();
        EXPECT_EQ(report.ToString(), "0 served, 1 cut off");
        EXPECT_TRUE(IsNear(Loop::Current().ReadClock(), request));
      },
      SimOptions().Fail(Opcode::kAccept, 1, EPROTO));
}

TEST_P(ServeShutdownTest, ARequestMayComeWhileOneThatHasFailedWaitsForItsConnections) {
  InWorld(
      [](Scope& scope) -> Task<> {
        const Shutdown shutdown(kGrace);
        OneServer server(scope, shutdown, EchoAndCleanUp);
        TcpStream guest = *co_await TcpStream::Connect(server.where);
        co_await SleepFor(1s);
        EXPECT_FALSE(server.serving.Done()) << "its connection cleans up";
        shutdown.Request();
        const Outcome<Ended>& outcome = co_await server.serving.Join();
        EXPECT_EQ(ErrnoOf(outcome.value().report.status()), EPROTO) << outcome.value().report.status();
      },
      SimOptions().Fail(Opcode::kAccept, 2, EPROTO));
}

TEST_P(ServeShutdownTest, OneThatIsStoppedDelaysNobody) {
  InWorld([](Scope& scope) -> Task<> {
    const Shutdown shutdown(Duration::zero());
    OneServer first(scope, shutdown);
    OneServer second(scope, shutdown);
    co_await SleepFor(1s);
    first.serving.RequestStop();
    co_await first.serving.Join();
    EXPECT_FALSE(shutdown.requested());
    shutdown.Request();
    const TimePoint request = Loop::Current().ReadClock();
    co_await second.serving.Join();
    EXPECT_TRUE(IsNear(Loop::Current().ReadClock(), request));
  });
}

// --- the loops of a Runtime; clients on threads of their own

constexpr size_t kLoops = 4;

// A blocking client; -1 if it is not served.
int ConnectAndTalk(Endpoint server) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  char byte = 'x';
  if (connect(fd, server.address(), server.length()) == 0 && send(fd, &byte, 1, MSG_NOSIGNAL) == 1 &&
      recv(fd, &byte, 1, 0) == 1) {
    return fd;
  }
  close(fd);
  return -1;
}

TEST(ServeShutdownOnFourLoops, WhenTheFirstIsCutOffNewClientsAreRefusedByAll) {
  constexpr int kClients = 40;
  const size_t fds = testing::CountOpenFds();
  const Shutdown shutdown(Duration::zero());
  Runtime runtime(RuntimeOptions().set_loops(kLoops));
  ListenerGroup group(Endpoint::Loopback(0), kLoops, ListenOptions().set_balance(AcceptBalance::kExact));
  std::array<ServeReport, kLoops> reports;
  std::atomic<size_t> listening{0};
  std::atomic<int> let_in{0};
  std::vector<int> clients;
  std::thread thread;
  auto serve = [&](size_t loop) -> Task<absl::Status> {
    TcpListener listener = co_await Try(group.Listen(loop));
    const Endpoint server = *listener.local_endpoint();
    // Cut off, it looks whether somebody lets it in.
    auto echo = [&let_in, server](TcpStream peer) -> Task<absl::Status> {
      const absl::Cleanup look = [&let_in, server] {
        const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(fd, server.address(), server.length()) == 0 || errno != ECONNREFUSED) ++let_in;
        close(fd);
      };
      co_return co_await Echo(std::move(peer));
    };
    if (++listening == kLoops) {
      thread = std::thread([&, server] {
        for (int i = 0; i < kClients; ++i) clients.push_back(ConnectAndTalk(server));
        shutdown.Request();
      });
    }
    reports[loop] = co_await Try(co_await Serve(std::move(listener), echo, shutdown));
    co_return absl::OkStatus();
  };
  const absl::Status status = runtime.RunOnEveryLoop(serve);
  EXPECT_TRUE(status.ok()) << status;
  thread.join();
  for (const int fd : clients) close(fd);
  EXPECT_EQ(let_in, 0);
  ServeReport total;
  for (size_t loop = 0; loop < kLoops; ++loop) {
    for (const LateConnection& late : reports[loop].late) EXPECT_EQ(late.loop, loop);
    total += reports[loop];
  }
  EXPECT_EQ(total.ToString(), "0 served, 40 cut off");
  EXPECT_EQ(total.late.size(), ServeReport::kLateMax);
  EXPECT_EQ(testing::CountOpenFds(), fds);
}

}  // namespace
}  // namespace gyre
