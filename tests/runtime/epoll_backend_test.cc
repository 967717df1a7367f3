// What only the epoll backend can get wrong: each errno that a system call may give, stale events, spare system calls.
#include "gyre/runtime/backend/epoll_backend.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "gyre/io/endpoint.h"
#include "gyre/io/tcp_listener.h"
#include "gyre/io/tcp_stream.h"
#include "gyre/runtime/backend/sys_table.h"
#include "gyre/runtime/errors.h"
#include "gyre/runtime/log.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/with_scope.h"

namespace gyre {
namespace {

using namespace std::chrono_literals;
using internal::kRealSysTable;
using internal::ScopedSysTable;

template <class Body>
void RunOnEpoll(Body body) {
  gyre::Run(RunOptions().set_backend(BackendKind::kEpoll), body);
}

const BackendCounters& Counters() { return Loop::Current().backend().counters(); }

class Pair {
 public:
  Pair(TcpStream client, TcpStream server) : client(std::move(client)), server(std::move(server)) {}
  TcpStream client;
  TcpStream server;
};

Task<Pair> ConnectTo(TcpListener& listener) {
  absl::StatusOr<TcpStream> client = co_await TcpStream::Connect(*listener.local_endpoint());
  absl::StatusOr<TcpStream> server = co_await listener.Accept();
  co_return Pair(*std::move(client), *std::move(server));
}

Task<Pair> Connected() {
  TcpListener listener = *TcpListener::Bind(Endpoint::Loopback(0));
  co_return co_await ConnectTo(listener);
}

Task<> Say(TcpStream& to, std::string_view text) {
  absl::Status sent = co_await to.Send(text);
  EXPECT_TRUE(sent.ok()) << sent;
}

Task<std::string> Hear(TcpStream& from, size_t size) {
  std::string text;
  while (text.size() < size) {
    absl::StatusOr<Buffer> chunk = co_await from.Receive();
    if (!chunk.ok() || chunk->empty()) break;
    text += chunk->string_view();
  }
  co_return text;
}

// The next `failures` calls of one kind fail with `error`; the others go through.
struct Injection {
  int error = 0;
  int failures = 0;
  int calls = 0;

