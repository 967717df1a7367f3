#include "gyre/runtime/backend/sys_table.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace gyre::internal {
namespace {

int SetNonblocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) return -1;
  return ::fcntl(fd, F_SETFD, FD_CLOEXEC);
}

int OpenReserve() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

// glibc declares some address parameters as a transparent union, which a function pointer can't name.
int Accept4(int fd, sockaddr* address, socklen_t* length, int flags) { return ::accept4(fd, address, length, flags); }
int Connect(int fd, const sockaddr* address, socklen_t length) { return ::connect(fd, address, length); }
int Bind(int fd, const sockaddr* address, socklen_t length) { return ::bind(fd, address, length); }
int LocalName(int fd, sockaddr* address, socklen_t* length) { return ::getsockname(fd, address, length); }
int PeerName(int fd, sockaddr* address, socklen_t* length) { return ::getpeername(fd, address, length); }

// The two calls of every message go past glibc's wrappers: in a process with threads those make each call a cancellation
// point, at two atomic exchanges a call. A loop's thread must not be cancelled with pthread_cancel anyway. The thread
// sanitizer has to see the wrappers.
#if defined(__SANITIZE_THREAD__)
#define GYRE_INTERNAL_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define GYRE_INTERNAL_TSAN 1
#endif
#endif
ssize_t Receive(int fd, void* into, size_t size, int flags) {
#ifdef GYRE_INTERNAL_TSAN
  return ::recv(fd, into, size, flags);
#else
  return ::syscall(SYS_recvfrom, fd, into, size, flags, nullptr, nullptr);
#endif
}
ssize_t Send(int fd, const void* from, size_t size, int flags) {
#ifdef GYRE_INTERNAL_TSAN
  return ::send(fd, from, size, flags);
#else
  return ::syscall(SYS_sendto, fd, from, size, flags, nullptr, 0);
#endif
}

constexpr SysTable MakeRealSysTable() {
  return SysTable{
      .socket = &::socket,
      .accept4 = &Accept4,
      .connect = &Connect,
      .bind = &Bind,
      .listen = &::listen,
      .setsockopt = &::setsockopt,
      .getsockopt = &::getsockopt,
      .getsockname = &LocalName,
      .getpeername = &PeerName,
      .shutdown = &::shutdown,
      .close = &::close,
      .recv = &Receive,
      .send = &Send,
      .sendmsg = &::sendmsg,
      .set_nonblocking = &SetNonblocking,
      .open_reserve = &OpenReserve,
      .epoll_create1 = &::epoll_create1,
      .epoll_ctl = &::epoll_ctl,
      .epoll_wait = &::epoll_wait,
      .epoll_pwait2 = &::epoll_pwait2,
      .eventfd = &::eventfd,
      .write = &::write,
      .read = &::read,
      .poll = &::poll,
      .clock_gettime = &::clock_gettime,
  };
}

}  // namespace

constinit const SysTable kRealSysTable = MakeRealSysTable();
constinit SysTable g_sys_table = MakeRealSysTable();

}  // namespace gyre::internal
