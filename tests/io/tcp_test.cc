// TcpStream and TcpListener on every backend.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "gyre/io/buffer.h"
#include "gyre/io/endpoint.h"
#include "gyre/io/tcp_listener.h"
#include "gyre/io/tcp_options.h"
#include "gyre/io/tcp_stream.h"
#include "gyre/runtime/errors.h"
#include "gyre/runtime/internal/rng.h"
#include "gyre/runtime/log.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/contract_backends.h"

namespace gyre {
namespace {

using namespace std::chrono_literals;
using testing::ContractBackend;
using testing::ContractTest;
using ::testing::HasSubstr;
using testing::Settle;

class Pair {
 public:
  Pair(TcpStream client, TcpStream server) : client(std::move(client)), server(std::move(server)) {}
  TcpStream client;
  TcpStream server;
};

TcpListener Listen(ListenOptions options = ListenOptions()) {
  return *TcpListener::Bind(Endpoint::Loopback(0), options);
}

Task<Pair> ConnectTo(TcpListener& listener) {
  absl::StatusOr<TcpStream> client = co_await TcpStream::Connect(*listener.local_endpoint());
  absl::StatusOr<TcpStream> server = co_await listener.Accept();
  co_return Pair(*std::move(client), *std::move(server));
}

Task<Pair> Connected() {
  TcpListener listener = Listen();
  co_return co_await ConnectTo(listener);
}

Task<> Say(TcpStream& to, std::string_view text) {
  absl::Status sent = co_await to.Send(text);
  EXPECT_TRUE(sent.ok()) << sent;
}

// Everything until the end of the stream, or until `size_max` bytes are there.
Task<std::string> ReceiveText(TcpStream& from, size_t size_max = ~size_t{0}) {
  std::string text;
  while (text.size() < size_max) {
    absl::StatusOr<Buffer> chunk = co_await from.Receive();
    if (!chunk.ok()) co_return text + "!" + std::string(chunk.status().message());
    if (chunk->empty()) break;
    text += chunk->string_view();
  }
  co_return text;
}

Task<absl::Status> Echo(TcpStream peer) {
  for (;;) {
    absl::StatusOr<Buffer> chunk = co_await peer.Receive();
    if (!chunk.ok()) co_return chunk.status();
    if (chunk->empty()) co_return absl::OkStatus();
    absl::Status sent = co_await peer.Send(*chunk);
    if (!sent.ok()) co_return sent;
  }
}

// Text in which each place looks different.
std::string Pattern(size_t size, uint64_t seed = 1) {
  internal::Rng rng(seed);
  std::string text(size, '\0');
  for (char& letter : text) letter = static_cast<char>('a' + rng.Below(26));
  return text;
}

class TcpTest : public ContractTest {
 protected:
  // More than the kernel's, or the simulation's, buffers hold.
  size_t TooMuch() const { return is_simulated() ? 300'000 : 16'000'000; }
};

INSTANTIATE_TEST_SUITE_P(Backends, TcpTest, testing::AllContractBackends(),
                         [](const auto& info) { return testing::NameOf(info.param); });

TEST_P(TcpTest, AnEchoedMessageComesBackWhole) {
  RunOnLoop([&](Scope& scope) -> Task<> {
    Pair pair = co_await Connected();
    scope.Spawn(Echo, std::move(pair.server));
    co_await Say(pair.client, "over and out");
    pair.client.ShutdownSend().IgnoreError();
    const std::string answer = co_await ReceiveText(pair.client);
    EXPECT_EQ(answer, "over and out");
  });
}

TEST_P(TcpTest, TheEndOfTheStreamIsAnEmptyBufferAndTheOtherDirectionGoesOn) {
  RunOnLoop([&](Scope&) -> Task<> {
    Pair pair = co_await Connected();
    EXPECT_TRUE(pair.client.ShutdownSend().ok());
    for (int twice = 0; twice < 2; ++twice) {
      absl::StatusOr<Buffer> end = co_await pair.server.Receive();
      EXPECT_TRUE(end.ok() && end->empty()) << end.status();
    }
    std::array<std::byte, 8> into;
    absl::StatusOr<size_t> end = co_await pair.server.Receive(into);
    EXPECT_TRUE(end.ok() && *end == 0u) << end.status();
    co_await Say(pair.server, "still here");
    pair.server.Close();
    EXPECT_EQ(co_await ReceiveText(pair.client), "still here");
  });
}

TEST_P(TcpTest, DataAndEndThatCameTogetherAreBothSeenByAWaitingReader) {
  RunOnLoop([&](Scope&) -> Task<> {
    Pair pair = co_await Connected();
    co_await Say(pair.client, "last words");
    pair.client.Close();
    co_await Settle();
    EXPECT_EQ(co_await ReceiveText(pair.server), "last words");
  });
}

TEST_P(TcpTest, ReceiveIntoASpanTakesAtMostTheSpanAndLeavesTheRest) {
  RunOnLoop([&](Scope&) -> Task<> {
    Pair pair = co_await Connected();
    co_await Say(pair.client, "abcdef");
    pair.client.Close();
    std::array<std::byte, 4> into;
    absl::StatusOr<size_t> size = co_await pair.server.Receive(into);
    EXPECT_TRUE(size.ok() && *size >= 1 && *size <= 4) << size.status();
    std::string text(reinterpret_cast<const char*>(into.data()), size.value_or(0));
    text += co_await ReceiveText(pair.server);
    EXPECT_EQ(text, "abcdef");
  });
}

TEST_P(TcpTest, SendOfPiecesKeepsTheirOrderAndSkipsEmptyOnes) {
  RunOnLoop([&](Scope&) -> Task<> {
    Pair pair = co_await Connected();
    std::vector<std::string> texts = {"", "one ", "", "two ", "three ", "", "four ", "five", ""};
    std::vector<std::span<const std::byte>> pieces;
    for (const std::string& text : texts) pieces.push_back(std::as_bytes(std::span(text)));
    absl::Status sent = co_await pair.client.Send(pieces);
    EXPECT_TRUE(sent.ok()) << sent;
    pair.client.Close();
    EXPECT_EQ(co_await ReceiveText(pair.server), "one two three four five");
  });
}

TEST_P(TcpTest, SendOfNothingSucceeds) {
  RunOnLoop([&](Scope&) -> Task<> {
    Pair pair = co_await Connected();
    absl::Status nothing = co_await pair.client.Send("");
    EXPECT_TRUE(nothing.ok()) << nothing;
    absl::Status no_pieces = co_await pair.client.Send(std::span<const std::span<const std::byte>>());
    EXPECT_TRUE(no_pieces.ok()) << no_pieces;
  });
}

TEST_P(TcpTest, ALargeSendArrivesWholeThoughTheReaderIsSlow) {
  const std::string text = Pattern(TooMuch());
  RunOnLoop([&](Scope& scope) -> Task<> {
    Pair pair = co_await Connected();
    TaskHandle<> sender = scope.Spawn([&]() -> Task<> {
      co_await Say(pair.client, text);
      pair.client.Close();
    });
    co_await Settle();
    const std::string received = co_await ReceiveText(pair.server);
    co_await sender.Join();
    EXPECT_TRUE(received == text) << received.size() << " of " << text.size() << " bytes";
  });
}

TEST_P(TcpTest, ManyConnectionsTalkAtTheSameTime) {
  RunOnLoop([&](Scope& scope) -> Task<> {
    TcpListener listener = Listen();
    auto talk = [](TcpStream peer, uint64_t seed) -> Task<> {
      internal::Rng rng(seed);
      for (int round = 0; round < 5; ++round) {
        const std::string text = Pattern(1 + rng.Below(40'000), seed);
        co_await WithScope([&](Scope& both) -> Task<> {
          both.Spawn([&]() -> Task<> { co_await Say(peer, text); });
          const std::string answer = co_await ReceiveText(peer, text.size());
          EXPECT_TRUE(answer == text);
        });
      }
    };
    for (uint64_t i = 0; i < 8; ++i) {
      Pair pair = co_await ConnectTo(listener);
      scope.Spawn(Echo, std::move(pair.server));
      scope.Spawn(talk, std::move(pair.client), i);
    }
  });
}

TEST_P(TcpTest, ConnectWhereNobodyListensIsRefusedAndNamesTheAddress) {
  RunOnLoop([&](Scope&) -> Task<> {
    TcpListener listener = Listen();
    const Endpoint where = *listener.local_endpoint();
    listener.Close();
    absl::StatusOr<TcpStream> client = co_await TcpStream::Connect(where);
    EXPECT_EQ(ErrnoOf(client.status()), ECONNREFUSED) << client.status();
    EXPECT_THAT(std::string(client.status().message()), HasSubstr(where.ToString()));
  });
}

TEST_P(TcpTest, BindToATakenPortFailsAndNamesTheAddress) {
  RunOnLoop([&](Scope&) -> Task<> {
    TcpListener listener = Listen();
    const Endpoint where = *listener.local_endpoint();
    absl::StatusOr<TcpListener> second = TcpListener::Bind(where);
    EXPECT_EQ(ErrnoOf(second.status()), EADDRINUSE) << second.status();
    EXPECT_THAT(std::string(second.status().message()), HasSubstr(where.ToString()));
    co_return;
  });
}

TEST_P(TcpTest, TheTwoEndsKnowEachOther) {
  RunOnLoop([&](Scope&) -> Task<> {
    Pair pair = co_await Connected();
    EXPECT_EQ(*pair.client.local_endpoint(), *pair.server.peer_endpoint());
    EXPECT_EQ(*pair.client.peer_endpoint(), *pair.server.local_endpoint());
  });
}

TEST_P(TcpTest, AResetShowsAsConnectionReset) {
  RunOnLoop([&](Scope&) -> Task<> {
    Pair pair = co_await Connected();
    pair.client.Reset();
    absl::StatusOr<Buffer> chunk = co_await pair.server.Receive();
    EXPECT_EQ(ErrnoOf(chunk.status()), ECONNRESET) << chunk.status();
    absl::Status sent = co_await pair.server.Send("too late");
    EXPECT_EQ(ErrnoOf(sent), EPIPE) << "and no SIGPIPE: " << sent;
  });
}

TEST_P(TcpTest, AStoppedReceiveTakesNothing) {
  RunOnLoop([&](Scope& scope) -> Task<> {
    Pair pair = co_await Connected();
    TaskHandle<> reader = scope.Spawn([&]() -> Task<> { (co_await pair.server.Receive()).IgnoreError(); });
    co_await Settle();
    reader.RequestStop();
    co_await reader.Join();
    co_await Say(pair.client, "for the next one");
    pair.client.Close();
    EXPECT_EQ(co_await ReceiveText(pair.server), "for the next one");
  });
}

TEST_P(TcpTest, BytesLostToNoStopHoweverItFalls) {
  RunOnLoop([&](Scope& scope) -> Task<> {
    Pair pair = co_await Connected();
    std::string text;
    TaskHandle<> reader = scope.Spawn([&]() -> Task<> {
      absl::StatusOr<Buffer> chunk = co_await pair.server.Receive();
      if (chunk.ok()) text += chunk->string_view();
    });
    co_await Yield();
    co_await Say(pair.client, "abc");
    pair.client.Close();
    for (uint64_t turns = seed() % 5; turns > 0; --turns) co_await Yield();
    reader.RequestStop();
    co_await reader.Join();
    text += co_await ReceiveText(pair.server);
    EXPECT_EQ(text, "abc");
  });
}

TEST_P(TcpTest, ASendStoppedMidwayBreaksSendingAndNotReceiving) {
  const std::string text = Pattern(TooMuch());
  RunOnLoop([&](Scope& scope) -> Task<> {
    Pair pair = co_await Connected();
    TaskHandle<> sender = scope.Spawn([&]() -> Task<> { (co_await pair.client.Send(text)).IgnoreError(); });
    co_await Settle();
    sender.RequestStop();
    co_await sender.Join();
    absl::Status again = co_await pair.client.Send("more");
    EXPECT_EQ(again.code(), absl::StatusCode::kFailedPrecondition) << again;
    EXPECT_THAT(std::string(again.message()), HasSubstr("stopped midway"));
    co_await Say(pair.server, "hello");
    EXPECT_EQ(co_await ReceiveText(pair.client, 5), "hello");
  });
}

TEST_P(TcpTest, AStopBeforeASendLeavesTheStreamWhole) {
  RunOnLoop([&](Scope& scope) -> Task<> {
    Pair pair = co_await Connected();
    TaskHandle<> sender = scope.Spawn([&]() -> Task<> { (co_await pair.client.Send("never")).IgnoreError(); });
    sender.RequestStop();
    co_await sender.Join();
    co_await Say(pair.client, "fine");
    pair.client.Close();
    EXPECT_EQ(co_await ReceiveText(pair.server), "fine");
  });
}

TEST_P(TcpTest, ClosingEndsTheReceiveAndTheSendThatWait) {
  const std::string text = Pattern(TooMuch());
  RunOnLoop([&](Scope& scope) -> Task<> {
    Pair pair = co_await Connected();
    absl::Status received;
    absl::Status sent;
    TaskHandle<> reader = scope.Spawn([&]() -> Task<> { received = (co_await pair.client.Receive()).status(); });
    TaskHandle<> sender = scope.Spawn([&]() -> Task<> { sent = co_await pair.client.Send(text); });
    co_await Settle();
    pair.client.Close();
    co_await reader.Join();
    co_await sender.Join();
    EXPECT_EQ(received.code(), absl::StatusCode::kFailedPrecondition) << received;
    EXPECT_EQ(sent.code(), absl::StatusCode::kFailedPrecondition) << sent;
  });
}

TEST_P(TcpTest, AStreamDestroyedUnderAWaitingReceiveEndsIt) {
  RunOnLoop([&](Scope& scope) -> Task<> {
    Pair pair = co_await Connected();
    auto doomed = std::make_unique<TcpStream>(std::move(pair.client));
    absl::Status received;
    TaskHandle<> reader = scope.Spawn([&]() -> Task<> { received = (co_await doomed->Receive()).status(); });
    co_await Settle();
    doomed.reset();
    co_await reader.Join();
    EXPECT_EQ(received.code(), absl::StatusCode::kFailedPrecondition) << received;
  });
}

TEST_P(TcpTest, TryAcceptTakesWhatIsThereAndNeverWaits) {
  RunOnLoop([&](Scope& scope) -> Task<> {
    TcpListener listener = Listen();
    EXPECT_EQ(ErrnoOf(listener.TryAccept().status()), EAGAIN);
    std::vector<TcpStream> clients;
    for (int i = 0; i < 3; ++i) clients.push_back(*co_await TcpStream::Connect(*listener.local_endpoint()));
    co_await Settle();
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(listener.TryAccept().ok());
    EXPECT_EQ(ErrnoOf(listener.TryAccept().status()), EAGAIN);
    TaskHandle<> waiting = scope.Spawn([&]() -> Task<> {
      absl::StatusOr<TcpStream> accepted = co_await listener.Accept();
      EXPECT_TRUE(accepted.ok()) << accepted.status();
    });
    co_await Settle();
    EXPECT_TRUE(absl::IsUnavailable(listener.TryAccept().status()));
    clients.push_back(*co_await TcpStream::Connect(*listener.local_endpoint()));
    co_await waiting.Join();
  });
}

TEST_P(TcpTest, ClosingTheListenerEndsAWaitingAccept) {
  RunOnLoop([&](Scope& scope) -> Task<> {
    TcpListener listener = Listen();
    absl::Status accepted;
    TaskHandle<> accept = scope.Spawn([&]() -> Task<> { accepted = (co_await listener.Accept()).status(); });
    co_await Settle();
    listener.Close();
    co_await accept.Join();
    EXPECT_EQ(accepted.code(), absl::StatusCode::kFailedPrecondition) << accepted;
    absl::StatusOr<TcpStream> again = co_await listener.Accept();
    EXPECT_EQ(again.status().code(), absl::StatusCode::kFailedPrecondition);
  });
}

TEST_P(TcpTest, AStoppedAcceptLeavesTheNextConnectionToTheNextAccept) {
  RunOnLoop([&](Scope& scope) -> Task<> {
    TcpListener listener = Listen();
    TaskHandle<> accept = scope.Spawn([&]() -> Task<> { (co_await listener.Accept()).IgnoreError(); });
    co_await Settle();
    accept.RequestStop();
    co_await accept.Join();
    Pair pair = co_await ConnectTo(listener);
    co_await Say(pair.client, "hello");
    EXPECT_EQ(co_await ReceiveText(pair.server, 5), "hello");
  });
}

// Whichever wins, nothing leaks: the fixture looks.
TEST_P(TcpTest, AConnectionThatArrivesWithAStopIsAcceptedOrClosed) {
  RunOnLoop([&](Scope& scope) -> Task<> {
    TcpListener listener = Listen();
    bool got_one = false;
    TaskHandle<> accept = scope.Spawn([&]() -> Task<> {
      absl::StatusOr<TcpStream> stream = co_await listener.Accept();
      got_one = stream.ok();
    });
    co_await Yield();
    absl::StatusOr<TcpStream> client = co_await TcpStream::Connect(*listener.local_endpoint());
    for (uint64_t turns = seed() % 4; turns > 0; --turns) co_await Yield();
    accept.RequestStop();
    co_await accept.Join();
    listener.Close();
    const std::string rest = co_await ReceiveText(*client);
    EXPECT_TRUE(rest.empty() || rest.front() == '!') << "the peer has hung up, whoever it was: " << got_one;
  });
}

TEST_P(TcpTest, AStoppedConnectLeavesNothingOpen) {
  sim_options().is_blackhole = true;
  RunOnLoop([&](Scope& scope) -> Task<> {
    TcpListener listener = Listen();
    TaskHandle<> connect =
        scope.Spawn([&]() -> Task<> { (co_await TcpStream::Connect(*listener.local_endpoint())).IgnoreError(); });
    for (uint64_t turns = seed() % 4; turns > 0; --turns) co_await Yield();
    connect.RequestStop();
    co_await connect.Join();
  });
}

// --- handing over

// Gives `stream` away and takes it back, with `unread` in front.
void Pass(TcpStream& stream, std::string_view unread = "") {
  absl::StatusOr<BareDescriptor> released = stream.Release(std::as_bytes(std::span(unread)));
  ASSERT_TRUE(released.ok()) << released.status();
  EXPECT_FALSE(stream.is_open());
  absl::StatusOr<TcpStream> adopted = TcpStream::Adopt(*std::move(released));
  ASSERT_TRUE(adopted.ok()) << adopted.status();
  stream = *std::move(adopted);
}

TEST_P(TcpTest, AReleasedConnectionIsAdoptedAndGoesOn) {
  RunOnLoop([&](Scope&) -> Task<> {
    Pair pair = co_await Connected();
    co_await Settle();
    Pass(pair.server);
    co_await Say(pair.client, "hello");
    pair.client.Close();
    EXPECT_EQ(co_await ReceiveText(pair.server), "hello");
  });
}

// Wherever the bytes are: in the kernel, in gyre's hands, or in the program's.
TEST_P(TcpTest, NoByteIsLostOverAnyNumberOfReleases) {
  RunOnLoop([&](Scope& scope) -> Task<> {
    Pair pair = co_await Connected();
    std::string sent;
    for (int i = 0; i < 20'000; ++i) sent += std::to_string(i) + ' ';
    scope.Spawn([&]() -> Task<> {
      co_await Say(pair.client, sent);
      pair.client.Close();
    });
    std::string received;
    for (size_t round = 0;; ++round) {
      absl::StatusOr<Buffer> chunk = co_await pair.server.Receive();
      EXPECT_TRUE(chunk.ok()) << chunk.status();
      if (!chunk.ok() || chunk->empty()) break;
      if (round % 7 == 3) co_await Settle();  // more has come
      const size_t used = chunk->size() - chunk->size() / 3;
      received += chunk->string_view().substr(0, used);
      Pass(pair.server, chunk->string_view().substr(used));
    }
    EXPECT_TRUE(received == sent) << received.size() << " of " << sent.size();
  });
}

TEST_P(TcpTest, ASmallReceiveTakesUnreadBytesPieceByPiece) {
  RunOnLoop([&](Scope&) -> Task<> {
    Pair pair = co_await Connected();
    co_await Say(pair.client, "de");
    pair.client.Close();
    co_await Settle();
    Pass(pair.server, "abc");
    std::string received;
    for (;;) {
      std::array<std::byte, 2> two;
      absl::StatusOr<size_t> count = co_await pair.server.Receive(std::span<std::byte>(two));
      EXPECT_TRUE(count.ok()) << count.status();
      if (!count.ok() || *count == 0) break;
      received.append(reinterpret_cast<const char*>(two.data()), *count);
      Pass(pair.server);  // with what is left of them
    }
    EXPECT_EQ(received, "abcde");
  });
}

TEST_P(TcpTest, AReleasedConnectionThatNobodyAdoptsIsClosed) {
  RunOnLoop([&](Scope&) -> Task<> {
    Pair pair = co_await Connected();
    {
      absl::StatusOr<BareDescriptor> released = pair.server.Release();
      EXPECT_TRUE(released.ok()) << released.status();
      BareDescriptor moved = *std::move(released);
      EXPECT_GE(moved.fd(), 0);
      EXPECT_FALSE(*released);
    }
    EXPECT_EQ(co_await ReceiveText(pair.client), "");
  });
}

TEST_P(TcpTest, ABrokenSendingSideGoesAlong) {
  RunOnLoop([&](Scope& scope) -> Task<> {
    Pair pair = co_await Connected();
    const std::string much(8'000'000, 'x');
    TaskHandle<> sender = scope.Spawn([&]() -> Task<> { (co_await pair.server.Send(much)).IgnoreError(); });
    co_await Settle();
    sender.RequestStop();
    co_await sender.Join();
    Pass(pair.server);
    absl::Status status = co_await pair.server.Send("more");
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    pair.client.Reset();
  });
}

TEST_P(TcpTest, UnreadBytesOfAClosedConnectionAreForgotten) {
  RunOnLoop([&](Scope&) -> Task<> {
    Pair first = co_await Connected();
    Pass(first.server, "old");
    first.server.Close();
    Pair second = co_await Connected();  // takes over the state block
    co_await Say(second.client, "new");
    second.client.Close();
    EXPECT_EQ(co_await ReceiveText(second.server), "new");
  });
}

TEST_P(TcpTest, AdoptingWhatIsNoSocketIsAnError) {
  RunOnLoop([&](Scope&) -> Task<> {
    absl::StatusOr<TcpStream> adopted = TcpStream::Adopt(987654);
    EXPECT_EQ(ErrnoOf(adopted.status()), EBADF) << adopted.status();
    co_return;
  });
}

TEST_P(TcpTest, AcceptWithoutDescriptorsGoesOnWhenOneIsClosed) {
  if (!is_simulated()) GTEST_SKIP() << "tests/runtime/epoll_backend_test.cc has the kernel's side";
  SetLogSink(+[](std::string_view) {});
  sim_options().descriptors_max = 4;  // the listener, two clients, and one that can be accepted
  RunOnLoop([&](Scope&) -> Task<> {
    TcpListener listener = Listen();
    Pair first = co_await ConnectTo(listener);
    absl::StatusOr<TcpStream> client = co_await TcpStream::Connect(*listener.local_endpoint());
    EXPECT_TRUE(client.ok()) << client.status();
    co_await WithScope([&](Scope& scope) -> Task<> {
      TaskHandle<> accept = scope.Spawn([&]() -> Task<> {
        absl::StatusOr<TcpStream> second = co_await listener.Accept();
        EXPECT_TRUE(second.ok()) << second.status();
      });
      co_await SleepFor(1s);
      EXPECT_FALSE(accept.Done());
      EXPECT_GE(Loop::Current().backend().counters().accept_pauses.value(), 5u);
      const TimePoint closed = Loop::Current().ReadClock();
      first.server.Close();
      co_await accept.Join();
      EXPECT_LT(Loop::Current().ReadClock() - closed, 100ms);
    });
  });
  SetLogSink(nullptr);
}

// --- misuse, and what only the kernel can show

TEST(TcpDeathTest, TwoReceivesAtOnceAreAUsageError) {
  auto body = [](Scope& scope) -> Task<> {
    Pair pair = co_await Connected();
    scope.Spawn([&]() -> Task<> { (co_await pair.client.Receive()).IgnoreError(); });
    scope.Spawn([&]() -> Task<> { (co_await pair.client.Receive()).IgnoreError(); });
    co_await SleepFor(1h);
  };
  EXPECT_DEATH(gyre::Run(body), "two operations in the same direction");
}

TEST(TcpDeathTest, ReleasedWhileAnOperationWaits) {
  auto body = [](Scope& scope) -> Task<> {
    Pair pair = co_await Connected();
    scope.Spawn([&]() -> Task<> { (co_await pair.client.Receive()).IgnoreError(); });
    co_await Yield();
    static_cast<void>(pair.client.Release());
  };
  EXPECT_DEATH(gyre::Run(body), "Release was called while an operation was waiting");
}

TEST(TcpDeathTest, AStreamThatWasClosedCannotBeUsed) {
  auto body = [](Scope&) -> Task<> {
    Pair pair = co_await Connected();
    pair.client.Close();
    (co_await pair.client.Send("x")).IgnoreError();
  };
  EXPECT_DEATH(gyre::Run(body), "closed, released or moved from");
}

TEST(TcpDeathTest, AnEmptySpanToReceiveIntoIsAUsageError) {
  auto body = [](Scope&) -> Task<> {
    Pair pair = co_await Connected();
    (co_await pair.client.Receive(std::span<std::byte>())).IgnoreError();
  };
  EXPECT_DEATH(gyre::Run(body), "empty span");
}

int OptionOf(int fd, int level, int name) {
  int value = -1;
  socklen_t length = sizeof(value);
  getsockopt(fd, level, name, &value, &length);
  return value;
}

TEST(TcpOptionsTest, NoDelayIsOnAndKeepAliveOffForBothEnds) {
  gyre::Run([](Scope&) -> Task<> {
    Pair pair = co_await Connected();
    for (TcpStream* stream : {&pair.client, &pair.server}) {
      const int fd = stream->Release()->TakeFd();
      EXPECT_EQ(OptionOf(fd, IPPROTO_TCP, TCP_NODELAY), 1);
      EXPECT_EQ(OptionOf(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
      close(fd);
    }
  });
}

TEST(TcpOptionsTest, AcceptedConnectionsInheritTheListenersOptions) {
  gyre::Run([](Scope&) -> Task<> {
    const TcpOptions wanted = TcpOptions().set_no_delay(false).set_keep_alive(true);
    TcpListener listener = Listen(ListenOptions().set_stream_options(wanted));
    Pair pair = co_await ConnectTo(listener);
    EXPECT_TRUE(pair.server.SetSendBufferBytes(4096).ok());
    const int fd = pair.server.Release()->TakeFd();
    EXPECT_EQ(OptionOf(fd, IPPROTO_TCP, TCP_NODELAY), 0);
    EXPECT_EQ(OptionOf(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    EXPECT_LE(OptionOf(fd, SOL_SOCKET, SO_SNDBUF), 16384);
    close(fd);
  });
}

TEST(TcpOptionsTest, ListenersShareAPortOnlyIfAllAskForIt) {
  gyre::Run([](Scope&) -> Task<> {
    const ListenOptions shared = ListenOptions().set_reuse_port(true);
    TcpListener first = Listen(shared);
    const Endpoint where = *first.local_endpoint();
    EXPECT_TRUE(TcpListener::Bind(where, shared).ok());
    EXPECT_FALSE(TcpListener::Bind(where).ok());
    co_return;
  });
}

TEST(TcpIpv6Test, ConnectsOverLoopback) {
  gyre::Run([](Scope&) -> Task<> {
    absl::StatusOr<TcpListener> listener = TcpListener::Bind(*Endpoint::Parse("[::1]:0"));
    if (!listener.ok()) co_return;  // a machine without IPv6
    Pair pair = co_await ConnectTo(*listener);
    EXPECT_EQ(pair.server.peer_endpoint()->family(), AF_INET6);
  });
}

// A temporary would be gone before its bytes are.
template <class T>
concept CanSend = requires(TcpStream& stream, T&& bytes) {
  stream.Send(std::forward<T>(bytes));
};
static_assert(CanSend<std::string&> && CanSend<const std::string&> && CanSend<Buffer&> && CanSend<const char (&)[3]>);
static_assert(CanSend<std::string_view> && CanSend<std::span<const std::byte>> && CanSend<std::vector<std::byte>&>);
static_assert(!CanSend<std::string> && !CanSend<Buffer> && !CanSend<std::vector<std::byte>>);

}  // namespace
}  // namespace gyre
