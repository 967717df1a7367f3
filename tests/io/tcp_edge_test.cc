// What attackers of the sockets found, each as the claim that had been broken.
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/io/endpoint.h"
#include "gyre/io/serve.h"
#include "gyre/io/tcp_listener.h"
#include "gyre/io/tcp_options.h"
#include "gyre/io/tcp_stream.h"
#include "gyre/runtime/backend/sys_table.h"
#include "gyre/runtime/errors.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/shutdown.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/try.h"
#include "gyre/runtime/with_scope.h"

namespace gyre {
namespace {

int g_accepts = 0;

// Out of descriptors for every first call, so that each round of shedding fails once and then drops one client.
TEST(TcpListener, ClosedWhileItShedsEndsTheAccept) {
  g_accepts = 0;
  internal::ScopedSysTable sys;
  sys->accept4 = [](int, sockaddr*, socklen_t*, int) {
    if (++g_accepts % 2 == 0) return ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    errno = EMFILE;
    return -1;
  };
  absl::Status ended;
  gyre::Run([&]() -> Task<> {
    ListenOptions options;
    options.set_overload_policy(OverloadPolicy::kReset);
    absl::StatusOr<TcpListener> bound = TcpListener::Bind(Endpoint::Loopback(0), options);
    if (!bound.ok()) co_return;
    TcpListener listener = *std::move(bound);
    auto body = [&](Scope& scope) -> Task<> {
      auto close = [&]() -> Task<> {
        listener.Close();
        co_return;
      };
      scope.Spawn(close);
      absl::StatusOr<TcpStream> peer = co_await listener.Accept();
      ended = peer.status();
    };
    co_await WithScope(body);
  });
  EXPECT_TRUE(absl::IsFailedPrecondition(ended)) << ended;
}

int g_dead = 0;

int AcceptAfterTheDead(int fd, sockaddr* address, socklen_t* length, int flags) {
  if (g_dead == 0) return internal::kRealSysTable.accept4(fd, address, length, flags);
  --g_dead;
  errno = ECONNABORTED;
  return -1;
}

TEST(TcpListener, TryAcceptPassesSomeThatHaveDiedAndSaysThatThereMayBeMore) {
  internal::ScopedSysTable sys;
  sys->accept4 = &AcceptAfterTheDead;
  auto root = []() -> Task<absl::Status> {
    TcpListener listener = co_await Try(TcpListener::Bind(Endpoint::Loopback(0)));
    const Endpoint where = co_await Try(listener.local_endpoint());
    const TcpStream client = co_await Try(co_await TcpStream::Connect(where));
    g_dead = 40;
    EXPECT_EQ(ErrnoOf(listener.TryAccept().status()), ECONNABORTED);
    EXPECT_EQ(ErrnoOf(listener.TryAccept().status()), ECONNABORTED);
    EXPECT_TRUE(listener.TryAccept().ok());
    EXPECT_EQ(ErrnoOf(listener.TryAccept().status()), EAGAIN);
    co_return absl::OkStatus();
  };
  const absl::Status status = gyre::Run(root);
  EXPECT_TRUE(status.ok()) << status;
}

// A Serve that is told to stop takes its backlog, however many of that have died.
TEST(Serve, TakesItsBacklogPastAnyNumberThatHaveDied) {
  internal::ScopedSysTable sys;
  sys->accept4 = &AcceptAfterTheDead;
  auto root = []() -> Task<absl::Status> {
    TcpListener listener = co_await Try(TcpListener::Bind(Endpoint::Loopback(0)));
    const Endpoint where = co_await Try(listener.local_endpoint());
    std::vector<TcpStream> clients;
    for (int i = 0; i < 3; ++i) clients.push_back(co_await Try(co_await TcpStream::Connect(where)));
    g_dead = 3000;
    const Shutdown shutdown(kForever);
    shutdown.Request();
    auto greet = [](TcpStream) -> Task<absl::Status> { co_return absl::OkStatus(); };
    const ServeReport report = co_await Try(co_await Serve(std::move(listener), greet, shutdown));
    EXPECT_EQ(report.ToString(), "3 served, 0 cut off");
    co_return absl::OkStatus();
  };
  const absl::Status status = gyre::Run(root);
  EXPECT_TRUE(status.ok()) << status;
}

void SendDescriptor(int socket, char byte) {
  iovec vector = {.iov_base = &byte, .iov_len = 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &socket, sizeof(socket));
  ASSERT_EQ(::sendmsg(socket, &message, 0), 1);
}

// A read stops at a passed descriptor, so a short one does not say that the socket is empty.
TEST(TcpStream, AdoptedUnixSocketIsReadPastAPassedDescriptor) {
  std::array<int, 2> pair;
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
  std::string seen;
  gyre::Run([&]() -> Task<> {
    absl::StatusOr<TcpStream> adopted = TcpStream::Adopt(pair[0]);
    if (!adopted.ok()) co_return;
    TcpStream stream = *std::move(adopted);
    auto body = [&](Scope& scope) -> Task<> {
      auto send = [&]() -> Task<> {
        for (int i = 0; i < 3; ++i) co_await Yield();
        SendDescriptor(pair[1], '1');
        EXPECT_EQ(::write(pair[1], "2", 1), 1);
      };
      scope.Spawn(send);
      while (seen.size() < 2) {
        std::array<std::byte, 100> bytes;
        absl::StatusOr<size_t> count = co_await stream.Receive(std::span<std::byte>(bytes));
        if (!count.ok() || *count == 0) break;
        seen.append(reinterpret_cast<const char*>(bytes.data()), *count);
      }
    };
    co_await WithScope(body);
  });
  ::close(pair[1]);
  EXPECT_EQ(seen, "12");
}

TEST(TcpStreamDeathTest, UsedAfterItsLoopHasEnded) {
  std::array<int, 2> pair;
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
  auto adopt = [&]() -> Task<absl::StatusOr<TcpStream>> { co_return TcpStream::Adopt(pair[0]); };
  absl::StatusOr<TcpStream> stream = gyre::Run(adopt);
  ASSERT_TRUE(stream.ok());
  EXPECT_DEATH(static_cast<void>(stream->ShutdownSend()), "after its loop had ended");
  ::close(pair[1]);
}

}  // namespace
}  // namespace gyre
