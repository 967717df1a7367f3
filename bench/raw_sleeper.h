// RawSleeper: the least that a thread needs to sleep in epoll and be woken by another: what any event loop has to do.
//
// Thread-safety: Wake from any thread; Sleep by the one that it is for.
// Errors:        what the system refuses ends the process.
// Cost:          a write, and an epoll_wait. The eventfd is edge-triggered and never read, which is the cheapest way.
#ifndef GYRE_BENCH_RAW_SLEEPER_H_
#define GYRE_BENCH_RAW_SLEEPER_H_

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace gyre::bench {

class RawSleeper {
 public:
  RawSleeper() : event_(eventfd(0, EFD_CLOEXEC)), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    Check(event_ >= 0, "eventfd");
    Check(epoll_ >= 0, "epoll_create1");
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;
    Check(epoll_ctl(epoll_, EPOLL_CTL_ADD, event_, &event) == 0, "epoll_ctl");
  }
  RawSleeper(const RawSleeper&) = delete;
  RawSleeper& operator=(const RawSleeper&) = delete;
  ~RawSleeper() {
    close(event_);
    close(epoll_);
  }

  void Wake() const {
    const std::uint64_t one = 1;
    Check(write(event_, &one, sizeof(one)) == sizeof(one), "write(eventfd)");
  }
  // Until a Wake, also one that came before this.
  void Sleep() const {
    epoll_event event;
    while (epoll_wait(epoll_, &event, 1, /*timeout=*/-1) < 0) Check(errno == EINTR, "epoll_wait");
  }

 private:
  static void Check(bool is_well, const char* call) {
    if (is_well) return;
    std::perror(call);
    std::abort();
  }

  const int event_;
  const int epoll_;
};

}  // namespace gyre::bench

#endif  // GYRE_BENCH_RAW_SLEEPER_H_
