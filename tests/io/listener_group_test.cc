// ListenerGroup: several members on one loop, on every backend; and on the loops of a Runtime.
#include "gyre/io/listener_group.h"

#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "gyre/io/buffer.h"
#include "gyre/io/serve.h"
#include "gyre/runtime/backend/sys_table.h"
#include "gyre/runtime/errors.h"
#include "gyre/runtime/runtime.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/try.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/closing.h"
#include "gyre/tests/support/contract_backends.h"

namespace gyre {
namespace {

using namespace std::chrono_literals;
using testing::Closing;
using testing::ContractBackend;
using testing::ContractTest;
using testing::CountOpenFds;
using testing::Settle;

constexpr size_t kMembers = 4;

Task<absl::Status> Echo(TcpStream peer) {
  for (;;) {
    Buffer chunk = co_await Try(co_await peer.Receive());
    if (chunk.empty()) co_return absl::OkStatus();
    co_await Try(co_await peer.Send(chunk));
  }
}

// Where the group of `listener` is.
Endpoint Where(const TcpListener& listener) { return *listener.local_endpoint(); }

// Connects, and is served: its first byte came back.
Task<TcpStream> Guest(Endpoint server) {
  TcpStream stream = *co_await TcpStream::Connect(server);
  absl::Status sent = co_await stream.Send("x");
  EXPECT_TRUE(sent.ok()) << sent;
  absl::StatusOr<Buffer> echo = co_await stream.Receive();
  EXPECT_TRUE(echo.ok() && echo->size() == 1) << echo.status();
  co_return stream;
}

// Every connection goes to the listener that listened first, as an unlucky hash may have it.
int ListenAndTakeAll(int fd, int backlog) {
  const int result = internal::kRealSysTable.listen(fd, backlog);
  sock_filter first = BPF_STMT(BPF_RET | BPF_K, 0);
  const sock_fprog program = {.len = 1, .filter = &first};
  setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program));
  return result;
}

// What a corrected group allows its most loaded member: see ListenerGroup.
int64_t Bound(int64_t connections) { return 5 * connections / (4 * static_cast<int64_t>(kMembers)) + 8; }

// All members of a group, served on one loop.
class GroupOnOneLoop {
 public:
  GroupOnOneLoop(Scope& scope, AcceptBalance balance, size_t members = kMembers, Duration grace = kForever)
      : group(Endpoint::Loopback(0), members, ListenOptions().set_balance(balance)), closing_(members) {
    for (size_t i = 0; i < members; ++i) {
      TcpListener listener = *group.Listen(i);
      where = Where(listener);
      members_.push_back(scope.Spawn(Serve(std::move(listener), Echo, grace, closing_[i].Wait())));
    }
  }

  // Tells a member to close.
  void Close(size_t member) { closing_[member].Close(); }
  // Stops a member, and all that it serves.
  void Stop(size_t member) { members_[member].RequestStop(); }

  // Of all members, which have been closed.
  Task<ServeReport> Total() {
    ServeReport total;
    for (TaskHandle<absl::StatusOr<ServeReport>>& member : members_) {
      const Outcome<absl::StatusOr<ServeReport>>& outcome = co_await member.Join();
      if (outcome.has_value()) total += *outcome.value();
    }
    co_return total;
  }
  Task<ServeReport> CloseAll() {
    for (size_t i = 0; i < members_.size(); ++i) Close(i);
    co_return co_await Total();
  }

  std::vector<int64_t> Connections() const {
    std::vector<int64_t> connections;
    for (size_t i = 0; i < group.members(); ++i) connections.push_back(group.connections(i));
    return connections;
  }

  ListenerGroup group;
  Endpoint where;

 private:
  std::vector<Closing> closing_;
  std::vector<TaskHandle<absl::StatusOr<ServeReport>>> members_;
};

// No member waits for another.
class ListenerGroupTest : public ContractTest {
 protected:
  // On every backend, member 0 gets all.
  void SkewAccepts() {
    sim_options().first_listener_one_in = 1;
    sys_->listen = &ListenAndTakeAll;
  }

 private:
  internal::ScopedSysTable sys_;
};

INSTANTIATE_TEST_SUITE_P(Backends, ListenerGroupTest, testing::AllContractBackends(),
                         [](const auto& info) { return testing::NameOf(info.param); });

TEST_P(ListenerGroupTest, EveryConnectionIsServedOnceWhateverTheBalance) {
  for (const AcceptBalance balance :
       {AcceptBalance::kCorrected, AcceptBalance::kKernel, AcceptBalance::kCpu, AcceptBalance::kExact}) {
    RunOnLoop([balance](Scope& scope) -> Task<> {
      GroupOnOneLoop server(scope, balance);
      for (int i = 0; i < 30; ++i) (co_await Guest(server.where)).Close();
      const ServeReport report = co_await server.CloseAll();
      EXPECT_EQ(report.ToString(), "30 served, 0 cut off");
      EXPECT_EQ(server.Connections(), std::vector<int64_t>(kMembers, 0));
    });
  }
}

