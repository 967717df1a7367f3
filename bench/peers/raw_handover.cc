// The yardsticks: messages between two RawLoops; jobs by oneTBB's enqueue, whose threads send the loop a message.
//
// Nothing is allocated, but for what oneTBB does: each chain is one message that travels.
#include <tbb/task_arena.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "gyre/bench/peers/handover_peers.h"
#include "gyre/bench/peers/raw_loop.h"

namespace gyre::bench {
namespace {

// Ends the loop that runs it.
class StopMessage final : public RawMessage {
 public:
  explicit StopMessage(RawLoop& loop) : loop_(loop) {}
  void Run() override { loop_.Stop(); }

 private:
  RawLoop& loop_;
};

// A loop on a thread of its own.
class OtherLoop {
 public:
  explicit OtherLoop(const HandoverRun& run)
      : thread_([this, &run] {
          run.PinLoop(1);
          loop_.Run();
        }) {}
  OtherLoop(const OtherLoop&) = delete;
  OtherLoop& operator=(const OtherLoop&) = delete;
  ~OtherLoop() {
    loop_.Post(stop_);
    thread_.join();
  }

  RawLoop& loop() { return loop_; }

 private:
  RawLoop loop_;
  StopMessage stop_{loop_};
  std::thread thread_;
};

// A message that leaves the home loop and comes back, `left` times; the last of `open` chains to end stops the loop.
class Chain : public RawMessage {
 public:
  Chain(RawLoop& home, std::uint64_t left, std::uint64_t& open) : home_(home), left_(left), open_(open) { ++open_; }

  // Home has it: it came back, or is to leave for the first time.
  void LeaveOrEnd() {
    if (left_ == 0) {
      if (--open_ == 0) home_.Stop();
      return;
    }
    --left_;
    is_home_ = false;
    Leave();
  }

 protected:
  ~Chain() = default;

  virtual void Leave() = 0;
  // On the other side.
  void GoHome() {
    is_home_ = true;
    home_.Post(*this);
  }
  bool is_home() const { return is_home_; }

 private:
  RawLoop& home_;
  std::uint64_t left_;
  std::uint64_t& open_;
  bool is_home_ = true;
};

class CallChain final : public Chain {
 public:
  CallChain(RawLoop& home, std::uint64_t left, std::uint64_t& open, RawLoop& other, std::uint64_t& ran)
      : Chain(home, left, open), other_(other), ran_(ran) {}

  void Run() override {
    if (is_home()) return LeaveOrEnd();
    ++ran_;
    GoHome();
  }

 private:
  void Leave() override { other_.Post(*this); }

  RawLoop& other_;
  std::uint64_t& ran_;  // the other loop's, until all chains are home
};

class JobChain final : public Chain {
 public:
  JobChain(RawLoop& home, std::uint64_t left, std::uint64_t& open, tbb::task_arena& arena,
           std::atomic<std::uint64_t>& ran)
      : Chain(home, left, open), arena_(arena), ran_(ran) {}

  void Run() override { LeaveOrEnd(); }

 private:
  void Leave() override {
    arena_.enqueue([this] {
      ran_.fetch_add(1, std::memory_order_relaxed);
      GoHome();
    });
  }

  tbb::task_arena& arena_;
  std::atomic<std::uint64_t>& ran_;  // a count, relaxed
};

// Runs `chains` chains of `each` operations, made by make(chains, left, open), to their end.
template <class C>
void RunChains(RawLoop& home, std::uint64_t chains, std::uint64_t each,
               const std::function<void(std::deque<C>&, std::uint64_t left, std::uint64_t& open)>& make) {
  std::deque<C> all;
  std::uint64_t open = 0;
  for (std::uint64_t i = 0; i < chains; ++i) make(all, each, open);
  for (C& chain : all) chain.LeaveOrEnd();
  home.Run();
}

class CountMessage final : public RawMessage {
 public:
  explicit CountMessage(std::uint64_t& ran) : ran_(ran) {}
  void Run() override { ++ran_; }

 private:
  std::uint64_t& ran_;
};

}  // namespace

void RunRawCalls(HandoverRun& run) {
  run.PinLoop(0);
  RawLoop home;
  OtherLoop other(run);
  std::uint64_t ran = 0;
  const auto make = [&](std::deque<CallChain>& all, std::uint64_t left, std::uint64_t& open) {
    all.emplace_back(home, left, open, other.loop(), ran);
  };
  RunChains<CallChain>(home, 1, 1, make);
  ran = 0;
  run.Start();
  RunChains<CallChain>(home, run.at_once(), run.each(), make);
  run.Stop(ran);
}

void RunRawMessages(HandoverRun& run) {
  run.PinLoop(0);
  RawLoop home;
  OtherLoop other(run);
  std::uint64_t ran = 0;
  std::uint64_t answers = 0;
  std::uint64_t open = 0;
  std::vector<CountMessage> messages(run.operations(), CountMessage(ran));
  CallChain first(home, 1, open, other.loop(), answers);
  first.LeaveOrEnd();
  home.Run();
  CallChain last(home, 1, open, other.loop(), answers);
  run.Start();
  for (CountMessage& message : messages) other.loop().Post(message);
  last.LeaveOrEnd();
  home.Run();
  run.Stop(ran);
}

void RunRawOffload(HandoverRun& run) {
  tbb::task_arena arena;
  RawLoop home;
  std::atomic<std::uint64_t> ran{0};
  const auto make = [&](std::deque<JobChain>& all, std::uint64_t left, std::uint64_t& open) {
    all.emplace_back(home, left, open, arena, ran);
  };
  RunChains<JobChain>(home, 1, 1, make);
  ran.store(0, std::memory_order_relaxed);
  run.Start();
  RunChains<JobChain>(home, run.at_once(), run.each(), make);
  run.Stop(ran.load(std::memory_order_relaxed));
}

}  // namespace gyre::bench
