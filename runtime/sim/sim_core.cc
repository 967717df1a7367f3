#include "gyre/runtime/sim/sim_core.h"

#include <cerrno>

namespace gyre::internal {

int SimFdTable::Open(SimSocket& socket, size_t limit) {
  if (open_.size() >= limit) return -EMFILE;
  int fd = kFirst;
  for (const auto& [taken, other] : open_) {
    if (taken != fd) break;
    ++fd;
  }
  open_.emplace(fd, &socket);
  return fd;
}

void SimCore::CloseBare(int fd) noexcept {
  SimSocket* const socket = fds.Find(fd);
  fds.Close(fd);
  network.Close(*socket, /*reset=*/false);
}

}  // namespace gyre::internal
