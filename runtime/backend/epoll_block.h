// The state block of EpollBackend: private to its two source files.
#ifndef GYRE_RUNTIME_BACKEND_EPOLL_BLOCK_H_
#define GYRE_RUNTIME_BACKEND_EPOLL_BLOCK_H_

#include <cerrno>
#include <cstdint>

#include "gyre/runtime/backend/epoll_backend.h"

namespace gyre {

// One cache line: of a thousand connections' blocks few are in the cache when their turn comes.
class alignas(64) EpollBackend::Block final : public Descriptor {
 public:
  Block(EpollBackend& backend, uint32_t index) : Descriptor(backend, -1), index(index) {
    static_assert(sizeof(Block) == 64);
  }

  uint64_t tag() const { return uint64_t{generation} << 32 | index; }
  bool is_open() const { return fd_ >= 0; }

  void Open(int fd) {
    fd_ = fd;
    is_send_broken = is_registered = short_reads_tell_nothing = wants_large = has_unread = false;
    may_read = may_write = true;
  }
  void Close() {
    fd_ = -1;
    ++generation;
  }

  const uint32_t index;
  uint32_t generation = 0;
  bool is_registered = false;
  bool may_read = true;
  bool may_write = true;
  bool short_reads_tell_nothing = false;
  bool wants_large = false;  // the last receive filled a small buffer
  bool has_unread = false;   // some bytes are in unread_
};

template <class F, class... Args>
int EpollBackend::CallForResult(F* internal::SysTable::* call, Args... args) {
  const int result = Call(call, args...);
  return result < 0 ? -errno : result;
}

}  // namespace gyre

#endif  // GYRE_RUNTIME_BACKEND_EPOLL_BLOCK_H_
