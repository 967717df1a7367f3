// Host: an event loop that is not gyre's, for tests of gyre inside one: epoll, for the level or for edges.
#ifndef GYRE_TESTS_SUPPORT_HOST_H_
#define GYRE_TESTS_SUPPORT_HOST_H_

#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

#include "gtest/gtest.h"
#include "gyre/runtime/check.h"
#include "gyre/runtime/embedded_loop.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"

namespace gyre::testing {

enum class Trigger { kLevel, kEdge };

class Host {
 public:
  explicit Host(Trigger trigger) : events_(trigger == Trigger::kEdge ? EPOLLIN | EPOLLET : EPOLLIN) {}
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;
  ~Host() { close(epoll_fd_); }

  template <class T>
  void Watch(const EmbeddedLoop<T>& guest) {
    epoll_event event = {.events = events_, .data = {.fd = guest.fd()}};
    EXPECT_EQ(epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, guest.fd(), &event), 0);
  }
  // The next readable descriptor; -1 if there is none.
  int Poll(int timeout_ms = 0) {
    epoll_event event;
    return epoll_wait(epoll_fd_, &event, 1, timeout_ms) == 1 ? event.data.fd : -1;
  }
  // ... which there must be sooner or later: a wake-up that is lost is a failure, not a hang.
  int Await() {
    const int fd = Poll(/*timeout_ms=*/60'000);
    GYRE_CHECK(fd >= 0, "the host loop waited in vain");
    return fd;
  }

  // Until `is_true()`, or the guest has ended.
  template <class T, class Predicate>
  void PollUntil(EmbeddedLoop<T>& guest, Predicate is_true) {
    while (!guest.IsDone() && !is_true()) {
      Await();
      guest.PollOnce();
    }
  }
  // Until the guest has nothing to do.
  template <class T>
  void PollUntilIdle(EmbeddedLoop<T>& guest) {
    while (!guest.IsDone() && Poll() >= 0) guest.PollOnce();
  }
  template <class Root>
  decltype(auto) Run(Root&& root) {
    auto guest = *StartEmbedded(std::forward<Root>(root));
    Watch(guest);
    PollUntil(guest, [] { return false; });
    return guest.Result();
  }

 private:
  const uint32_t events_;
  const int epoll_fd_ = epoll_create1(EPOLL_CLOEXEC);
};

template <class Body>
void InEveryHost(Body body) {
  for (const Trigger trigger : {Trigger::kLevel, Trigger::kEdge}) {
    SCOPED_TRACE(trigger == Trigger::kEdge ? "an edge-triggered host" : "a level-triggered host");
    Host host(trigger);
    body(host);
  }
}

// The level, whatever the host waits for.
inline bool IsReadable(int fd) {
  pollfd watched = {.fd = fd, .events = POLLIN, .revents = 0};
  return poll(&watched, 1, 0) == 1;
}

// For ever.
inline Task<> WaitForStop() { co_await SleepUntil(kNever); }

}  // namespace gyre::testing

#endif  // GYRE_TESTS_SUPPORT_HOST_H_
