#include "gyre/bench/load_generator.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gyre/bench/load_engine.h"
#include "gyre/bench/load_stream.h"

namespace gyre::bench {
namespace {

// A connected, non-blocking socket with TCP_NODELAY.
absl::StatusOr<int> Connect(std::uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return absl::ErrnoToStatus(errno, "socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  const int on = 1;
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
    const int error = errno;
    close(fd);
    return absl::ErrnoToStatus(error, "connect");
  }
  return fd;
}

class Sockets {
 public:
  Sockets() = default;
  Sockets(const Sockets&) = delete;
  Sockets& operator=(const Sockets&) = delete;
  ~Sockets() {
    for (int fd : fds_) close(fd);
  }

  absl::Status ConnectAll(std::uint16_t port, int count) {
    fds_.reserve(count);
    for (int number = 0; number < count; ++number) {
      absl::StatusOr<int> fd = Connect(port);
      if (!fd.ok()) {
        return absl::Status(fd.status().code(),
                            absl::StrCat("connection ", number + 1, " of ", count, ": ", fd.status().message()));
      }
      fds_.push_back(*fd);
    }
    return absl::OkStatus();
  }

  std::span<const int> fds() const { return fds_; }

 private:
  std::vector<int> fds_;
};

}  // namespace

absl::Status SilenceError() {
  return absl::DeadlineExceededError(absl::StrCat("the server sent nothing for ", kSilenceMsMax / 1000, " s"));
}

LoadIo CheapestLoadIo() { return UringWorks() ? LoadIo::kUring : LoadIo::kEpoll; }

absl::StatusOr<LoadResult> GenerateLoad(std::uint16_t port, const LoadOptions& options, const WindowHooks& hooks) {
  LoadSession session(options, hooks);
  Sockets sockets;
  if (absl::Status status = sockets.ConnectAll(port, options.connections); !status.ok()) return status;
  const auto drive = options.io == LoadIo::kUring ? &DriveWithUring : &DriveWithEpoll;
  if (absl::Status status = drive(session, sockets.fds()); !status.ok()) return status;
  for (int number = 0; number < options.connections; ++number) {
    if (!session.stream(number).is_whole()) return absl::DataLossError("a connection ended with bytes missing");
  }
  if (session.result().messages == 0) return absl::InternalError("no message came back within the window");
  return session.result();
}

}  // namespace gyre::bench
