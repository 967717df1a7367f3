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

}  // namespace gyre::internal
