// The yardstick: an echo server on the bare system calls, one recv and one send per event.
//
// Edge-triggered, one epoll_ctl per connection for its whole life, one read buffer for all connections. A read that
// comes back short has emptied the socket, so no second recv is made only to hear EAGAIN. What a send cannot take is
// kept, and the connection reads no further until it is gone.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "gyre/bench/peers/loop_per_thread.h"
#include "gyre/bench/peers/peers.h"

namespace gyre::bench {
namespace {

[[noreturn]] void Failed(std::string_view what) { ServerFailed(kYardstick, what, errno); }

class RawEpollEcho {
 public:
  explicit RawEpollEcho(const LoopPlace& place) : stop_fd_(place.stop_fd) {
    if (epoll_ < 0) Failed("epoll_create1");
    Listen(place);
    Watch(listener_, EPOLLIN | EPOLLET);
    Watch(stop_fd_, EPOLLIN);
  }
  RawEpollEcho(const RawEpollEcho&) = delete;
  RawEpollEcho& operator=(const RawEpollEcho&) = delete;

  ~RawEpollEcho() {
    for (int fd = 0; fd < static_cast<int>(connections_.size()); ++fd) {
      if (connections_[fd].is_open) close(fd);
    }
    close(listener_);
    close(epoll_);
  }

  std::uint16_t Port() const {
    sockaddr_in address{};
    socklen_t bytes = sizeof(address);
    if (getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &bytes) != 0) Failed("getsockname");
    return ntohs(address.sin_port);
  }

  void Serve() {
    std::array<epoll_event, 512> events;
    for (;;) {
      const int ready = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), /*timeout=*/-1);
      if (ready < 0 && errno != EINTR) Failed("epoll_wait");
      for (int i = 0; i < ready; ++i) {
        const int fd = events[i].data.fd;
        if (fd == stop_fd_) return;
        if (fd == listener_) {
          AcceptAll();
        } else {
          OnReady(fd, events[i].events);
        }
      }
    }
  }

 private:
  struct Connection {
    bool is_open = false;
    std::string unsent;  // empty almost always
  };

  void Listen(const LoopPlace& place) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener_ < 0) Failed("socket");
    if (place.is_shared) ShareAddress(kYardstick, listener_);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(place.port);
    if (bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) Failed("bind");
    if (listen(listener_, kListenBacklog) != 0) Failed("listen");
  }

  void Watch(int fd, std::uint32_t mask) {
    epoll_event event{};
    event.events = mask;
    event.data.fd = fd;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) Failed("epoll_ctl");
  }

  void AcceptAll() {
    for (;;) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) {
        if (errno == EAGAIN) return;
        if (errno == EINTR || errno == ECONNABORTED) continue;
        Failed("accept4");
      }
      const int on = 1;
      if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0) Failed("setsockopt(TCP_NODELAY)");
      if (connections_.size() <= static_cast<std::size_t>(fd)) connections_.resize(fd + 1);
      connections_[fd].is_open = true;
      Watch(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    }
  }

  void OnReady(int fd, std::uint32_t mask) {
    Connection& connection = connections_[fd];
    const bool was_stalled = !connection.unsent.empty();
    if (was_stalled && !Flush(fd, connection)) return;
    const bool has_input = (mask & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0;
    // A stalled connection may have slept through the edge that announced its input.
    if (has_input || was_stalled) Echo(fd, connection, (mask & EPOLLRDHUP) != 0);
  }

  void Echo(int fd, Connection& connection, bool is_at_end) {
    for (;;) {
      const ssize_t got = recv(fd, buffer_.get(), kReadBytes, 0);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && errno == EAGAIN) return;
      if (got <= 0) return Close(fd);
      ssize_t sent = send(fd, buffer_.get(), got, MSG_NOSIGNAL);
      if (sent < 0) {
        if (errno != EAGAIN && errno != EINTR) return Close(fd);
        sent = 0;
      }
      if (sent < got) {
        connection.unsent.assign(buffer_.get() + sent, got - sent);
        if (!Flush(fd, connection)) return;
      }
      const bool is_drained = got < static_cast<ssize_t>(kReadBytes) && !is_at_end;
      if (is_drained) return;
    }
  }

  // True when nothing is left to send; false when the socket is full (an edge will follow) or the connection is gone.
  bool Flush(int fd, Connection& connection) {
    while (!connection.unsent.empty()) {
      const ssize_t sent = send(fd, connection.unsent.data(), connection.unsent.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0 && errno == EAGAIN) return false;
      if (sent < 0) {
        Close(fd);
        return false;
      }
      connection.unsent.erase(0, sent);
    }
    return true;
  }

  void Close(int fd) {
    close(fd);  // leaves the epoll set with its last descriptor
    connections_[fd] = Connection{};
  }

  const int stop_fd_;
  const int epoll_ = epoll_create1(EPOLL_CLOEXEC);
  int listener_ = -1;
  std::vector<Connection> connections_;  // by descriptor
  const std::unique_ptr<char[]> buffer_ = std::make_unique<char[]>(kReadBytes);
};

void ServeOneLoop(const LoopPlace& place) {
  RawEpollEcho server(place);
  place.on_listening(server.Port());
  server.Serve();
}

}  // namespace

void RunRawEpollEcho(const ServeRequest& request) { ServeOnEachLoop(request, &ServeOneLoop); }

}  // namespace gyre::bench
