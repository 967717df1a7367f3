// How the epoll backend works, and what keeps it right:
//
//  * Each descriptor is added once, edge-triggered, for both directions, at the first time that something has to wait
//    for it. Adding reports what is ready at that moment as an edge, so nothing is lost between the call that would
//    have blocked and the adding.
//  * Each direction has one bit: may_read and may_write say that a call is worth trying. EAGAIN clears the bit, and so
//    does a transfer shorter than asked for: the socket is then empty (or full), and asking again would cost a system
//    call to hear so. An event sets it. The kernel reports only what is true when it is asked, so an event without
//    EPOLLIN says nothing about reading.
//  * Two things make a short read say less: the end of the stream, which comes without a further edge if it came
//    together with the data, and urgent data, at whose mark a read stops. Either sets short_reads_tell_nothing for
//    good.
//  * A short send leaves SOCK_NOSPACE set in the kernel, so an EPOLLOUT edge follows. One call is asked for at most
//    2^30 bytes, because the kernel cuts at 2^31 - 4096 and a cut for that reason brings no edge.
//  * An event only queues the op that waits; the ready queue performs it. So the recv, the user's code and the send of
//    one connection run back to back on bytes that are in the cache, and no user code runs while events are being dealt
//    with.
//  * Inside another loop, the epoll descriptor itself is polled, and timers need one too, because nobody waits with a timeout:
//    a timerfd in the same set. All in the set is edge-triggered, so a wait takes it off the kernel's ready list, and the
//    descriptor is readable again only after something new. What is new wakes the outer poll even if it is on the list
//    already, so an edge-triggered outer loop hears of it.
//  * Blocks are never freed while the loop lives. An event carries index and generation; closing moves the generation
//    on, so events that were on their way, or that still come because a forked child holds a copy of the descriptor,
//    are recognised and dropped. Nothing is removed from epoll before closing: closing does that, but for such copies.
//
// Rejected: level-triggered with EPOLL_CTL_MOD per wait (one more system call per message); performing the transfer
// while events are dealt with (reads run far ahead of the code that uses them, and each connection needs a buffer).
#include "gyre/runtime/backend/epoll_backend.h"

#include <limits.h>
#include <linux/filter.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

#include "gyre/runtime/backend/epoll_block.h"
#include "gyre/runtime/backend/kernel_descriptors.h"
#include "gyre/runtime/check.h"
#include "gyre/runtime/errors.h"

namespace gyre {
namespace {

using internal::SysTable;

// No block has such an index.
constexpr uint64_t kWakeTag = ~uint64_t{0};
constexpr uint64_t kAlarmTag = kWakeTag - 1;

}  // namespace

absl::StatusOr<std::unique_ptr<EpollBackend>> EpollBackend::Create() {
  const SysTable& sys = internal::Sys();
  const int epoll_fd = sys.epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) return internal::StatusFromErrno(errno, "epoll_create1");
  const int wake_fd = sys.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (wake_fd < 0) {
    const int error = errno;
    sys.close(epoll_fd);
    return internal::StatusFromErrno(error, "eventfd");
  }
  // Edge-triggered, so that each write is an event, and nobody has to read it.
  epoll_event event = {.events = EPOLLIN | EPOLLET, .data = {.u64 = kWakeTag}};
  if (sys.epoll_ctl(epoll_fd, EPOLL_CTL_ADD, wake_fd, &event) < 0) {
    const int error = errno;
    sys.close(wake_fd);
    sys.close(epoll_fd);
    return internal::StatusFromErrno(error, "epoll_ctl");
  }
  return std::unique_ptr<EpollBackend>(new EpollBackend(epoll_fd, wake_fd));
}

EpollBackend::~EpollBackend() {
  DetachAll();
  if (reserve_fd_ >= 0) CloseFd(reserve_fd_, /*reset=*/false);
  if (alarm_fd_ >= 0) CloseFd(alarm_fd_, /*reset=*/false);
  CloseFd(wake_fd_, /*reset=*/false);
  CloseFd(epoll_fd_, /*reset=*/false);
}

TimePoint EpollBackend::ReadClock() {
  timespec now;
  internal::Sys().clock_gettime(CLOCK_MONOTONIC, &now);
  return TimePoint(std::chrono::seconds(now.tv_sec) + Duration(now.tv_nsec));
}