  bool Fails() {
    ++calls;
    if (failures <= 0) return false;
    --failures;
    errno = error;
    return true;
  }
};
Injection g_inject;

void Inject(int error, int failures = 1) { g_inject = {.error = error, .failures = failures}; }

int FailingAccept(int fd, sockaddr* address, socklen_t* length, int flags) {
  return g_inject.Fails() ? -1 : kRealSysTable.accept4(fd, address, length, flags);
}
ssize_t FailingRecv(int fd, void* into, size_t size, int flags) {
  return g_inject.Fails() ? -1 : kRealSysTable.recv(fd, into, size, flags);
}
ssize_t FailingSend(int fd, const void* bytes, size_t size, int flags) {
  return g_inject.Fails() ? -1 : kRealSysTable.send(fd, bytes, size, flags);
}
int FailingConnect(int fd, const sockaddr* address, socklen_t length) {
  return g_inject.Fails() ? -1 : kRealSysTable.connect(fd, address, length);
}
int FailingControl(int epoll_fd, int what, int fd, epoll_event* event) {
  return g_inject.Fails() ? -1 : kRealSysTable.epoll_ctl(epoll_fd, what, fd, event);
}
int FailingWait2(int epoll_fd, epoll_event* events, int max, const timespec* wait, const sigset_t* mask) {
  return g_inject.Fails() ? -1 : kRealSysTable.epoll_pwait2(epoll_fd, events, max, wait, mask);
}

size_t CountOpenFds() {
  size_t count = 0;
  for (int fd = 0; fd < 256; ++fd) count += fcntl(fd, F_GETFD) >= 0;
  return count;
}

// --- creation

TEST(EpollCreate, AFailureIsAStatusAndLeaksNothing) {
  const size_t before = CountOpenFds();
  ScopedSysTable sys;
  sys->epoll_ctl = [](int, int, int, epoll_event*) { return errno = ENOMEM, -1; };
  EXPECT_EQ(ErrnoOf(EpollBackend::Create().status()), ENOMEM);
  sys->eventfd = [](unsigned, int) { return errno = EMFILE, -1; };
  EXPECT_EQ(ErrnoOf(EpollBackend::Create().status()), EMFILE);
  sys->epoll_create1 = [](int) { return errno = ENFILE, -1; };
  EXPECT_EQ(ErrnoOf(EpollBackend::Create().status()), ENFILE);
  EXPECT_EQ(CountOpenFds(), before);
}

// --- waiting

TEST(EpollWait, IsRepeatedAfterASignal) {
  ScopedSysTable sys;
  sys->epoll_pwait2 = &FailingWait2;
  RunOnEpoll([](Scope&) -> Task<> {
    Inject(EINTR, 3);
    const TimePoint start = Loop::Current().ReadClock();
    co_await SleepFor(2ms);
    EXPECT_GE(Loop::Current().ReadClock() - start, 2ms);
    EXPECT_EQ(g_inject.failures, 0);
  });
}

TEST(EpollWait, WorksOnKernelsWithoutPwait2) {
  static int waits_ms = 0;
  for (const int error : {ENOSYS, EPERM}) {
    ScopedSysTable sys;
    sys->epoll_pwait2 = &FailingWait2;
    sys->epoll_wait = [](int epoll_fd, epoll_event* events, int max, int wait_ms) {
      waits_ms += wait_ms > 0;
      return kRealSysTable.epoll_wait(epoll_fd, events, max, wait_ms);
    };
    Inject(error, 1000);
    RunOnEpoll([](Scope&) -> Task<> {
      const TimePoint start = Loop::Current().ReadClock();
      co_await SleepFor(1500us);
      EXPECT_GE(Loop::Current().ReadClock() - start, 1500us);
      Pair pair = co_await Connected();
      co_await Say(pair.client, "hello");
      EXPECT_EQ(co_await Hear(pair.server, 5), "hello");
    });
    EXPECT_EQ(g_inject.calls, 1) << "asked once, and then no more";
  }
  EXPECT_GT(waits_ms, 0);
  EXPECT_LT(waits_ms, 20) << "rounded up: no spinning through the last millisecond";
}

TEST(EpollWait, WakesForAnotherThreadEachTime) {
  RunOnEpoll([](Scope&) -> Task<> {
    Loop& loop = Loop::Current();
    int rounds = 0;
    std::function<void()> step = [&] { ++rounds; };
    for (int i = 1; i <= 3; ++i) {
      std::thread other([&] { loop.Post(std::ref(step)); });
      while (rounds < i) co_await SleepFor(1ms);
      other.join();
    }
    EXPECT_EQ(rounds, 3);
  });
}

TEST(EpollWait, AWakeEndsAWaitWithoutEnd) {
  absl::StatusOr<std::unique_ptr<EpollBackend>> backend = EpollBackend::Create();
  ASSERT_TRUE(backend.ok());
  for (uint64_t i = 1; i <= 3; ++i) {  // edge-triggered and never read, yet each one counts
    (*backend)->Wake();
    (*backend)->Turn(kNever);
    EXPECT_EQ((*backend)->counters().wakes.value(), i);
  }
  (*backend)->Turn(TimePoint());
  EXPECT_EQ((*backend)->counters().events.value(), 3u);
}

// --- accept

class AcceptErrors : public ::testing::TestWithParam<int> {};

TEST_P(AcceptErrors, OfDeadConnectionsAreSkipped) {
  ScopedSysTable sys;
  sys->accept4 = &FailingAccept;
  RunOnEpoll([&](Scope&) -> Task<> {
    TcpListener listener = *TcpListener::Bind(Endpoint::Loopback(0));
    absl::StatusOr<TcpStream> client = co_await TcpStream::Connect(*listener.local_endpoint());
    Inject(GetParam(), 100);
    absl::StatusOr<TcpStream> server = co_await listener.Accept();
    EXPECT_TRUE(server.ok()) << server.status();
    EXPECT_EQ(g_inject.calls, 101);
  });
}

INSTANTIATE_TEST_SUITE_P(Transient, AcceptErrors,
                         ::testing::Values(EINTR, ECONNABORTED, EPROTO, EPERM, ENETDOWN, EHOSTUNREACH, ENETUNREACH,
                                           ENONET, ETIMEDOUT, EOPNOTSUPP));

class AcceptShortage : public ::testing::TestWithParam<int> {
 protected:
  static inline int lines_ = 0;
  void SetUp() override {
    lines_ = 0;
    SetLogSink(+[](std::string_view) { ++lines_; });
  }
  void TearDown() override { SetLogSink(nullptr); }
};

TEST_P(AcceptShortage, PausesAndGoesOnByItself) {
  ScopedSysTable sys;
  sys->accept4 = &FailingAccept;
  RunOnEpoll([&](Scope&) -> Task<> {
    TcpListener listener = *TcpListener::Bind(Endpoint::Loopback(0));
    absl::StatusOr<TcpStream> client = co_await TcpStream::Connect(*listener.local_endpoint());
    Inject(GetParam(), 2);
    const TimePoint start = Loop::Current().ReadClock();
    absl::StatusOr<TcpStream> server = co_await listener.Accept();
    EXPECT_TRUE(server.ok()) << server.status();
    EXPECT_GE(Loop::Current().ReadClock() - start, 15ms) << "5 and 10 ms";
    EXPECT_EQ(Counters().accept_pauses.value(), 2u);
    EXPECT_EQ(lines_, 1) << "one line a second at most";
  });
}

TEST_P(AcceptShortage, EndsAtOnceWhenThisLoopClosesADescriptor) {
  ScopedSysTable sys;
  sys->accept4 = &FailingAccept;
  RunOnEpoll([&](Scope& scope) -> Task<> {
    TcpListener listener = *TcpListener::Bind(Endpoint::Loopback(0));
    Pair first = co_await ConnectTo(listener);
    absl::StatusOr<TcpStream> client = co_await TcpStream::Connect(*listener.local_endpoint());
    Inject(GetParam(), 1);
    TaskHandle<> accept = scope.Spawn([&]() -> Task<> { EXPECT_TRUE((co_await listener.Accept()).ok()); });
    while (Counters().accept_pauses.value() == 0) co_await Yield();
    first.client.Close();
    for (int turn = 0; turn < 3; ++turn) co_await Yield();
    EXPECT_TRUE(accept.Done());
  });
}

TEST_P(AcceptShortage, APauseIsStoppedAndSoIsAClosedListenersAccept) {
  ScopedSysTable sys;
  sys->accept4 = &FailingAccept;
  RunOnEpoll([&](Scope& scope) -> Task<> {
    TcpListener listener = *TcpListener::Bind(Endpoint::Loopback(0));
    absl::StatusOr<TcpStream> client = co_await TcpStream::Connect(*listener.local_endpoint());
    Inject(GetParam(), 1000);
    TaskHandle<> accept = scope.Spawn([&]() -> Task<> { (co_await listener.Accept()).IgnoreError(); });
    while (Counters().accept_pauses.value() == 0) co_await Yield();
    accept.RequestStop();
    co_await accept.Join();
    absl::Status closed;
    accept = scope.Spawn([&]() -> Task<> { closed = (co_await listener.Accept()).status(); });
    while (Counters().accept_pauses.value() == 1) co_await Yield();
    listener.Close();
    co_await accept.Join();
    EXPECT_EQ(closed.code(), absl::StatusCode::kFailedPrecondition) << closed;
  });
}

INSTANTIATE_TEST_SUITE_P(All, AcceptShortage, ::testing::Values(EMFILE, ENFILE, ENOMEM, ENOBUFS));

// A process whose table is full but for the reserve. (setrlimit would do, but UBSan itself needs a descriptor or two.)
TEST_F(AcceptShortage, CanResetClientsInsteadWithTheDescriptorKeptInReserve) {
  static int reserve_fd = -1;
  ScopedSysTable sys;
  sys->open_reserve = [] { return reserve_fd = kRealSysTable.open_reserve(); };
  sys->close = [](int fd) {
    if (fd == reserve_fd) reserve_fd = -1;
    return kRealSysTable.close(fd);
  };
  sys->accept4 = [](int fd, sockaddr* address, socklen_t* length, int flags) {
    return reserve_fd >= 0 ? (errno = EMFILE, -1) : kRealSysTable.accept4(fd, address, length, flags);
  };
  RunOnEpoll([](Scope& scope) -> Task<> {
    const ListenOptions reset = ListenOptions().set_overload_policy(OverloadPolicy::kReset);
    TcpListener listener = *TcpListener::Bind(Endpoint::Loopback(0), reset);
    TaskHandle<> accept = scope.Spawn([&]() -> Task<> { (co_await listener.Accept()).IgnoreError(); });
    for (int i = 0; i < 3; ++i) {
      absl::StatusOr<TcpStream> client = co_await TcpStream::Connect(*listener.local_endpoint());
      absl::Status told = client.status();  // the reset may be faster than the connect
      if (client.ok()) told = (co_await client->Receive()).status();
      EXPECT_EQ(ErrnoOf(told), ECONNRESET) << told;
    }
    EXPECT_GE(reserve_fd, 0);
    accept.RequestStop();
    co_await accept.Join();
  });
}

// --- connect

TEST(EpollConnect, AnInterruptedConnectGoesOnByItself) {
  ScopedSysTable sys;
  sys->connect = [](int fd, const sockaddr* address, socklen_t length) {
    kRealSysTable.connect(fd, address, length);
    return errno = EINTR, -1;
  };
  RunOnEpoll([](Scope&) -> Task<> {
    Pair pair = co_await Connected();
    co_await Say(pair.client, "hello");
    EXPECT_EQ(co_await Hear(pair.server, 5), "hello");
  });
}

TEST(EpollConnect, ErrorsCloseTheDescriptor) {
  ScopedSysTable sys;
  sys->connect = &FailingConnect;
  for (const int error : {ECONNREFUSED, ETIMEDOUT, ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL, EAGAIN, EACCES, EPERM}) {
    RunOnEpoll([&](Scope&) -> Task<> {
      TcpListener listener = *TcpListener::Bind(Endpoint::Loopback(0));
      Inject(error);
      absl::StatusOr<TcpStream> client = co_await TcpStream::Connect(*listener.local_endpoint());
      EXPECT_EQ(ErrnoOf(client.status()), error) << client.status();
      EXPECT_EQ(Loop::Current().backend().live_descriptors(), 1u);
    });
  }
}

TEST(EpollConnect, AProcessWithoutDescriptorsGivesAnError) {
  ScopedSysTable sys;
  sys->socket = [](int, int, int) { return errno = EMFILE, -1; };
  RunOnEpoll([](Scope&) -> Task<> {
    absl::StatusOr<TcpStream> client = co_await TcpStream::Connect(Endpoint::Loopback(1));
    EXPECT_EQ(ErrnoOf(client.status()), EMFILE) << client.status();
    EXPECT_EQ(ErrnoOf(TcpListener::Bind(Endpoint::Loopback(0)).status()), EMFILE);
  });
}

// --- receive and send

TEST(EpollTransfer, InterruptionsNeverShow) {
  ScopedSysTable sys;
  RunOnEpoll([&](Scope&) -> Task<> {
    Pair pair = co_await Connected();
    sys->recv = &FailingRecv;
    co_await Say(pair.client, "hello");
    Inject(EINTR, 3);
    EXPECT_EQ(co_await Hear(pair.server, 5), "hello");
    sys->send = &FailingSend;
    sys->recv = kRealSysTable.recv;
    Inject(EINTR, 3);
    co_await Say(pair.client, "again");
    EXPECT_EQ(co_await Hear(pair.server, 5), "again");
  });
}

TEST(EpollTransfer, ErrorsReachTheOneThatWaitsWithTheirErrno) {
  ScopedSysTable sys;
  RunOnEpoll([&](Scope&) -> Task<> {
    Pair pair = co_await Connected();
    sys->recv = &FailingRecv;
    for (const int error : {ECONNRESET, ETIMEDOUT, EHOSTUNREACH, ENETDOWN, ENOTCONN, ENOMEM}) {
      co_await Say(pair.client, "x");
      Inject(error);
      absl::StatusOr<Buffer> chunk = co_await pair.server.Receive();
      EXPECT_EQ(ErrnoOf(chunk.status()), error) << chunk.status();
      EXPECT_EQ(Loop::Current().buffer_pool().leased(), 0u);
    }
    sys->send = &FailingSend;
    for (const int error : {EPIPE, ECONNRESET, ETIMEDOUT, ENETUNREACH, EHOSTUNREACH, ENOBUFS, ENOMEM, EPERM}) {
      Inject(error);
      absl::Status sent = co_await pair.client.Send("x");
      EXPECT_EQ(ErrnoOf(sent), error) << sent;
      EXPECT_NE(sent.message().find(pair.client.peer_endpoint()->ToString()), absl::string_view::npos) << sent;
    }
  });
}

TEST(EpollTransfer, AnErrorInTheMiddleOfASendBreaksTheStreamForSending) {
  ScopedSysTable sys;
  static int calls;
  calls = 0;
  RunOnEpoll([&](Scope& scope) -> Task<> {
    Pair pair = co_await Connected();
    sys->send = [](int fd, const void* bytes, size_t size, int flags) -> ssize_t {
      return ++calls == 2 ? (errno = ENOBUFS, -1) : kRealSysTable.send(fd, bytes, size, flags);
    };
    const std::string text(8'000'000, 'x');
    TaskHandle<> reader = scope.Spawn([&]() -> Task<> { (void)co_await Hear(pair.server, text.size()); });
    absl::Status sent = co_await pair.client.Send(text);
    EXPECT_EQ(ErrnoOf(sent), ENOBUFS) << sent;
    sent = co_await pair.client.Send("x");
    EXPECT_EQ(sent.code(), absl::StatusCode::kFailedPrecondition) << sent;
    pair.client.Close();
    co_await reader.Join();
  });
}

TEST(EpollTransfer, AShortSendIsFollowedByAWaitAndNotByAnotherTry) {
  ScopedSysTable sys;
  static int would_block;
  would_block = 0;
  RunOnEpoll([&](Scope& scope) -> Task<> {
    Pair pair = co_await Connected();
    EXPECT_TRUE(pair.client.SetSendBufferBytes(1).ok());
    sys->send = [](int fd, const void* bytes, size_t size, int flags) {
      const ssize_t sent = kRealSysTable.send(fd, bytes, size, flags);
      would_block += sent < 0 && errno == EAGAIN;
      return sent;
    };
    std::string text(300'000, 'x');
    for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i % 23);
    TaskHandle<> sender = scope.Spawn([&]() -> Task<> { co_await Say(pair.client, text); });
    const std::string received = co_await Hear(pair.server, text.size());
    EXPECT_TRUE(received == text);
    co_await sender.Join();
    EXPECT_LE(would_block, 2);
  });
}

TEST(EpollTransfer, UrgentDataHidesNothingThatFollowsIt) {
  RunOnEpoll([](Scope&) -> Task<> {
    Pair pair = co_await Connected();
    const int fd = pair.client.Release()->TakeFd();
    EXPECT_EQ(send(fd, "ab", 2, 0), 2);
    EXPECT_EQ(send(fd, "!", 1, MSG_OOB), 1);
    EXPECT_EQ(send(fd, "cd", 2, 0), 2);
    EXPECT_EQ(co_await Hear(pair.server, 4), "abcd");
    close(fd);
  });
}

TEST(EpollTransfer, BuffersGrowForBulkAndShrinkForChat) {
  RunOnEpoll([](Scope& scope) -> Task<> {
    Pair pair = co_await Connected();
    const std::string text(1'000'000, 'x');
    size_t largest = 0;
    TaskHandle<> sender = scope.Spawn([&]() -> Task<> { co_await Say(pair.client, text); });
    for (size_t received = 0; received < text.size();) {
      absl::StatusOr<Buffer> chunk = co_await pair.server.Receive();
      if (!chunk.ok() || chunk->empty()) break;
      received += chunk->size();
      largest = std::max(largest, chunk->size());
    }
    EXPECT_GT(largest, internal::BufferPool::kSmallBytes);
    co_await sender.Join();
    EXPECT_EQ(Loop::Current().buffer_pool().leased(), 0u);
  });
}

// --- registration

TEST(EpollRegister, AFailureIsTheOperationsError) {
  ScopedSysTable sys;
  for (const int error : {ENOMEM, ENOSPC, EPERM}) {
    RunOnEpoll([&](Scope&) -> Task<> {
      Pair pair = co_await Connected();
      sys->epoll_ctl = &FailingControl;
      Inject(error);
      absl::StatusOr<Buffer> chunk = co_await pair.server.Receive();
      EXPECT_EQ(ErrnoOf(chunk.status()), error) << chunk.status();
      co_await Say(pair.client, "hello");
      EXPECT_EQ(co_await Hear(pair.server, 5), "hello") << "it is tried again";
    });
    sys->epoll_ctl = kRealSysTable.epoll_ctl;
  }
}

TEST(EpollRegister, AnEntryLeftBehindIsTakenOver) {
  ScopedSysTable sys;
  static int changed;
  changed = 0;
  RunOnEpoll([&](Scope& scope) -> Task<> {
    Pair pair = co_await Connected();
    sys->epoll_ctl = [](int epoll_fd, int what, int fd, epoll_event* event) {
      const int result = kRealSysTable.epoll_ctl(epoll_fd, what, fd, event);
      changed += what == EPOLL_CTL_MOD;
      return what == EPOLL_CTL_ADD ? (errno = EEXIST, -1) : result;
    };
    TaskHandle<> reader = scope.Spawn([&]() -> Task<> { EXPECT_EQ(co_await Hear(pair.server, 5), "hello"); });
    co_await Yield();
    co_await Say(pair.client, "hello");
    co_await reader.Join();
  });
  EXPECT_EQ(changed, 1);
}

TEST(EpollRegister, EventsOfAClosedDescriptorThatLivesOnInACopyAreDropped) {
  RunOnEpoll([](Scope& scope) -> Task<> {
    Pair pair = co_await Connected();
    const int original = pair.server.Release()->TakeFd();
    TcpStream registered = *TcpStream::Adopt(original);
    TaskHandle<> reader = scope.Spawn([&]() -> Task<> { (co_await registered.Receive()).IgnoreError(); });
    co_await Yield();
    const int copy = dup(original);  // what a forked child holds
    registered.Close();
    co_await reader.Join();
    Pair other = co_await Connected();  // takes over the state block and the number
    reader = scope.Spawn([&]() -> Task<> { EXPECT_EQ(co_await Hear(other.server, 5), "hello"); });
    const uint64_t before = Counters().stale_events.value();
    co_await Say(pair.client, "for nobody");
    co_await SleepFor(1ms);
    EXPECT_GT(Counters().stale_events.value(), before);
    co_await Say(other.client, "hello");
    co_await reader.Join();
    close(copy);
  });
}

// --- cost

TEST(EpollCost, AnEchoedMessageCostsOneReceiveAndOneSendAndTheWaits) {
  RunOnEpoll([](Scope& scope) -> Task<> {
    Pair pair = co_await Connected();
    scope.Spawn(
        [](TcpStream peer) -> Task<> {
          for (;;) {
            absl::StatusOr<Buffer> chunk = co_await peer.Receive();
            if (!chunk.ok() || chunk->empty()) co_return;
            (co_await peer.Send(*chunk)).IgnoreError();
          }
        },
        std::move(pair.server));
    co_await Say(pair.client, "warm-up");
    EXPECT_EQ(co_await Hear(pair.client, 7), "warm-up");
    const uint64_t calls = Counters().syscalls.value();
    const uint64_t waits = Counters().waits.value();
    for (int i = 0; i < 100; ++i) {
      co_await Say(pair.client, "message");
      (void)co_await Hear(pair.client, 7);
    }
    const uint64_t waited = Counters().waits.value() - waits;
    EXPECT_EQ(Counters().syscalls.value() - calls - waited, 400u) << "100 messages, two ends, one receive and one send";
    EXPECT_LE(waited, 210u);
    pair.client.Close();
  });
}

TEST(EpollCost, AConnectionThatNeverWaitsIsNeverRegistered) {
  ScopedSysTable sys;
  static int controls;
  controls = 0;
  sys->epoll_ctl = [](int epoll_fd, int what, int fd, epoll_event* event) {
    ++controls;
    return kRealSysTable.epoll_ctl(epoll_fd, what, fd, event);
  };
  RunOnEpoll([](Scope&) -> Task<> {
    TcpListener listener = *TcpListener::Bind(Endpoint::Loopback(0));
    const int before = controls;
    Pair pair = co_await ConnectTo(listener);
    const int to_connect = controls - before;
    EXPECT_LE(to_connect, 1);
    co_await Say(pair.client, "hello");
    EXPECT_EQ(co_await Hear(pair.server, 5), "hello");
    EXPECT_EQ(controls - before, to_connect);
  });
}

}  // namespace
}  // namespace gyre