TEST_P(ListenerGroupTest, OneMemberIsServedWhateverTheBalance) {
  for (const AcceptBalance balance :
       {AcceptBalance::kCorrected, AcceptBalance::kKernel, AcceptBalance::kCpu, AcceptBalance::kExact}) {
    RunOnLoop([balance](Scope& scope) -> Task<> {
      GroupOnOneLoop server(scope, balance, 1);
      for (int i = 0; i < 3; ++i) (co_await Guest(server.where)).Close();
      const ServeReport report = co_await server.CloseAll();
      EXPECT_EQ(report.ToString(), "3 served, 0 cut off");
    });
  }
}

TEST_P(ListenerGroupTest, SteeringByCpuRefusesToShareItsPort) {
  RunOnLoop([](Scope&) -> Task<> {
    const ListenOptions options = ListenOptions().set_balance(AcceptBalance::kCpu).set_reuse_port(true);
    ListenerGroup group(Endpoint::Loopback(0), kMembers, options);
    EXPECT_TRUE(absl::IsInvalidArgument(group.Listen(0).status()));
    co_return;
  });
}

// Connects and stays; it may be refused or cut off at any time.
Task<> Visitor(Endpoint server) {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(server);
  if (!stream.ok()) co_return;
  const absl::Status sent = co_await stream->Send("x");
  if (!sent.ok()) co_return;
  while (true) {
    absl::StatusOr<Buffer> chunk = co_await stream->Receive();
    if (!chunk.ok() || chunk->empty()) co_return;
  }
}

TEST_P(ListenerGroupTest, WhatIsHandedOverWhileItsMemberIsCutOffIsReportedOnce) {
  for (int moment = 0; moment < 24; ++moment) {
    SCOPED_TRACE(moment);
    RunOnLoop([moment](Scope& scope) -> Task<> {
      constexpr uint64_t kVisitors = 8;
      GroupOnOneLoop server(scope, AcceptBalance::kExact, 2, /*grace=*/Duration::zero());
      for (uint64_t i = 0; i < kVisitors; ++i) scope.Spawn(Visitor, server.where);
      for (int i = 0; i < moment; ++i) co_await Yield();
      server.Close(1);
      for (int i = 0; i < moment % 3; ++i) co_await Yield();
      server.Close(0);
      const ServeReport report = co_await server.Total();
      EXPECT_LE(report.served + report.failed + report.cut_off, kVisitors) << report.ToString();
    });
  }
}

TEST_P(ListenerGroupTest, ExactGivesEachToTheMemberWithTheFewest) {
  RunOnLoop([](Scope& scope) -> Task<> {
    GroupOnOneLoop server(scope, AcceptBalance::kExact);
    std::vector<TcpStream> guests;
    for (size_t i = 0; i < 3 * kMembers; ++i) guests.push_back(co_await Guest(server.where));
    EXPECT_EQ(server.Connections(), std::vector<int64_t>(kMembers, 3));
    guests.clear();
    const ServeReport report = co_await server.CloseAll();
    EXPECT_EQ(report.handed_over, 3 * (kMembers - 1));
  });
}

TEST_P(ListenerGroupTest, WhatTheKernelDealsToOneMemberIsSpreadWithinTheBound) {
  SkewAccepts();
  RunOnLoop([](Scope& scope) -> Task<> {
    GroupOnOneLoop server(scope, AcceptBalance::kCorrected);
    std::vector<TcpStream> guests;
    for (int i = 0; i < 100; ++i) guests.push_back(co_await Guest(server.where));
    const std::vector<int64_t> connections = server.Connections();
    EXPECT_EQ(connections[0], Bound(100)) << "it keeps what it may";
    for (const int64_t count : connections) EXPECT_LE(count, Bound(100));
    guests.clear();
    const ServeReport report = co_await server.CloseAll();
    EXPECT_EQ(report.ToString(), "100 served, 0 cut off");
    EXPECT_EQ(report.handed_over, static_cast<uint64_t>(100 - Bound(100)));
  });
}