// --- state blocks

// Gives `fd` a block, or -ENOMEM; then `fd` is still the caller's.
int EpollBackend::NewBlock(int fd, Block** block) {
  if (free_.empty()) {
    try {
      if (blocks_.size() == blocks_.capacity()) {
        const size_t capacity = std::max<size_t>(64, 2 * blocks_.size());
        free_.reserve(capacity);
        blocks_.reserve(capacity);
      }
      blocks_.push_back(new Block(*this, static_cast<uint32_t>(blocks_.size())));
    } catch (const std::bad_alloc&) {
      return -ENOMEM;
    }
    *block = blocks_.back();
  } else {
    *block = blocks_[free_.back()];
    free_.pop_back();
  }
  (*block)->Open(fd);
  ++live_count_;
  return 0;
}

void EpollBackend::FreeBlock(Block& block) {
  if (block.has_unread) [[unlikely]] unread_.erase(block.index);
  block.Close();
  free_.push_back(block.index);
  --live_count_;
}

// Once, whatever it returns: the number is free afterwards even on EINTR, and may be somebody else's already.
void EpollBackend::CloseFd(int fd, bool reset) {
  if (reset) {
    const linger at_once = {.l_onoff = 1, .l_linger = 0};
    Call(&SysTable::setsockopt, fd, SOL_SOCKET, SO_LINGER, &at_once, static_cast<socklen_t>(sizeof(at_once)));
  }
  Call(&SysTable::close, fd);
}

void EpollBackend::EndWaiting(Op*& slot) {
  if (Op* op = std::exchange(slot, nullptr)) op->CompleteWith(-EBADF);
}

void EpollBackend::Retire(Descriptor& descriptor, bool reset) {
  Block& block = static_cast<Block&>(descriptor);
  EndWaiting(block.reader);
  EndWaiting(block.writer);
  const int fd = block.fd();
  FreeBlock(block);
  CloseFd(fd, reset);
}

int EpollBackend::Release(Descriptor& descriptor, std::vector<std::byte>& unread) {
  Block& block = static_cast<Block&>(descriptor);
  GYRE_CHECK(block.reader == nullptr && block.writer == nullptr, "Release was called while an operation was waiting");
  if (block.has_unread) {
    const Unread& left = unread_[block.index];
    try {
      unread.insert(unread.end(), left.bytes.begin() + static_cast<std::ptrdiff_t>(left.taken), left.bytes.end());
    } catch (const std::bad_alloc&) {
      return -ENOMEM;
    }
  }
  const int fd = block.fd();
  if (block.is_registered) Call(&SysTable::epoll_ctl, epoll_fd_, EPOLL_CTL_DEL, fd, nullptr);
  FreeBlock(block);
  return fd;
}

int EpollBackend::PutBack(Descriptor& descriptor, std::span<const std::byte> bytes) {
  Block& block = static_cast<Block&>(descriptor);
  try {
    unread_[block.index].bytes.assign(bytes.begin(), bytes.end());
  } catch (const std::bad_alloc&) {
    unread_.erase(block.index);
    return -ENOMEM;
  }
  block.has_unread = block.may_read = true;
  return 0;
}

DescriptorWorld& EpollBackend::world() { return internal::KernelDescriptors(); }

size_t EpollBackend::DetachAll() {
  const size_t open = live_count_;
  for (Block* block : blocks_) {
    if (!block->is_open()) {
      delete block;
      continue;
    }
    GYRE_CHECK(block->reader == nullptr && block->writer == nullptr,
               "internal: a loop ended with an operation waiting");
    CloseFd(block->fd(), /*reset=*/false);
    DetachBlock(*block);
  }
  blocks_.clear();
  free_.clear();
  unread_.clear();
  live_count_ = 0;
  return open;
}

// --- events

inline void EpollBackend::Deliver(const epoll_event& event) {
  const uint64_t tag = event.data.u64;
  if (tag >= kAlarmTag) [[unlikely]] {
    if (tag == kWakeTag) counters().wakes.Add(1);
    return;
  }
  const auto index = static_cast<uint32_t>(tag);
  Block* const block = index < blocks_.size() ? blocks_[index] : nullptr;
  if (block == nullptr || block->tag() != tag) [[unlikely]] {
    counters().stale_events.Add(1);
    return;
  }
  if (event.events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) [[unlikely]] block->short_reads_tell_nothing = true;
  if (event.events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
    block->may_read = true;
    if (block->reader != nullptr) block->reader->QueueForPerform();
  }
  if (event.events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
    block->may_write = true;
    if (block->writer != nullptr) [[unlikely]] block->writer->QueueForPerform();
  }
}

