// gyre inside an epoll loop of one's own: an echo server, which is one more descriptor to the loop.
//
//   embed_epoll 7777
//
// The host watches for SIGTERM and SIGINT, and asks its guest to stop.
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "gyre/gyre.h"

using namespace std::chrono_literals;

namespace {

gyre::Task<absl::Status> Echo(gyre::TcpStream peer) {
  for (;;) {
    gyre::Buffer chunk = co_await gyre::Try(co_await peer.Receive());
    if (chunk.empty()) co_return absl::OkStatus();
    co_await gyre::Try(co_await peer.Send(chunk));
  }
}

// For ever, or until it is stopped.
gyre::Task<absl::Status> Serve(uint16_t port) {
  gyre::TcpListener listener = co_await gyre::Try(gyre::TcpListener::Bind(gyre::Endpoint::Loopback(port)));
  const gyre::Endpoint where = co_await gyre::Try(listener.local_endpoint());
  std::printf("listening on %s\n", where.ToString().c_str());
  std::fflush(stdout);
  auto never = gyre::SleepUntil(gyre::kNever);
  co_await gyre::Try(co_await gyre::Serve(std::move(listener), Echo, 0s, std::move(never)));
  co_return absl::OkStatus();
}

// Readable when the process is asked to end.
int OpenSignals() {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  return signalfd(-1, &ends, SFD_CLOEXEC);
}

void Watch(int epoll_fd, int fd) {
  epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

}  // namespace

int main(int argc, char** argv) {
  const int signal_fd = OpenSignals();
  const auto port = static_cast<uint16_t>(argc > 1 ? std::atoi(argv[1]) : 7777);
  absl::StatusOr<gyre::EmbeddedLoop<absl::Status>> guest = gyre::StartEmbedded(Serve(port));
  if (!guest.ok()) return 1;
  const int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  Watch(epoll_fd, signal_fd);
  Watch(epoll_fd, guest->fd());
  while (!guest->IsDone()) {
    epoll_event event;
    if (epoll_wait(epoll_fd, &event, 1, -1) != 1) continue;  // interrupted
    if (event.data.fd == guest->fd()) {
      guest->PollOnce();  // gyre's tasks run in here, and nowhere else
    } else {
      signalfd_siginfo signal;
      if (read(signal_fd, &signal, sizeof(signal)) == sizeof(signal)) guest->RequestStop("a signal");
    }
  }
  close(epoll_fd);
  close(signal_fd);
  const absl::Status status = guest->Result();
  std::printf("%s\n", absl::IsCancelled(status) ? "stopped" : status.ToString().c_str());
  return absl::IsCancelled(status) ? 0 : 1;
}