TEST_P(ListenerGroupTest, TheKernelsChoiceStandsIfThatIsWanted) {
  SkewAccepts();
  RunOnLoop([](Scope& scope) -> Task<> {
    GroupOnOneLoop server(scope, AcceptBalance::kKernel);
    std::vector<TcpStream> guests;
    for (int i = 0; i < 40; ++i) guests.push_back(co_await Guest(server.where));
    EXPECT_EQ(server.Connections(), (std::vector<int64_t>{40, 0, 0, 0}));
    guests.clear();
    const ServeReport report = co_await server.CloseAll();
    EXPECT_EQ(report.handed_over, 0u);
  });
}

TEST_P(ListenerGroupTest, AMemberThatIsClosingTakesNoMore) {
  RunOnLoop([](Scope& scope) -> Task<> {
    GroupOnOneLoop server(scope, AcceptBalance::kExact, 2);
    std::vector<TcpStream> guests;
    for (int i = 0; i < 4; ++i) guests.push_back(co_await Guest(server.where));
    server.Close(1);
    co_await Settle();
    for (int i = 0; i < 4; ++i) guests.push_back(co_await Guest(server.where));
    EXPECT_EQ(server.Connections(), (std::vector<int64_t>{6, 2}));
    guests.clear();
    server.Close(0);
    const ServeReport report = co_await server.Total();
    EXPECT_EQ(report.ToString(), "8 served, 0 cut off");
  });
}

// While its first is on its way to another member, the group is stopped, at each of the turns that this may take.
TEST_P(ListenerGroupTest, AConnectionThatIsUnderWayWhenItsReceiverIsStoppedIsClosed) {
  for (int turns = 0; turns < 8; ++turns) {
    RunOnLoop([turns](Scope& scope) -> Task<> {
      GroupOnOneLoop server(scope, AcceptBalance::kExact, 2);
      TcpStream first = co_await Guest(server.where);
      TcpStream second = *co_await TcpStream::Connect(server.where);
      for (int i = 0; i < turns; ++i) co_await Yield();
      server.Stop(1);
      co_await Settle();
      absl::Status sent = co_await second.Send("x");
      absl::StatusOr<Buffer> echo = co_await second.Receive();
      const bool is_served = echo.ok() && !echo->empty();
      EXPECT_EQ(server.Connections(), (std::vector<int64_t>{is_served ? 2 : 1, 0}));
      first.Close();
      second.Close();
      server.Close(0);
      const ServeReport report = co_await server.Total();
      EXPECT_EQ(report.served, is_served ? 2u : 1u);
    });
  }
}

TEST_P(ListenerGroupTest, StoppedAtAnyMomentNothingStaysOpen) {
  for (int turns = 0; turns < 20; ++turns) {
    RunOnLoop([turns](Scope&) -> Task<> {
      std::optional<GroupOnOneLoop> server;  // outlives the members
      auto body = [&server, turns](Scope& scope) -> Task<> {
        server.emplace(scope, AcceptBalance::kExact);
        auto visit = [](Endpoint where) -> Task<> {
          absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(where);
          if (stream.ok()) (co_await stream->Receive()).IgnoreError();
        };
        for (int i = 0; i < 10; ++i) scope.Spawn(visit, server->where);
        for (int i = 0; i < turns; ++i) co_await Yield();
        scope.RequestStop();
      };
      co_await WithScope(body);
      EXPECT_EQ(server->Connections(), std::vector<int64_t>(kMembers, 0));
    });
  }
}

TEST_P(ListenerGroupTest, AMemberWithoutASocketWaitsUntilItIsClosedOrStopped) {
  RunOnLoop([](Scope& scope) -> Task<> {
    ListenerGroup group(Endpoint::Loopback(0), 2, ListenOptions().set_balance(AcceptBalance::kExact));
    TcpListener first = *group.Listen(0);
    TcpListener second = *group.Listen(1);
    EXPECT_EQ(Where(second), Where(first));
    EXPECT_EQ(ErrnoOf(second.TryAccept().status()), EAGAIN);
    absl::Status ended;
    auto accept = [&]() -> Task<> { ended = (co_await second.Accept()).status(); };
    TaskHandle<> stopped = scope.Spawn(accept);
    co_await Yield();
    stopped.RequestStop();
    co_await stopped.Join();
    TaskHandle<> closed = scope.Spawn(accept);
    co_await Yield();
    second.Close();
    co_await closed.Join();
    EXPECT_TRUE(absl::IsFailedPrecondition(ended)) << ended;
    EXPECT_FALSE(second.is_open());
  });
}

TEST_P(ListenerGroupTest, AnAddressThatIsTakenIsEveryMembersError) {
  RunOnLoop([](Scope&) -> Task<> {
    TcpListener other = *TcpListener::Bind(Endpoint::Loopback(0));
    ListenerGroup group(Where(other), 2);
    for (size_t i = 0; i < 2; ++i) EXPECT_EQ(ErrnoOf(group.Listen(i).status()), EADDRINUSE);
    co_return;
  });
}