void EpollBackend::Turn(TimePoint until) {
  const int count = WaitForEvents(until);
  counters().events.Add(static_cast<uint64_t>(count));
  for (int i = 0; i < count; ++i) Deliver(events_[static_cast<size_t>(i)]);
}

int EpollBackend::WaitForEvents(TimePoint until) {
  int64_t wait_ns = 0;
  if (until == kNever) {
    wait_ns = -1;
  } else if (until > TimePoint()) {
    wait_ns = std::max<int64_t>(0, (until - ReadClock()).count());
  }
  counters().waits.Add(1);
  int count = -ENOSYS;
  if (has_pwait2_) {
    const timespec wait = {.tv_sec = wait_ns / 1'000'000'000, .tv_nsec = wait_ns % 1'000'000'000};
    count = CallForResult(&SysTable::epoll_pwait2, epoll_fd_, events_.data(), kEventsMax,
                          wait_ns < 0 ? nullptr : &wait, nullptr);
    // Linux before 5.11 says ENOSYS; so do sandboxes that don't know the call, or else EPERM.
    if (count == -ENOSYS || count == -EPERM) has_pwait2_ = false;
  }
  if (!has_pwait2_) {
    count = CallForResult(&SysTable::epoll_wait, epoll_fd_, events_.data(), kEventsMax, WaitMilliseconds(wait_ns));
  }
  GYRE_CHECK(count >= 0 || count == -EINTR, "epoll can't wait: was a descriptor closed that belongs to gyre?");
  return std::max(count, 0);
}

// Rounded up, so that a timer isn't polled for during its last millisecond.
int EpollBackend::WaitMilliseconds(int64_t wait_ns) {
  if (wait_ns < 0) return -1;
  return static_cast<int>(std::min<int64_t>(wait_ns / 1'000'000 + (wait_ns % 1'000'000 != 0), INT_MAX));
}

void EpollBackend::Wake() noexcept {
  const int error_before = errno;  // this may be a signal handler
  const uint64_t one = 1;
  while (internal::Sys().write(wake_fd_, &one, sizeof(one)) < 0 && errno == EINTR) continue;
  errno = error_before;
}

// --- inside another loop

