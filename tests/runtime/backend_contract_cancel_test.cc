// The Backend contract, on every backend: what a stop, a close and a hand-over do to operations that wait.
//
// How a stop meets a completion depends on where the loop is just then, so the races are run at several distances
// (turns of the loop between the two), and in simulation under many seeds too.
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "gyre/runtime/internal/rng.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"
#include "gyre/tests/support/contract_backends.h"
#include "gyre/tests/support/contract_ops.h"

namespace gyre::testing {
namespace {

class BackendCancelContract : public ContractTest {};
INSTANTIATE_TEST_SUITE_P(All, BackendCancelContract, AllContractBackends(),
                         [](const auto& info) { return NameOf(info.param); });

constexpr int kDistances = 8;

Task<> YieldTimes(int count) {
  for (int i = 0; i < count; ++i) co_await Yield();
}

Task<int> ReceiveOne(DescriptorHandle& from, std::string& into) {
  char byte = 0;
  const int result = co_await Receive(from, &byte, 1);
  if (result == 1) into += byte;
  co_return result;
}

Task<int> ReceiveBufferInto(DescriptorHandle& from, std::string& into) {
  ReceivedBuffer chunk = co_await ReceiveBuffer(from);
  into += chunk.text();
  co_return chunk.result;
}

Task<int> SendAll(DescriptorHandle& to, const std::string& bytes) {
  const int sent = co_await Send(to, bytes);
  co_return sent;
}

Task<int> AcceptOneAndClose(DescriptorHandle& listener) {
  AcceptResult accepted = co_await Accept(listener);
  co_return accepted.result;
}

Task<int> ConnectOnce(DescriptorHandle& client, sockaddr_in to) {
  const int result = co_await Connect(client, to);
  co_return result;
}

// --- receiving

TEST_P(BackendCancelContract, AStoppedReceiveTakesNothing) {
  RunOnLoop([](Scope& scope) -> Task<> {
    SocketPair pair = co_await MakePair();
    std::string heard;
    TaskHandle<int> reader = scope.Spawn(ReceiveOne, std::ref(pair.server), std::ref(heard));
    co_await Settle();
    reader.RequestStop();
    const Outcome<int>& outcome = co_await reader.Join();
    EXPECT_TRUE(outcome.stopped());
    co_await Send(pair.client, "x");
    const int next = co_await ReceiveOne(pair.server, heard);
    EXPECT_EQ(next, 1);
    EXPECT_EQ(heard, "x");
  });
}

TEST_P(BackendCancelContract, AStopThatMeetsArrivingBytesLosesNone) {
  RunOnLoop([](Scope& scope) -> Task<> {
    for (int distance = 0; distance < kDistances; ++distance) {
      SocketPair pair = co_await MakePair();
      std::string heard;
      TaskHandle<int> reader = scope.Spawn(ReceiveOne, std::ref(pair.server), std::ref(heard));
      if (distance % 2 == 0) co_await Settle();  // odd: the reader may not even wait yet
      co_await Send(pair.client, "x");
      co_await YieldTimes(distance);
      reader.RequestStop();
      const Outcome<int>& outcome = co_await reader.Join();
      EXPECT_EQ(outcome.stopped(), heard.empty());
      if (heard.empty()) co_await ReceiveOne(pair.server, heard);
      EXPECT_EQ(heard, "x");
    }
  });
}

TEST_P(BackendCancelContract, AStopThatMeetsABufferOfBytesLosesNone) {
  RunOnLoop([](Scope& scope) -> Task<> {
    for (int distance = 0; distance < kDistances; ++distance) {
      SocketPair pair = co_await MakePair();
      std::string heard;
      TaskHandle<int> reader = scope.Spawn(ReceiveBufferInto, std::ref(pair.server), std::ref(heard));
      if (distance % 2 == 0) co_await Settle();
      co_await Send(pair.client, "some bytes");
      pair.client.Close();
      co_await YieldTimes(distance);
      reader.RequestStop();
      co_await reader.Join();
      for (int result = 1; result > 0;) result = co_await ReceiveBufferInto(pair.server, heard);
      EXPECT_EQ(heard, "some bytes");
    }
  });
}

TEST_P(BackendCancelContract, AStopInALoopOfReadyReceivesLosesNothing) {
  RunOnLoop([](Scope& scope) -> Task<> {
    const std::string bytes = Pattern(1500);
    SocketPair pair = co_await MakePair();
    co_await Send(pair.client, bytes);
    pair.client.Close();
    co_await Settle();
    std::string heard;
    auto read_on = [&]() -> Task<> {
      for (int result = 1; result > 0;) result = co_await ReceiveOne(pair.server, heard);
    };
    for (int distance = 0; distance < kDistances; ++distance) {
      TaskHandle<> reader = scope.Spawn(read_on);
      co_await YieldTimes(distance);
      reader.RequestStop();
      co_await reader.Join();
    }
    co_await read_on();
    EXPECT_TRUE(heard == bytes) << heard.size();
  });
}

TEST_P(BackendCancelContract, InAStoppedScopeNothingIsTried) {
  RunOnLoop([](Scope& scope) -> Task<> {
    SocketPair pair = co_await MakePair();
    co_await Send(pair.client, "x");
    co_await Settle();
    std::string heard;
    TaskHandle<int> reader = scope.Spawn(ReceiveOne, std::ref(pair.server), std::ref(heard));
    reader.RequestStop();  // before it ran
    const Outcome<int>& outcome = co_await reader.Join();
    EXPECT_TRUE(outcome.stopped());
    const int next = co_await ReceiveOne(pair.server, heard);
    EXPECT_EQ(next, 1);
  });
}

TEST_P(BackendCancelContract, ALateCancelDoesNotHitTheNextReceive) {
  RunOnLoop([](Scope& scope) -> Task<> {
    SocketPair pair = co_await MakePair();
    for (int round = 0; round < 10; ++round) {
      std::string heard;
      TaskHandle<int> reader = scope.Spawn(ReceiveOne, std::ref(pair.server), std::ref(heard));
      if (round % 2 == 0) co_await Settle();
      co_await Send(pair.client, "x");
      reader.RequestStop();
      co_await reader.Join();
      if (heard.empty()) co_await ReceiveOne(pair.server, heard);
      TaskHandle<int> next = scope.Spawn(ReceiveOne, std::ref(pair.server), std::ref(heard));
      co_await Settle();
      EXPECT_FALSE(next.Done());
      next.RequestStop();
      co_await next.Join();
      EXPECT_EQ(heard, "x");
    }
  });
}

// --- accepting and connecting

TEST_P(BackendCancelContract, AStoppedAcceptLosesNoConnection) {
  RunOnLoop([](Scope& scope) -> Task<> {
    DescriptorHandle listener = OpenListener();
    TaskHandle<int> acceptor = scope.Spawn(AcceptOneAndClose, std::ref(listener));
    co_await Settle();
    acceptor.RequestStop();
    const Outcome<int>& outcome = co_await acceptor.Join();
    EXPECT_TRUE(outcome.stopped());
    DescriptorHandle client = co_await ConnectTo(LocalAddress(listener));
    AcceptResult accepted = co_await Accept(listener);
    EXPECT_EQ(accepted.result, 0);
    EXPECT_EQ(PeerPort(accepted.stream), ntohs(LocalAddress(client).sin_port));
  });
}

// Whether `client` was closed by the other side, as opposed to waiting in the backlog.
Task<bool> IsHungUp(DescriptorHandle& client) {
  std::string nothing;
  const int result = co_await ReceiveOne(client, nothing);
  co_return result == 0 || result == -ECONNRESET;
}

TEST_P(BackendCancelContract, AConnectionThatMeetsAStopIsEitherClosedOrStillToBeAccepted) {
  RunOnLoop([](Scope& scope) -> Task<> {
    for (int distance = 0; distance < kDistances; ++distance) {
      DescriptorHandle listener = OpenListener();
      TaskHandle<int> acceptor = scope.Spawn(AcceptOneAndClose, std::ref(listener));
      DescriptorHandle first = co_await ConnectTo(LocalAddress(listener));
      co_await YieldTimes(distance);
      acceptor.RequestStop();
      co_await acceptor.Join();
      DescriptorHandle second = co_await ConnectTo(LocalAddress(listener));
      AcceptResult next = co_await Accept(listener);
      EXPECT_EQ(next.result, 0);
      if (next.result != 0 || PeerPort(next.stream) == ntohs(LocalAddress(first).sin_port)) continue;
      EXPECT_EQ(PeerPort(next.stream), ntohs(LocalAddress(second).sin_port));
      const bool is_hung_up = co_await IsHungUp(first);
      EXPECT_TRUE(is_hung_up);
    }
  });
}

TEST_P(BackendCancelContract, AConnectThatGetsNoAnswerCanBeStopped) {
  sim_options().is_blackhole = true;
  if (is_simulated()) {
    RunOnLoop([](Scope& scope) -> Task<> {
      DescriptorHandle client = OpenStream();
      TaskHandle<int> connector = scope.Spawn(ConnectOnce, std::ref(client), Loopback(1));
      co_await Settle();
      EXPECT_FALSE(connector.Done());
      connector.RequestStop();
      const Outcome<int>& outcome = co_await connector.Join();
      EXPECT_TRUE(outcome.stopped());
    });
    return;
  }
  RunOnLoop([](Scope& scope) -> Task<> {  // a full backlog gives no answer either
    DescriptorHandle listener = OpenListener(/*backlog=*/0);
    std::vector<DescriptorHandle> clients;
    std::vector<TaskHandle<int>> connectors;
    for (int i = 0; i < 6; ++i) clients.push_back(OpenStream());
    for (DescriptorHandle& client : clients) {
      connectors.push_back(scope.Spawn(ConnectOnce, std::ref(client), LocalAddress(listener)));
    }
    co_await Settle();
    EXPECT_FALSE(connectors.back().Done());
    for (TaskHandle<int>& connector : connectors) connector.RequestStop();
    for (TaskHandle<int>& connector : connectors) co_await connector.Join();
  });
}

TEST_P(BackendCancelContract, AStopAtAnyMomentOfAConnectEndsItAtBothEnds) {
  RunOnLoop([](Scope& scope) -> Task<> {
    for (int distance = 0; distance < kDistances; ++distance) {
      DescriptorHandle listener = OpenListener();
      DescriptorHandle client = OpenStream();
      TaskHandle<int> connector = scope.Spawn(ConnectOnce, std::ref(client), LocalAddress(listener));
      co_await YieldTimes(distance);
      connector.RequestStop();
      const Outcome<int>& outcome = co_await connector.Join();
      EXPECT_TRUE(outcome.stopped() || outcome.value() == 0);
      client.Close();
      DescriptorHandle last = co_await ConnectTo(LocalAddress(listener));
      for (;;) {
        AcceptResult accepted = co_await Accept(listener);
        EXPECT_EQ(accepted.result, 0);
        if (accepted.result != 0 || PeerPort(accepted.stream) == ntohs(LocalAddress(last).sin_port)) break;
        const bool is_hung_up = co_await IsHungUp(accepted.stream);
        EXPECT_TRUE(is_hung_up);
      }
    }
  });
}

// --- sending

TEST_P(BackendCancelContract, ASendStoppedMidwayLeavesAPrefixAndABrokenStream) {
  RunOnLoop([](Scope& scope) -> Task<> {
    static const std::string bytes = Pattern(8 * 1024 * 1024);
    SocketPair pair = co_await MakePair();
    TaskHandle<int> sender = scope.Spawn(SendAll, std::ref(pair.client), std::cref(bytes));
    co_await Settle();
    sender.RequestStop();
    const Outcome<int>& outcome = co_await sender.Join();
    EXPECT_TRUE(outcome.stopped());
    EXPECT_TRUE(pair.client->is_send_broken);
    const int again = co_await Send(pair.client, "after the hole");
    EXPECT_EQ(again, -EPIPE);
    pair.client.Close();
    const std::string heard = co_await ReceiveAll(pair.server);
    EXPECT_LT(heard.size(), bytes.size());
    EXPECT_TRUE(heard == bytes.substr(0, heard.size()));
  });
}

TEST_P(BackendCancelContract, ASendThatFinishesAsTheStopComesIsNotBroken) {
  RunOnLoop([](Scope& scope) -> Task<> {
    for (int distance = 0; distance < kDistances; ++distance) {
      const std::string bytes = "short";
      SocketPair pair = co_await MakePair();
      TaskHandle<int> sender = scope.Spawn(SendAll, std::ref(pair.client), std::cref(bytes));
      co_await YieldTimes(distance);
      sender.RequestStop();
      const Outcome<int>& outcome = co_await sender.Join();
      const bool was_stopped = outcome.stopped();
      const bool is_broken = pair.client->is_send_broken;
      pair.client.Close();
      const std::string heard = co_await ReceiveAll(pair.server);
      if (was_stopped) {
        EXPECT_EQ(is_broken, !heard.empty());
      } else {
        EXPECT_FALSE(is_broken);
        EXPECT_EQ(heard, bytes);
      }
    }
  });
}

// --- closing under an operation

TEST_P(BackendCancelContract, ClosingEndsWaitingOperationsWithEbadf) {
  RunOnLoop([](Scope& scope) -> Task<> {
    const std::string bytes(4 * 1024 * 1024, 'x');
    std::string heard;
    SocketPair pair = co_await MakePair();
    DescriptorHandle listener = OpenListener();
    TaskHandle<int> reader = scope.Spawn(ReceiveOne, std::ref(pair.client), std::ref(heard));
    TaskHandle<int> writer = scope.Spawn(SendAll, std::ref(pair.client), std::cref(bytes));
    TaskHandle<int> acceptor = scope.Spawn(AcceptOneAndClose, std::ref(listener));
    co_await Settle();
    pair.client.Close();
    listener.Close();
    for (TaskHandle<int>* ended : {&reader, &writer, &acceptor}) {
      const Outcome<int>& outcome = co_await ended->Join();
      EXPECT_EQ(outcome.value(), -EBADF);
    }
  });
}

TEST_P(BackendCancelContract, AReaderOfAClosedSocketHearsNothingOfItsSuccessor) {
  RunOnLoop([](Scope& scope) -> Task<> {
    std::string heard;
    SocketPair old = co_await MakePair();
    TaskHandle<int> reader = scope.Spawn(ReceiveOne, std::ref(old.server), std::ref(heard));
    co_await Settle();
    const int number = old.server->fd();
    old.server.Close();
    std::vector<DescriptorHandle> opened;  // the lowest free number is given first, so the old one comes soon
    do {
      opened.push_back(OpenStream());
    } while (opened.back()->fd() < number);
    DescriptorHandle& successor = opened.back();
    EXPECT_EQ(successor->fd(), number);
    DescriptorHandle listener = OpenListener();
    co_await Connect(successor, LocalAddress(listener));
    AcceptResult peer = co_await Accept(listener);
    co_await Send(peer.stream, "for the successor");
    const Outcome<int>& outcome = co_await reader.Join();
    EXPECT_EQ(outcome.value(), -EBADF);
    EXPECT_EQ(heard, "");
    const std::string all = co_await ReceiveExactly(successor, 17);
    EXPECT_EQ(all, "for the successor");
  });
}

TEST_P(BackendCancelContract, ClosingAndStoppingTogetherEndAnOperationOnce) {
  RunOnLoop([](Scope& scope) -> Task<> {
    for (const bool close_first : {true, false}) {
      std::string heard;
      SocketPair pair = co_await MakePair();
      TaskHandle<int> reader = scope.Spawn(ReceiveOne, std::ref(pair.server), std::ref(heard));
      co_await Settle();
      if (close_first) pair.server.Close();
      reader.RequestStop();
      pair.server.Close();
      const Outcome<int>& outcome = co_await reader.Join();
      EXPECT_TRUE(outcome.stopped() || outcome.value() == -EBADF);
    }
  });
}

TEST_P(BackendCancelContract, ClosingAListenerHangsUpOnThoseItDidNotAccept) {
  RunOnLoop([](Scope& scope) -> Task<> {
    DescriptorHandle listener = OpenListener();
    TaskHandle<int> acceptor =
        scope.Spawn(AcceptOneAndClose, std::ref(listener));  // some backends run ahead from now on
    std::vector<DescriptorHandle> clients;
    for (int i = 0; i < 5; ++i) clients.push_back(co_await ConnectTo(LocalAddress(listener)));
    co_await acceptor.Join();
    co_await Settle();
    listener.Close();
    for (DescriptorHandle& client : clients) {
      const bool is_hung_up = co_await IsHungUp(client);
      EXPECT_TRUE(is_hung_up);
    }
  });
}

TEST_P(BackendCancelContract, BytesThatNobodyAskedForAreGivenBackWhenTheSocketCloses) {
  RunOnLoop([](Scope&) -> Task<> {
    SocketPair pair = co_await MakePair();
    std::string heard;
    co_await Send(pair.client, "first");
    co_await ReceiveBufferInto(pair.server, heard);  // some backends run ahead from now on
    co_await Send(pair.client, std::string(40000, 'x'));
    co_await Settle();
    pair.server.Close();
    EXPECT_EQ(Loop::Current().buffer_pool().leased(), 0u);
  });
}

// --- handing descriptors over

TEST_P(BackendCancelContract, AReleasedSocketCanBeAdoptedAndHasLostNothing) {
  RunOnLoop([](Scope&) -> Task<> {
    SocketPair pair = co_await MakePair();
    std::string heard;
    co_await Send(pair.client, "a");
    co_await ReceiveBufferInto(pair.server, heard);
    co_await Send(pair.client, "bcd");
    co_await Settle();
    Backend& backend = CurrentBackend();
    const size_t before = backend.live_descriptors();
    const int fd = pair.server->fd();
    std::vector<std::byte> unread;  // what it had received ahead
    EXPECT_EQ(backend.Release(*pair.server.Take(), unread), fd);
    for (const std::byte byte : unread) heard += static_cast<char>(byte);
    EXPECT_EQ(backend.live_descriptors(), before - 1);
    Descriptor* adopted = nullptr;
    EXPECT_EQ(backend.Adopt(fd, &adopted), 0);
    DescriptorHandle server(adopted);
    EXPECT_EQ(server->fd(), fd);
    if (heard.size() < 4) heard += co_await ReceiveExactly(server, 4 - heard.size());
    EXPECT_EQ(heard, "abcd");
    co_await Send(server, "back");
    const std::string answer = co_await ReceiveExactly(pair.client, 4);
    EXPECT_EQ(answer, "back");
  });
}

TEST_P(BackendCancelContract, AReleasedListenerKeepsItsConnections) {
  RunOnLoop([](Scope& scope) -> Task<> {
    DescriptorHandle listener = OpenListener();
    TaskHandle<int> acceptor = scope.Spawn(AcceptOneAndClose, std::ref(listener));
    std::vector<DescriptorHandle> clients;
    for (int i = 0; i < 4; ++i) clients.push_back(co_await ConnectTo(LocalAddress(listener)));
    co_await acceptor.Join();
    co_await Settle();
    std::vector<std::byte> unread;
    const int fd = CurrentBackend().Release(*listener.Take(), unread);
    Descriptor* adopted = nullptr;
    EXPECT_EQ(CurrentBackend().Adopt(fd, &adopted), 0);
    DescriptorHandle again(adopted);
    for (size_t i = 1; i < clients.size(); ++i) {
      AcceptResult accepted = co_await Accept(again);
      EXPECT_EQ(accepted.result, 0);
      EXPECT_EQ(PeerPort(accepted.stream), ntohs(LocalAddress(clients[i]).sin_port));
    }
  });
}

TEST_P(BackendCancelContract, WhatIsNoSocketIsNotAdopted) {
  RunOnLoop([](Scope&) -> Task<> {
    Descriptor* adopted = nullptr;
    EXPECT_EQ(CurrentBackend().Adopt(-1, &adopted), -EBADF);
    co_return;
  });
}

TEST_P(BackendCancelContract, AHandleThatOutlivesItsLoopFreesOnlyMemory) {
  DescriptorHandle left;
  RunReport report;
  auto body = [&left]() -> Task<> {
    left = OpenListener();
    co_return;
  };
  const RunOptions options = RunOptions().set_backend(BackendKind::kEpoll).set_report(&report);
  SimWorld world(1);
  if (is_simulated()) {
    world.Run(options, body);
  } else {
    gyre::Run(options, body);
  }
  EXPECT_EQ(report.closed_descriptors, 1u);
  EXPECT_EQ(left->backend(), nullptr);
  left.Close();
}

// --- misuse

TEST_P(BackendCancelContract, ASecondReaderIsACheckFailure) {
  auto two_readers = [this] {
    RunOnLoop([](Scope& scope) -> Task<> {
      std::string heard;
      SocketPair pair = co_await MakePair();
      scope.Spawn(ReceiveOne, std::ref(pair.server), std::ref(heard));
      scope.Spawn(ReceiveOne, std::ref(pair.server), std::ref(heard));
      co_await Settle();
    });
  };
  EXPECT_DEATH(two_readers(), "two operations in the same direction");
}

// --- random walk

// A stream of bytes is read by short-lived readers that are stopped at random: all bytes arrive, once and in order.
Task<> WalkAtRandom(Scope& scope, uint64_t seed) {
  internal::Rng rng(seed);
  const std::string bytes = Pattern(20000);
  SocketPair pair = co_await MakePair();
  TaskHandle<int> sender = scope.Spawn(SendAll, std::ref(pair.client), std::cref(bytes));
  std::string heard;
  size_t started = 0;
  size_t ended = 0;
  while (heard.size() < bytes.size()) {
    ++started;
    TaskHandle<int> reader;
    if (rng.Chance(1, 2)) {
      reader = scope.Spawn(ReceiveBufferInto, std::ref(pair.server), std::ref(heard));
    } else {
      reader = scope.Spawn(ReceiveOne, std::ref(pair.server), std::ref(heard));
    }
    co_await YieldTimes(static_cast<int>(rng.Below(6)));
    if (rng.Chance(1, 2)) reader.RequestStop();
    co_await reader.Join();
    ++ended;
  }
  EXPECT_EQ(started, ended);
  EXPECT_TRUE(heard == bytes) << heard.size();
  co_await sender.Join();
}

TEST_P(BackendCancelContract, UnderRandomStopsEveryOperationEndsOnceAndNoByteIsLost) {
  RunOnLoop([this](Scope& scope) { return WalkAtRandom(scope, seed()); });
}

TEST_P(BackendCancelContract, NoByteIsLostWhereManyThingsHappenInOneTurn) {
  sim_options().latency_min = sim_options().latency_max = Duration::zero();
  sim_options().segment_bytes_max = 50;
  sim_options().spurious_wake_one_in = 2;
  RunOnLoop([this](Scope& scope) { return WalkAtRandom(scope, seed()); });
}

}  // namespace
}  // namespace gyre::testing
