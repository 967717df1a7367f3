// Asio: post() between two io_contexts with a thread each; post() to a thread_pool, a thread for each CPU, and back.
//
// One thread runs each io_context, which it is told (a concurrency hint of 1).
#include <asio.hpp>
#include <atomic>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

#include "gyre/bench/cpus.h"
#include "gyre/bench/peers/handover_peers.h"

namespace gyre::bench {
namespace {

// An io_context that stays awake without work, until it is stopped.
class Context {
 public:
  void Run() {
    context_.restart();
    context_.run();
  }
  void Stop() { context_.stop(); }

  template <class F>
  void Post(F f) {
    asio::post(context_, std::move(f));
  }

 private:
  asio::io_context context_{1};
  const asio::executor_work_guard<asio::io_context::executor_type> work_ = asio::make_work_guard(context_);
};

// A context on a thread of its own.
class OtherContext {
 public:
  explicit OtherContext(const HandoverRun& run)
      : thread_([this, &run] {
          run.PinLoop(1);
          context_.Run();
        }) {}
  OtherContext(const OtherContext&) = delete;
  OtherContext& operator=(const OtherContext&) = delete;
  ~OtherContext() {
    context_.Post([this] { context_.Stop(); });
    thread_.join();
  }

  template <class F>
  void Post(F f) {
    context_.Post(std::move(f));
  }

 private:
  Context context_;
  std::thread thread_;
};

// Chains of operations: each is posted to `Other`, counts there, and posts its answer home, which begins the next.
template <class Other, class Count>
class Chains {
 public:
  Chains(Context& home, Other& other, Count count) : home_(home), other_(other), count_(count) {}

  void Run(std::uint64_t chains, std::uint64_t each) {
    open_ = chains;
    std::vector<std::uint64_t> left(chains, each);
    for (std::uint64_t& one : left) Next(one);
    home_.Run();
  }

 private:
  void Next(std::uint64_t& left) {
    --left;
    other_.Post([this, &left] {
      count_();
      home_.Post([this, &left] { Answered(left); });
    });
  }

  void Answered(std::uint64_t& left) {
    if (left > 0) return Next(left);
    if (--open_ == 0) home_.Stop();
  }

  Context& home_;
  Other& other_;
  Count count_;
  std::uint64_t open_ = 0;
};

class Pool {
 public:
  Pool() : pool_(UsableCpus().size()) {}

  template <class F>
  void Post(F f) {
    asio::post(pool_, std::move(f));
  }

 private:
  asio::thread_pool pool_;  // joins its threads when it is destroyed
};

}  // namespace

void RunAsioCalls(HandoverRun& run) {
  run.PinLoop(0);
  Context home;
  OtherContext other(run);
  std::uint64_t ran = 0;  // the other context's, until the last answer
  Chains chains(home, other, [&ran] { ++ran; });
  chains.Run(1, 1);
  ran = 0;
  run.Start();
  chains.Run(run.at_once(), run.each());
  run.Stop(ran);
}

void RunAsioMessages(HandoverRun& run) {
  run.PinLoop(0);
  Context home;
  OtherContext other(run);
  Chains there_and_back(home, other, [] {});
  there_and_back.Run(1, 1);
  std::uint64_t ran = 0;  // the other context's, until it has posted back
  home.Post([&] {
    run.Start();
    for (std::uint64_t i = 0; i < run.operations(); ++i) other.Post([&ran] { ++ran; });
    other.Post([&home] { home.Post([&home] { home.Stop(); }); });
  });
  home.Run();
  run.Stop(ran);
}

void RunAsioOffload(HandoverRun& run) {
  Context home;
  Pool pool;
  std::atomic<std::uint64_t> ran{0};  // a count, relaxed
  Chains chains(home, pool, [&ran] { ran.fetch_add(1, std::memory_order_relaxed); });
  chains.Run(1, 1);
  ran.store(0, std::memory_order_relaxed);
  run.Start();
  chains.Run(run.at_once(), run.each());
  run.Stop(ran.load(std::memory_order_relaxed));
}

}  // namespace gyre::bench