int EpollBackend::OpenPollable() {
  alarm_fd_ = CallForResult(&SysTable::timerfd_create, CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (alarm_fd_ < 0) return alarm_fd_;
  // Edge-triggered, so that setting it anew is enough, and nobody has to read it.
  epoll_event event = {.events = EPOLLIN | EPOLLET, .data = {.u64 = kAlarmTag}};
  const int result = CallForResult(&SysTable::epoll_ctl, epoll_fd_, EPOLL_CTL_ADD, alarm_fd_, &event);
  return result < 0 ? result : epoll_fd_;
}

void EpollBackend::SetAlarm(TimePoint when) {
  const int64_t when_ns = std::max<int64_t>(1, when.time_since_epoch().count());  // 0 would mean never
  itimerspec alarm = {};
  alarm.it_value = {.tv_sec = when_ns / 1'000'000'000, .tv_nsec = when_ns % 1'000'000'000};
  const int result = CallForResult(&SysTable::timerfd_settime, alarm_fd_, TFD_TIMER_ABSTIME, &alarm, nullptr);
  GYRE_CHECK(result == 0, "the loop's timerfd can't be set: was a descriptor closed that belongs to gyre?");
}

// --- descriptors

int EpollBackend::OpenStream(int family, Descriptor** opened) {
  const int fd = CallForResult(&SysTable::socket, family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return fd;
  Block* block = nullptr;
  const int result = NewBlock(fd, &block);
  if (result < 0) CloseFd(fd, /*reset=*/false);
  *opened = block;
  return result;
}

// Nobody else reads the eventfd, so its count is the number of wakes so far.
void EpollBackend::AwaitWakes(uint64_t count) {
  for (uint64_t seen = 0; seen < count;) {
    uint64_t more = 0;
    if (Call(&SysTable::read, wake_fd_, &more, sizeof(more)) == sizeof(more)) {
      seen += more;
      continue;
    }
    GYRE_CHECK(errno == EAGAIN || errno == EINTR, "the loop's eventfd can't be read: was a descriptor closed that belongs to gyre?");
    pollfd readable = {.fd = wake_fd_, .events = POLLIN, .revents = 0};
    Call(&SysTable::poll, &readable, 1, -1);
  }
}

int EpollBackend::Adopt(int fd, Descriptor** adopted) {
  int type = 0;
  socklen_t length = sizeof(type);
  int result = CallForResult(&SysTable::getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &length);
  if (result == 0 && type != SOCK_STREAM) result = -EPROTOTYPE;
  int domain = 0;
  length = sizeof(domain);
  if (result == 0) result = CallForResult(&SysTable::getsockopt, fd, SOL_SOCKET, SO_DOMAIN, &domain, &length);
  Block* block = nullptr;
  if (result == 0) result = NewBlock(fd, &block);
  if (result < 0) return result;
  result = CallForResult(&SysTable::set_nonblocking, fd);
  if (result < 0) {
    FreeBlock(*block);  // and `fd` stays the caller's
    return result;
  }
  // A read of a Unix socket also stops where the peer passed descriptors.
  block->short_reads_tell_nothing = domain != AF_INET && domain != AF_INET6;
  *adopted = block;
  return 0;
}

int EpollBackend::Bind(Descriptor& descriptor, const sockaddr* address, socklen_t length) {
  return CallForResult(&SysTable::bind, descriptor.fd(), address, length);
}

int EpollBackend::Listen(Descriptor& descriptor, int backlog) {
  if (reserve_fd_ < 0) reserve_fd_ = Call(&SysTable::open_reserve);
  return CallForResult(&SysTable::listen, descriptor.fd(), backlog);
}

int EpollBackend::SteerByCpu(Descriptor& descriptor, uint32_t listeners) {
  std::array<sock_filter, 3> code = {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(SKF_AD_OFF + SKF_AD_CPU)),
      BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, listeners),
      BPF_STMT(BPF_RET | BPF_A, 0),
  }};
  const sock_fprog program = {.len = code.size(), .filter = code.data()};
  return CallForResult(&SysTable::setsockopt, descriptor.fd(), SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program,
                       static_cast<socklen_t>(sizeof(program)));
}

int EpollBackend::SetOption(Descriptor& descriptor, int level, int name, int value) {
  return CallForResult(&SysTable::setsockopt, descriptor.fd(), level, name, &value,
                       static_cast<socklen_t>(sizeof(value)));
}

int EpollBackend::GetOption(Descriptor& descriptor, int level, int name, int* value) {
  socklen_t length = sizeof(*value);
  return CallForResult(&SysTable::getsockopt, descriptor.fd(), level, name, value, &length);
}

int EpollBackend::LocalAddress(Descriptor& descriptor, sockaddr* address, socklen_t* length) {
  return CallForResult(&SysTable::getsockname, descriptor.fd(), address, length);
}

int EpollBackend::PeerAddress(Descriptor& descriptor, sockaddr* address, socklen_t* length) {
  return CallForResult(&SysTable::getpeername, descriptor.fd(), address, length);
}

int EpollBackend::Shutdown(Descriptor& descriptor, int how) {
  const int result = CallForResult(&SysTable::shutdown, descriptor.fd(), how);
  return result == -ENOTCONN ? 0 : result;  // the peer was faster
}

// The table of descriptors is full even for telling a client so; the reserve makes room for one, briefly.
bool EpollBackend::ShedOne(Descriptor& listener) {
  if (reserve_fd_ < 0) reserve_fd_ = Call(&SysTable::open_reserve);
  if (reserve_fd_ < 0) return false;
  CloseFd(reserve_fd_, /*reset=*/false);
  const int fd = CallForResult(&SysTable::accept4, listener.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd >= 0) CloseFd(fd, /*reset=*/true);
  if (fd == -EAGAIN) static_cast<Block&>(listener).may_read = false;  // so the next accept waits for one to come
  reserve_fd_ = Call(&SysTable::open_reserve);
  return fd >= 0;
}

}  // namespace gyre
