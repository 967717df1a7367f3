#include "gyre/bench/peers/raw_loop.h"

#include <utility>

namespace gyre::bench {

void RawLoop::Post(RawMessage& message) {
  RawMessage* head = head_.load(std::memory_order_relaxed);
  do {
    message.next_ = head == &parked_ ? nullptr : head;
  } while (!head_.compare_exchange_weak(head, &message, std::memory_order_release, std::memory_order_relaxed));
  if (head == &parked_) sleeper_.Wake();
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
  if (head_.compare_exchange_strong(expected, &parked_, std::memory_order_relaxed)) sleeper_.Sleep();
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
