#include "gyre/bench/peers/raw_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string_view>
#include <utility>

#include "gyre/bench/peers/echo_server.h"

namespace gyre::bench {
namespace {

[[noreturn]] void Failed(std::string_view what) { ServerFailed("raw_epoll", what, errno); }

}  // namespace

RawLoop::RawLoop() : event_(eventfd(0, EFD_CLOEXEC)), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  if (event_ < 0) Failed("eventfd");
  if (epoll_ < 0) Failed("epoll_create1");
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;  // each write is an edge, so that the eventfd is never read
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, event_, &event) != 0) Failed("epoll_ctl");
}

RawLoop::~RawLoop() {
  close(event_);
  close(epoll_);
}

void RawLoop::Post(RawMessage& message) {
  RawMessage* head = head_.load(std::memory_order_relaxed);
  do {
    message.next_ = head == &parked_ ? nullptr : head;
  } while (!head_.compare_exchange_weak(head, &message, std::memory_order_release, std::memory_order_relaxed));
  if (head == &parked_) Wake();
}

void RawLoop::Wake() const {
  const std::uint64_t one = 1;
  if (write(event_, &one, sizeof(one)) != sizeof(one)) Failed("write(eventfd)");
}

RawMessage* RawLoop::TakeAll() {
  RawMessage* newest = head_.exchange(nullptr, std::memory_order_acquire);
  if (newest == &parked_) return nullptr;
  RawMessage* oldest = nullptr;
  while (newest != nullptr) {
    RawMessage* const below = std::exchange(newest->next_, oldest);
    oldest = std::exchange(newest, below);
  }
  return oldest;
}

void RawLoop::Sleep() {
  RawMessage* expected = nullptr;
  if (!head_.compare_exchange_strong(expected, &parked_, std::memory_order_relaxed)) return;
  epoll_event event;
  while (epoll_wait(epoll_, &event, 1, /*timeout=*/-1) < 0) {
    if (errno != EINTR) Failed("epoll_wait");
  }
}

void RawLoop::Run() {
  is_stopped_ = false;
  while (!is_stopped_) {
    RawMessage* message = TakeAll();
    if (message == nullptr) Sleep();
    while (message != nullptr) {
      RawMessage* const next = message->next_;  // its Run may post it elsewhere
      message->Run();
      message = next;
    }
  }
}

}  // namespace gyre::bench
