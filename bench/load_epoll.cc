#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>

#include "gyre/bench/load_engine.h"

namespace gyre::bench {
namespace {

constexpr std::size_t kReadBytes = 64 * 1024;

class EpollDriver {
 public:
  EpollDriver(LoadSession& session, std::span<const int> sockets) : session_(session), sockets_(sockets) {}
  EpollDriver(const EpollDriver&) = delete;
  EpollDriver& operator=(const EpollDriver&) = delete;
  ~EpollDriver() { close(epoll_); }

  absl::Status Drive() {
    if (absl::Status status = Begin(); !status.ok()) return status;
    std::array<epoll_event, 512> events;
    while (!session_.IsDone()) {
      const int ready = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), kSilenceMsMax);
      if (ready < 0 && errno == EINTR) continue;
      if (ready < 0) return absl::ErrnoToStatus(errno, "epoll_wait");
      if (ready == 0) return SilenceError();
      for (int i = 0; i < ready; ++i) {
        const int number = static_cast<int>(events[i].data.u32);
        if (absl::Status status = OnReady(number, events[i].events); !status.ok()) return status;
      }
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Begin() {
    if (epoll_ < 0) return absl::ErrnoToStatus(errno, "epoll_create1");
    session_.Start(std::chrono::steady_clock::now());
    for (int number = 0; number < session_.connections(); ++number) {
      epoll_event event{};
      event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;  // the first edge, writable, sends the first messages
      event.data.u32 = static_cast<std::uint32_t>(number);
      if (epoll_ctl(epoll_, EPOLL_CTL_ADD, sockets_[number], &event) != 0) {
        return absl::ErrnoToStatus(errno, "epoll_ctl");
      }
    }
    return absl::OkStatus();
  }

  absl::Status OnReady(int number, std::uint32_t mask) {
    const bool has_input = (mask & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0;
    return has_input ? ReceiveAndSend(number) : SendAll(number);
  }

  absl::Status ReceiveAndSend(int number) {
    for (;;) {
      const ssize_t got = recv(sockets_[number], buffer_.get(), kReadBytes, 0);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && errno == EAGAIN) return SendAll(number);
      if (got < 0) return absl::ErrnoToStatus(errno, "recv");
      if (got == 0) return absl::AbortedError("the server closed a connection");
      const TimePoint now = std::chrono::steady_clock::now();
      const std::span<const char> bytes(buffer_.get(), got);
      if (absl::Status status = session_.Received(session_.stream(number), bytes, now); !status.ok()) return status;
      if (absl::Status status = SendAll(number); !status.ok()) return status;
      if (got < static_cast<ssize_t>(kReadBytes)) return absl::OkStatus();  // drained: a new edge follows
    }
  }

  // Sends until nothing is left or the socket is full; then the writable edge calls again.
  absl::Status SendAll(int number) {
    LoadStream& stream = session_.stream(number);
    while (stream.unsent_bytes() > 0) {
      const std::span<const char> bytes = session_.Unsent(stream);
      const ssize_t sent = send(sockets_[number], bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0 && errno == EAGAIN) return absl::OkStatus();
      if (sent < 0) return absl::ErrnoToStatus(errno, "send");
      session_.Sent(stream, sent);
    }
    return absl::OkStatus();
  }

  LoadSession& session_;
  const std::span<const int> sockets_;
  const int epoll_ = epoll_create1(EPOLL_CLOEXEC);
  const std::unique_ptr<char[]> buffer_ = std::make_unique<char[]>(kReadBytes);
};

}  // namespace

absl::Status DriveWithEpoll(LoadSession& session, std::span<const int> sockets) {
  return EpollDriver(session, sockets).Drive();
}

}  // namespace gyre::bench
