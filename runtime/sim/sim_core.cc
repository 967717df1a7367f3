#include "gyre/runtime/sim/sim_core.h"

#include <cerrno>

#include "gyre/runtime/check.h"

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

void SimCore::ReportDeadlock(const std::string& what) const {
  if (!options.check_deadlock) return;
  if (on_deadlock) on_deadlock(what);
  GYRE_CHECK(false, what + "; seed " + std::to_string(seed));
}

void SimCore::CloseBare(int fd) noexcept {
  SimSocket* const socket = fds.Find(fd);
  fds.Close(fd);
  network.Close(*socket, /*reset=*/false);
}

}  // namespace gyre::internal
