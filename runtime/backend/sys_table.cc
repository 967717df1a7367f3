#include "gyre/runtime/backend/sys_table.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>

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

// The two calls of every message go past glibc: in a process with threads its wrappers make each call a cancellation
// point, at two atomic exchanges a call, and syscall() is code in another page, which the processor has to fetch anew
// after each system call. A loop's thread must not be cancelled with pthread_cancel anyway. The sanitizers have to see
// the wrappers.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define GYRE_INTERNAL_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define GYRE_INTERNAL_SANITIZED 1
#endif
#endif

#ifdef GYRE_INTERNAL_SANITIZED
ssize_t Receive(int fd, void* into, size_t size, int flags) { return ::recv(fd, into, size, flags); }
ssize_t Send(int fd, const void* from, size_t size, int flags) { return ::send(fd, from, size, flags); }
#else

// recvfrom and sendto without an address: -1 and errno, as the wrappers say it.
inline ssize_t CallKernel(long number, long fd, const void* bytes, size_t size, long flags) {
#ifdef __x86_64__
  long result = number;
  register long fourth asm("r10") = flags;
  register long address asm("r8") = 0;
  register long address_length asm("r9") = 0;
  asm volatile("syscall"
               : "+a"(result)
               : "D"(fd), "S"(bytes), "d"(size), "r"(fourth), "r"(address), "r"(address_length)
               : "rcx", "r11", "memory");
  if (result >= 0) [[likely]] return result;
  errno = static_cast<int>(-result);
  return -1;
#else
  return ::syscall(number, fd, bytes, size, flags, nullptr, nullptr);
#endif
}

ssize_t Receive(int fd, void* into, size_t size, int flags) {
  return CallKernel(SYS_recvfrom, fd, into, size, flags);
}
ssize_t Send(int fd, const void* from, size_t size, int flags) { return CallKernel(SYS_sendto, fd, from, size, flags); }
#endif

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
      .timerfd_create = &::timerfd_create,
      .timerfd_settime = &::timerfd_settime,
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
