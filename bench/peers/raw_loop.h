// RawLoop: the least that an event loop needs to be sent messages: a stack with a flag for "asleep", and a
// RawSleeper.
//
// Thread-safety: Post from any thread; the rest on the loop's own.
// Lifetime:      messages belong to those who post them, and outlive their Run.
// Errors:        what the system refuses ends the process.
// Cost:          an atomic each way; a write and an epoll_wait where the loop sleeps. Nothing is allocated.
#ifndef GYRE_BENCH_PEERS_RAW_LOOP_H_
#define GYRE_BENCH_PEERS_RAW_LOOP_H_

#include <atomic>

#include "gyre/bench/raw_sleeper.h"

namespace gyre::bench {

// Whose Run is called on the loop.
class RawMessage {
 public:
  virtual void Run() = 0;

 protected:
  RawMessage() = default;
  ~RawMessage() = default;

 private:
  friend class RawLoop;
  RawMessage* next_ = nullptr;
};

class RawLoop {
 public:
  RawLoop() = default;
  RawLoop(const RawLoop&) = delete;
  RawLoop& operator=(const RawLoop&) = delete;

  void Post(RawMessage& message);

  // Runs messages until Stop is called by one of them, and then the rest of those it had taken.
  void Run();
  void Stop() { is_stopped_ = true; }

 private:
  class Parked final : public RawMessage {
    void Run() override {}
  };

  // The messages so far, the oldest first; null if there are none.
  RawMessage* TakeAll();
  void Sleep();

  const RawSleeper sleeper_;
  bool is_stopped_ = false;
  Parked parked_;
  // null (awake, empty), &parked_ (asleep, empty) or the newest of a stack of messages.
  // Post:release   publishes the message. Pairs with TakeAll:acquire, which sees those beneath it too: each push is a
  //                read-modify-write that continues their release sequences.
  // Sleep:relaxed  moves no data. A Post comes before it in this word's order, and it fails, or after, and wakes.
  std::atomic<RawMessage*> head_{nullptr};
};

}  // namespace gyre::bench

#endif  // GYRE_BENCH_PEERS_RAW_LOOP_H_
