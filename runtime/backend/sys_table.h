// SysTable: every system call that gyre's backends make, as one table that a test can replace.
//
// Thread-safety: read by every loop's thread; replaced only while no loop runs.
// Errors:        as the calls themselves: -1 and errno.
// Cost:          an indirect call, beside a system call of a microsecond.
#ifndef GYRE_RUNTIME_BACKEND_SYS_TABLE_H_
#define GYRE_RUNTIME_BACKEND_SYS_TABLE_H_

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>

#include <cstddef>

namespace gyre::internal {

struct SysTable {
  int (*socket)(int family, int type, int protocol);
  int (*accept4)(int fd, sockaddr* address, socklen_t* length, int flags);
  int (*connect)(int fd, const sockaddr* address, socklen_t length);
  int (*bind)(int fd, const sockaddr* address, socklen_t length);
  int (*listen)(int fd, int backlog);
  int (*setsockopt)(int fd, int level, int name, const void* value, socklen_t length);
  int (*getsockopt)(int fd, int level, int name, void* value, socklen_t* length);
  int (*getsockname)(int fd, sockaddr* address, socklen_t* length);
  int (*getpeername)(int fd, sockaddr* address, socklen_t* length);
  int (*shutdown)(int fd, int how);
  int (*close)(int fd);
  ssize_t (*recv)(int fd, void* into, size_t size, int flags);
  ssize_t (*send)(int fd, const void* bytes, size_t size, int flags);
  ssize_t (*sendmsg)(int fd, const msghdr* message, int flags);
  int (*set_nonblocking)(int fd);  // and close-on-exec
  int (*open_reserve)();           // a descriptor that does nothing
  int (*epoll_create1)(int flags);
  int (*epoll_ctl)(int epoll_fd, int what, int fd, epoll_event* event);
  int (*epoll_wait)(int epoll_fd, epoll_event* events, int events_max, int wait_ms);
  int (*epoll_pwait2)(int epoll_fd, epoll_event* events, int events_max, const timespec* wait, const sigset_t* mask);
  int (*eventfd)(unsigned count, int flags);
  int (*timerfd_create)(clockid_t clock, int flags);
  int (*timerfd_settime)(int fd, int flags, const itimerspec* alarm, itimerspec* before);
  ssize_t (*write)(int fd, const void* bytes, size_t size);
  ssize_t (*read)(int fd, void* into, size_t size);
  int (*poll)(pollfd* watched, nfds_t count, int timeout_ms);
  int (*clock_gettime)(clockid_t clock, timespec* now);
};

// What the system offers.
extern const SysTable kRealSysTable;

extern constinit SysTable g_sys_table;
inline const SysTable& Sys() { return g_sys_table; }

// For tests: changes entries for as long as it lives.
//
//   ScopedSysTable sys;
//   sys->accept4 = [](int, sockaddr*, socklen_t*, int) { errno = EMFILE; return -1; };
class ScopedSysTable {
 public:
  ScopedSysTable() : before_(g_sys_table) {}
  ScopedSysTable(const ScopedSysTable&) = delete;
  ScopedSysTable& operator=(const ScopedSysTable&) = delete;
  ~ScopedSysTable() { g_sys_table = before_; }

  SysTable* operator->() { return &g_sys_table; }

 private:
  SysTable before_;
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_BACKEND_SYS_TABLE_H_