// The kernel would let it in: both are of one user, and share the port.
TEST_P(ListenerGroupTest, ASecondServerAtTheAddressIsNoticedUnlessItIsMeant) {
  RunOnLoop([](Scope&) -> Task<> {
    ListenerGroup first(Endpoint::Loopback(0), 2);
    TcpListener listener = *first.Listen(0);
    ListenerGroup second(Where(listener), 2);
    EXPECT_EQ(ErrnoOf(second.Listen(0).status()), EADDRINUSE);
    ListenerGroup meant(Where(listener), 2, ListenOptions().set_reuse_port(true));
    EXPECT_TRUE(meant.Listen(0).ok());
    co_return;
  });
}

TEST(ListenerGroupDeathTest, TakingAMemberTwice) {
  auto body = []() -> Task<> {
    ListenerGroup group(Endpoint::Loopback(0), 2);
    TcpListener listener = *group.Listen(0);
    static_cast<void>(group.Listen(0));
    co_return;
  };
  EXPECT_DEATH(gyre::Run(body), "called twice for one member");
}

// --- the loops of a Runtime, and clients on a thread of their own

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

// The clients' side of a test; it begins when all loops listen, and the server closes when it ends.
using Clients = std::function<void(Endpoint server, const ListenerGroup& group)>;

ServeReport ServeOnFourLoops(ListenOptions options, const Clients& clients) {
  const size_t fds = CountOpenFds();
  Runtime runtime(RuntimeOptions().set_loops(kMembers));
  ListenerGroup group(Endpoint::Loopback(0), kMembers, options);
  std::vector<Closing> closing(kMembers);
  std::vector<ServeReport> reports(kMembers);
  std::atomic<size_t> listening{0};
  std::thread thread;
  auto serve = [&](size_t loop) -> Task<absl::Status> {
    TcpListener listener = co_await Try(group.Listen(loop));
    const Endpoint server = Where(listener);
    if (++listening == kMembers) {
      thread = std::thread([&, server] {
        clients(server, group);
        for (Closing& member : closing) member.Close();
      });
    }
    reports[loop] = co_await Try(co_await Serve(std::move(listener), Echo, kForever, closing[loop].Wait()));
    co_return absl::OkStatus();
  };
  const absl::Status status = runtime.RunOnEveryLoop(serve);
  EXPECT_TRUE(status.ok()) << status;
  thread.join();
  ServeReport total;
  for (const ServeReport& report : reports) total += report;
  for (size_t i = 0; i < kMembers; ++i) EXPECT_EQ(group.connections(i), 0);
  EXPECT_EQ(CountOpenFds(), fds);
  return total;
}

TEST(ListenerGroupOnFourLoops, WhatTheKernelDealsToOneLoopIsSpreadWithinTheBound) {
  internal::ScopedSysTable sys;
  sys->listen = &ListenAndTakeAll;
  constexpr int kClients = 200;
  const ServeReport report = ServeOnFourLoops(ListenOptions(), [&](Endpoint server, const ListenerGroup& group) {
    std::vector<int> clients;
    for (int i = 0; i < kClients; ++i) clients.push_back(ConnectAndTalk(server));
    int64_t sum = 0;
    for (size_t i = 0; i < kMembers; ++i) {
      EXPECT_LE(group.connections(i), Bound(kClients));
      sum += group.connections(i);
    }
    EXPECT_EQ(sum, kClients);
    for (const int fd : clients) close(fd);
  });
  EXPECT_EQ(report.ToString(), "200 served, 0 cut off");
  EXPECT_EQ(report.handed_over, static_cast<uint64_t>(kClients - Bound(kClients)));
}

TEST(ListenerGroupOnFourLoops, ServesEachConnectionOnceWhateverTheBalance) {
  for (const AcceptBalance balance :
       {AcceptBalance::kCorrected, AcceptBalance::kKernel, AcceptBalance::kCpu, AcceptBalance::kExact}) {
    std::atomic<int> served{0};
    const ServeReport report =
        ServeOnFourLoops(ListenOptions().set_balance(balance), [&served](Endpoint server, const ListenerGroup&) {
          std::array<std::thread, 3> threads;
          for (std::thread& thread : threads) {
            thread = std::thread([&served, server] {
              for (int i = 0; i < 100; ++i) {
                const int fd = ConnectAndTalk(server);
                if (fd < 0) continue;
                ++served;
                close(fd);
              }
            });
          }
          for (std::thread& thread : threads) thread.join();
        });
    EXPECT_EQ(served, 300);
    EXPECT_EQ(report.ToString(), "300 served, 0 cut off");
  }
}

}  // namespace
}  // namespace gyre
