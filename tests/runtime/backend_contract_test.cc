// The Backend contract, on every backend: sockets, connections and bytes. Cancellation and closing:
// backend_contract_cancel_test.cc. Limits, timers and other threads: backend_contract_loop_test.cc.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"
#include "gyre/tests/support/contract_backends.h"
#include "gyre/tests/support/contract_ops.h"

namespace gyre::testing {
namespace {

class BackendContract : public ContractTest {};
INSTANTIATE_TEST_SUITE_P(All, BackendContract, AllContractBackends(),
                         [](const auto& info) { return NameOf(info.param); });

// --- connecting and accepting

TEST_P(BackendContract, BytesGoBothWays) {
  RunOnLoop([](Scope&) -> Task<> {
    SocketPair pair = co_await MakePair();
    const int sent = co_await Send(pair.client, "ping");
    EXPECT_EQ(sent, 0);
    const std::string heard = co_await ReceiveExactly(pair.server, 4);
    EXPECT_EQ(heard, "ping");
    co_await Send(pair.server, "pong");
    const std::string answer = co_await ReceiveExactly(pair.client, 4);
    EXPECT_EQ(answer, "pong");
  });
}

TEST_P(BackendContract, ConnectIsRefusedWhereNobodyListens) {
  RunOnLoop([](Scope&) -> Task<> {
    DescriptorHandle bound = OpenStream();
    EXPECT_EQ(Bind(bound, Loopback(0)), 0);
    DescriptorHandle client = OpenStream();
    const int result = co_await Connect(client, LocalAddress(bound));
    EXPECT_EQ(result, -ECONNREFUSED);
  });
}

TEST_P(BackendContract, ConnectIsRefusedOnceTheListenerIsClosed) {
  RunOnLoop([](Scope&) -> Task<> {
    DescriptorHandle listener = OpenListener();
    const sockaddr_in where = LocalAddress(listener);
    listener.Close();
    DescriptorHandle client = OpenStream();
    const int result = co_await Connect(client, where);
    EXPECT_EQ(result, -ECONNREFUSED);
  });
}

TEST_P(BackendContract, AcceptWaitsForTheConnectionToCome) {
  RunOnLoop([](Scope& scope) -> Task<> {
    DescriptorHandle listener = OpenListener();
    auto accept = [&]() -> Task<int> {
      AcceptResult accepted = co_await Accept(listener);
      co_return accepted.result;
    };
    TaskHandle<int> acceptor = scope.Spawn(accept);
    co_await Settle();
    EXPECT_FALSE(acceptor.Done());
    DescriptorHandle client = co_await ConnectTo(LocalAddress(listener));
    const Outcome<int>& outcome = co_await acceptor.Join();
    EXPECT_EQ(outcome.value(), 0);
  });
}

TEST_P(BackendContract, ConnectionsThatCameBeforeAnyAcceptAreAllDeliveredInOrder) {
  RunOnLoop([](Scope&) -> Task<> {
    DescriptorHandle listener = OpenListener();
    std::vector<DescriptorHandle> clients;
    for (int i = 0; i < 3; ++i) clients.push_back(co_await ConnectTo(LocalAddress(listener)));
    for (DescriptorHandle& client : clients) {
      AcceptResult accepted = co_await Accept(listener);
      EXPECT_EQ(accepted.result, 0);
      if (accepted.result != 0) break;
      EXPECT_EQ(PeerPort(accepted.stream), ntohs(LocalAddress(client).sin_port));
    }
  });
}

TEST_P(BackendContract, ManyConnectionsArriveWhileAcceptingAndNoneIsLost) {
  RunOnLoop([](Scope& scope) -> Task<> {
    constexpr int kConnections = 40;
    DescriptorHandle listener = OpenListener();
    auto connect = [&]() -> Task<> { co_await ConnectTo(LocalAddress(listener)); };
    for (int i = 0; i < kConnections; ++i) scope.Spawn(connect);
    for (int i = 0; i < kConnections; ++i) {
      AcceptResult accepted = co_await Accept(listener);
      EXPECT_EQ(accepted.result, 0);
    }
  });
}

TEST_P(BackendContract, AConnectionThatIsResetBeforeItIsAcceptedDoesNotEndTheListener) {
  RunOnLoop([](Scope&) -> Task<> {
    DescriptorHandle listener = OpenListener();
    DescriptorHandle lost = co_await ConnectTo(LocalAddress(listener));
    lost.Close(/*reset=*/true);
    co_await Settle();
    DescriptorHandle client = co_await ConnectTo(LocalAddress(listener));
    const int wanted = ntohs(LocalAddress(client).sin_port);
    for (int tries = 0; tries < 2; ++tries) {
      AcceptResult accepted = co_await Accept(listener);
      EXPECT_EQ(accepted.result, 0);
      if (accepted.result != 0 || PeerPort(accepted.stream) == wanted) break;
    }
  });
}

TEST_P(BackendContract, ASecondConnectOfAConnectedSocketFails) {
  RunOnLoop([](Scope&) -> Task<> {
    DescriptorHandle listener = OpenListener();
    DescriptorHandle client = co_await ConnectTo(LocalAddress(listener));
    const int again = co_await Connect(client, LocalAddress(listener));
    EXPECT_TRUE(again == -EISCONN || again == 0) << again;
    co_await Send(client, "x");
    AcceptResult accepted = co_await Accept(listener);
    const std::string heard = co_await ReceiveExactly(accepted.stream, 1);
    EXPECT_EQ(heard, "x");
  });
}

// --- addresses and options

TEST_P(BackendContract, EachEndSeesTheOtherOnesAddress) {
  RunOnLoop([](Scope&) -> Task<> {
    SocketPair pair = co_await MakePair();
    EXPECT_EQ(PeerPort(pair.client), ntohs(LocalAddress(pair.server).sin_port));
    EXPECT_EQ(PeerPort(pair.server), ntohs(LocalAddress(pair.client).sin_port));
    EXPECT_EQ(LocalAddress(pair.client).sin_addr.s_addr, htonl(INADDR_LOOPBACK));
  });
}

TEST_P(BackendContract, AFreshSocketHasNoPeerAndCarriesNoBytes) {
  RunOnLoop([](Scope&) -> Task<> {
    DescriptorHandle fresh = OpenStream();
    EXPECT_EQ(PeerPort(fresh), -1);
    EXPECT_EQ(CurrentBackend().Shutdown(*fresh, SHUT_WR), 0) << "there is nothing to end: no error";
    char byte;
    const int received = co_await Receive(fresh, &byte, 1);
    EXPECT_EQ(received, -ENOTCONN);
    const int sent = co_await Send(fresh, "x");
    EXPECT_EQ(sent, -EPIPE);
  });
}

TEST_P(BackendContract, PortZeroGivesEveryListenerAPortOfItsOwn) {
  RunOnLoop([](Scope&) -> Task<> {
    DescriptorHandle first = OpenListener();
    DescriptorHandle second = OpenListener();
    EXPECT_NE(LocalAddress(first).sin_port, 0);
    EXPECT_NE(LocalAddress(first).sin_port, LocalAddress(second).sin_port);
    co_return;
  });
}

TEST_P(BackendContract, AnAddressInUseCannotBeBoundAgain) {
  RunOnLoop([](Scope&) -> Task<> {
    DescriptorHandle listener = OpenListener();
    DescriptorHandle second = OpenStream();
    EXPECT_EQ(Bind(second, LocalAddress(listener)), -EADDRINUSE);
    EXPECT_EQ(Bind(listener, Loopback(0)), -EINVAL);
    co_return;
  });
}

TEST_P(BackendContract, ListenersWithReusePortShareAPort) {
  RunOnLoop([](Scope&) -> Task<> {
    DescriptorHandle first = OpenStream();
    DescriptorHandle second = OpenStream();
    Backend& backend = CurrentBackend();
    for (DescriptorHandle* one : {&first, &second}) backend.SetOption(**one, SOL_SOCKET, SO_REUSEPORT, 1);
    EXPECT_EQ(Bind(first, Loopback(0)), 0);
    EXPECT_EQ(Bind(second, LocalAddress(first)), 0);
    EXPECT_EQ(backend.Listen(*first, 8), 0);
    EXPECT_EQ(backend.Listen(*second, 8), 0);
    co_return;
  });
}

TEST_P(BackendContract, AnOptionThatWasSetIsReadBack) {
  RunOnLoop([](Scope&) -> Task<> {
    SocketPair pair = co_await MakePair();
    const std::pair<int, int> options[] = {{IPPROTO_TCP, TCP_NODELAY}, {SOL_SOCKET, SO_KEEPALIVE}};
    for (const auto& [level, name] : options) {
      int value = -1;
      EXPECT_EQ(CurrentBackend().GetOption(*pair.client, level, name, &value), 0);
      EXPECT_EQ(value, 0);
      EXPECT_EQ(CurrentBackend().SetOption(*pair.client, level, name, 1), 0);
      EXPECT_EQ(CurrentBackend().GetOption(*pair.client, level, name, &value), 0);
      EXPECT_EQ(value, 1);
    }
  });
}

TEST_P(BackendContract, AWrongFamilyIsRefused) {
  RunOnLoop([](Scope&) -> Task<> {
    Descriptor* opened = nullptr;
    EXPECT_EQ(CurrentBackend().OpenStream(AF_MAX, &opened), -EAFNOSUPPORT);
    co_return;
  });
}

// --- bytes

TEST_P(BackendContract, ReceiveWaitsForBytes) {
  RunOnLoop([](Scope& scope) -> Task<> {
    SocketPair pair = co_await MakePair();
    auto receive = [&]() -> Task<std::string> { return ReceiveExactly(pair.server, 5); };
    TaskHandle<std::string> reader = scope.Spawn(receive);
    co_await Settle();
    EXPECT_FALSE(reader.Done());
    co_await Send(pair.client, "later");
    const Outcome<std::string>& heard = co_await reader.Join();
    EXPECT_EQ(heard.value(), "later");
  });
}

TEST_P(BackendContract, TheEndOfTheStreamIsAValueAndStays) {
  RunOnLoop([](Scope&) -> Task<> {
    SocketPair pair = co_await MakePair();
    co_await Send(pair.client, "last");
    pair.client.Close();
    int last = -1;
    const std::string heard = co_await ReceiveAll(pair.server, &last);
    EXPECT_EQ(heard, "last");
    EXPECT_EQ(last, 0);
    char byte;
    const int again = co_await Receive(pair.server, &byte, 1);
    EXPECT_EQ(again, 0);
  });
}

TEST_P(BackendContract, AfterOneSideHasFinishedTheOtherMayGoOn) {
  RunOnLoop([](Scope&) -> Task<> {
    for (const bool client_first : {true, false}) {
      SocketPair ends = co_await MakePair();
      DescriptorHandle& done = client_first ? ends.client : ends.server;
      DescriptorHandle& other = client_first ? ends.server : ends.client;
      co_await Send(done, "question");
      EXPECT_EQ(CurrentBackend().Shutdown(*done, SHUT_WR), 0);
      const std::string question = co_await ReceiveAll(other);
      EXPECT_EQ(question, "question");
      co_await Send(other, "answer");
      other.Close();
      const std::string answer = co_await ReceiveAll(done);
      EXPECT_EQ(answer, "answer");
    }
  });
}

TEST_P(BackendContract, SendingAfterShutdownFailsWithoutASignal) {
  RunOnLoop([](Scope&) -> Task<> {
    SocketPair pair = co_await MakePair();
    EXPECT_EQ(CurrentBackend().Shutdown(*pair.client, SHUT_WR), 0);
    const int sent = co_await Send(pair.client, "x");
    EXPECT_EQ(sent, -EPIPE);
  });
}

TEST_P(BackendContract, ShutdownEndsAWaitingReceive) {
  RunOnLoop([](Scope& scope) -> Task<> {
    SocketPair pair = co_await MakePair();
    auto receive = [&]() -> Task<int> {
      char byte;
      const int result = co_await Receive(pair.server, &byte, 1);
      co_return result;
    };
    TaskHandle<int> reader = scope.Spawn(receive);
    co_await Settle();
    EXPECT_EQ(CurrentBackend().Shutdown(*pair.server, SHUT_RD), 0);
    const Outcome<int>& outcome = co_await reader.Join();
    EXPECT_EQ(outcome.value(), 0);
  });
}

TEST_P(BackendContract, MegabytesGoBothWaysAtOnceAndEveryByteIsRight) {
  RunOnLoop([this](Scope& scope) -> Task<> {
    const size_t size = is_simulated() ? 512 * 1024 : 4 * 1024 * 1024;
    const std::string there = Pattern(size, 1);
    const std::string back = Pattern(size, 2);
    SocketPair pair = co_await MakePair();
    auto send = [](DescriptorHandle& to, const std::string& bytes) -> Task<> {
      const int sent = co_await Send(to, bytes);
      EXPECT_EQ(sent, 0);
    };
    auto check = [](DescriptorHandle& from, const std::string& bytes) -> Task<> {
      const std::string heard = co_await ReceiveExactly(from, bytes.size());
      EXPECT_TRUE(heard == bytes) << heard.size();
    };
    scope.Spawn(send, std::ref(pair.client), std::cref(there));
    scope.Spawn(send, std::ref(pair.server), std::cref(back));
    TaskHandle<> first = scope.Spawn(check, std::ref(pair.server), std::cref(there));
    TaskHandle<> second = scope.Spawn(check, std::ref(pair.client), std::cref(back));
    co_await first.Join();
    co_await second.Join();
  });
}

TEST_P(BackendContract, ASenderWaitsUntilItsPeerReads) {
  RunOnLoop([](Scope& scope) -> Task<> {
    static const std::string bytes = Pattern(2 * 1024 * 1024);
    SocketPair pair = co_await MakePair();
    auto send = [&]() -> Task<int> {
      const int sent = co_await Send(pair.client, bytes);
      co_return sent;
    };
    TaskHandle<int> sender = scope.Spawn(send);
    co_await Settle();
    EXPECT_FALSE(sender.Done());
    const std::string heard = co_await ReceiveExactly(pair.server, bytes.size());
    EXPECT_TRUE(heard == bytes);
    const Outcome<int>& sent = co_await sender.Join();
    EXPECT_EQ(sent.value(), 0);
  });
}

TEST_P(BackendContract, ScatteredPartsArriveAsOneStream) {
  RunOnLoop([](Scope&) -> Task<> {
    SocketPair pair = co_await MakePair();
    std::vector<std::string_view> parts;
    for (const char* part : {"one ", "", "two ", "three"}) parts.push_back(part);
    const int sent = co_await SendParts(pair.client, std::move(parts));
    EXPECT_EQ(sent, 0);
    pair.client.Close();
    const std::string heard = co_await ReceiveAll(pair.server);
    EXPECT_EQ(heard, "one two three");
  });
}

TEST_P(BackendContract, MorePartsThanTheKernelTakesAtOnceAreAllSent) {
  RunOnLoop([](Scope& scope) -> Task<> {
    const std::string bytes = Pattern(6000);
    SocketPair pair = co_await MakePair();
    auto send = [&]() -> Task<> {
      std::vector<std::string_view> parts;
      for (size_t i = 0; i < bytes.size(); i += 2) parts.push_back(std::string_view(bytes).substr(i, 2));
      const int sent = co_await SendParts(pair.client, std::move(parts));
      EXPECT_EQ(sent, 0);
    };
    scope.Spawn(send);
    const std::string heard = co_await ReceiveExactly(pair.server, bytes.size());
    EXPECT_TRUE(heard == bytes);
  });
}

TEST_P(BackendContract, AnEmptySendIsDoneAtOnce) {
  RunOnLoop([](Scope&) -> Task<> {
    SocketPair pair = co_await MakePair();
    const int sent = co_await Send(pair.client, "");
    EXPECT_EQ(sent, 0);
  });
}

TEST_P(BackendContract, LeasedBuffersBringTheBytesAndThenTheEnd) {
  RunOnLoop([](Scope& scope) -> Task<> {
    const std::string bytes = Pattern(300 * 1024);
    SocketPair pair = co_await MakePair();
    auto send = [&]() -> Task<> {
      const int sent = co_await Send(pair.client, bytes);
      EXPECT_EQ(sent, 0);
      pair.client.Close();
    };
    scope.Spawn(send);
    std::string heard;
    for (;;) {
      ReceivedBuffer chunk = co_await ReceiveBuffer(pair.server);
      EXPECT_GE(chunk.result, 0);
      if (chunk.result <= 0) break;
      heard += chunk.text();
    }
    EXPECT_TRUE(heard == bytes);
  });
}

TEST_P(BackendContract, AnIdleReaderHoldsNoBuffer) {
  RunOnLoop([](Scope& scope) -> Task<> {
    SocketPair pair = co_await MakePair();
    auto receive = [&]() -> Task<> { co_await ReceiveBuffer(pair.server); };
    TaskHandle<> reader = scope.Spawn(receive);
    co_await Settle();
    EXPECT_EQ(Loop::Current().buffer_pool().leased(), 0u);
    co_await Send(pair.client, "x");
    co_await reader.Join();
  });
}

TEST_P(BackendContract, ReceivesOfBothKindsTakeTurnsOnOneStream) {
  RunOnLoop([](Scope& scope) -> Task<> {
    const std::string bytes = Pattern(100 * 1000);
    SocketPair pair = co_await MakePair();
    auto send = [&]() -> Task<> {
      for (size_t i = 0; i < bytes.size(); i += 1000) {
        co_await Send(pair.client, std::string_view(bytes).substr(i, 1000));
        co_await Yield();
      }
    };
    scope.Spawn(send);
    std::string heard;
    for (int turn = 0; heard.size() < bytes.size(); ++turn) {
      if (turn % 2 == 0) {
        ReceivedBuffer chunk = co_await ReceiveBuffer(pair.server);
        heard += chunk.text();
      } else {
        char chunk[10];
        const int result = co_await Receive(pair.server, chunk, sizeof(chunk));
        EXPECT_GT(result, 0);
        heard.append(chunk, static_cast<size_t>(std::max(result, 0)));
      }
    }
    EXPECT_TRUE(heard == bytes);
  });
}

TEST_P(BackendContract, OneReaderAndOneWriterWaitTogether) {
  RunOnLoop([](Scope& scope) -> Task<> {
    static const std::string bytes = Pattern(2 * 1024 * 1024);
    SocketPair pair = co_await MakePair();
    auto receive = [&]() -> Task<std::string> { return ReceiveExactly(pair.client, 5); };
    auto send = [&]() -> Task<> { co_await Send(pair.client, bytes); };
    TaskHandle<std::string> reader = scope.Spawn(receive);
    TaskHandle<> writer = scope.Spawn(send);
    co_await Settle();
    EXPECT_FALSE(reader.Done() || writer.Done());
    co_await Send(pair.server, "hello");
    const Outcome<std::string>& heard = co_await reader.Join();
    EXPECT_EQ(heard.value(), "hello");
    const std::string all = co_await ReceiveExactly(pair.server, bytes.size());
    EXPECT_TRUE(all == bytes);
  });
}

// --- resets

TEST_P(BackendContract, AResetIsAnErrorOnceAndThenTheEnd) {
  RunOnLoop([](Scope&) -> Task<> {
    SocketPair pair = co_await MakePair();
    pair.client.Close(/*reset=*/true);
    char byte;
    const int first = co_await Receive(pair.server, &byte, 1);
    EXPECT_EQ(first, -ECONNRESET);
    const int second = co_await Receive(pair.server, &byte, 1);
    EXPECT_EQ(second, 0);
    const int sent = co_await Send(pair.server, "x");
    EXPECT_EQ(sent, -EPIPE);
  });
}

TEST_P(BackendContract, AResetReachesAWaitingReceive) {
  RunOnLoop([](Scope& scope) -> Task<> {
    SocketPair pair = co_await MakePair();
    auto receive = [&]() -> Task<int> {
      char byte;
      const int result = co_await Receive(pair.server, &byte, 1);
      co_return result;
    };
    TaskHandle<int> reader = scope.Spawn(receive);
    co_await Settle();
    pair.client.Close(/*reset=*/true);
    const Outcome<int>& outcome = co_await reader.Join();
    EXPECT_EQ(outcome.value(), -ECONNRESET);
  });
}

TEST_P(BackendContract, BytesThatCameBeforeAResetCanStillBeRead) {
  RunOnLoop([](Scope&) -> Task<> {
    SocketPair pair = co_await MakePair();
    co_await Send(pair.client, "abc");
    pair.client.Close(/*reset=*/true);
    co_await Settle();
    int last = 1;
    const std::string heard = co_await ReceiveAll(pair.server, &last);
    EXPECT_EQ(heard, "abc");
    EXPECT_EQ(last, -ECONNRESET);
  });
}

TEST_P(BackendContract, ClosingWithUnreadBytesResets) {
  RunOnLoop([](Scope&) -> Task<> {
    SocketPair pair = co_await MakePair();
    co_await Send(pair.client, "never read");
    co_await Settle();
    pair.server.Close();
    char byte;
    const int result = co_await Receive(pair.client, &byte, 1);
    EXPECT_EQ(result, -ECONNRESET);
  });
}

TEST_P(BackendContract, SendingToAClosedPeerFailsInTheEndWithoutASignal) {
  RunOnLoop([](Scope&) -> Task<> {
    SocketPair pair = co_await MakePair();
    pair.server.Close();
    int sent = 0;
    for (int tries = 0; sent == 0 && tries < 3; ++tries) {
      co_await Settle();
      sent = co_await Send(pair.client, "x");
    }
    EXPECT_EQ(sent, -EPIPE);
  });
}

TEST_P(BackendContract, AResetReachesAWaitingSender) {
  RunOnLoop([](Scope& scope) -> Task<> {
    const std::string bytes(4 * 1024 * 1024, 'x');
    SocketPair pair = co_await MakePair();
    auto send = [&]() -> Task<int> {
      const int sent = co_await Send(pair.client, bytes);
      co_return sent;
    };
    TaskHandle<int> sender = scope.Spawn(send);
    co_await Settle();
    pair.server.Close();  // with unread bytes
    const Outcome<int>& outcome = co_await sender.Join();
    EXPECT_TRUE(outcome.value() == -ECONNRESET || outcome.value() == -EPIPE) << outcome.value();
  });
}

}  // namespace
}  // namespace gyre::testing
