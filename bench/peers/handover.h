// Handover: one way in which a loop has something done on another thread (a message to another loop, a job on a pool),
// as bench/throughput times it on gyre and on its peers.
//
// Thread-safety: a peer's `run` is called on a fresh thread, which becomes the loop's. It starts the other threads that
//                it needs, and has ended them when it returns.
// Errors:        what the world does to it ends the process through ServerFailed.
#ifndef GYRE_BENCH_PEERS_HANDOVER_H_
#define GYRE_BENCH_PEERS_HANDOVER_H_

#include <cstdint>
#include <span>
#include <string_view>

#include "gyre/runtime/time.h"

namespace gyre::bench {

// What a peer is asked to do, and what it tells: it starts its threads, has something done once, calls Start, has
// `operations` done, and calls Stop.
class HandoverRun {
 public:
  // `operations` is a multiple of `at_once`.
  HandoverRun(std::uint64_t operations, std::uint64_t at_once, std::span<const int> cpus)
      : operations_(operations), at_once_(at_once), cpus_(cpus) {}

  std::uint64_t operations() const { return operations_; }
  // How many are under way at any time: chains, in each of which one follows the other.
  std::uint64_t at_once() const { return at_once_; }
  std::uint64_t each() const { return operations_ / at_once_; }

  // One for each loop, in their order; the calling thread may use them all. Empty: nothing is pinned.
  std::span<const int> cpus() const { return cpus_; }
  // The calling thread is the one of that loop.
  void PinLoop(int loop) const;

  void Start();
  // `ran`: how many operations the other side has counted since Start.
  void Stop(std::uint64_t ran);

  Duration elapsed() const { return elapsed_; }
  Duration cpu() const { return cpu_; }  // of all the process's threads
  std::uint64_t ran() const { return ran_; }

 private:
  const std::uint64_t operations_;
  const std::uint64_t at_once_;
  const std::span<const int> cpus_;
  TimePoint started_at_{};
  Duration cpu_at_start_{};
  Duration elapsed_{};
  Duration cpu_{};
  std::uint64_t ran_ = 0;
};

struct HandoverPeer {
  // As tables show it. Names that begin with "gyre" are compared with each of the others.
  std::string_view name;
  void (*run)(HandoverRun& run);
};

struct Handover {
  // As --handover=... takes it.
  std::string_view name;
  std::string_view description;
  std::uint64_t at_once;
  // Several loops run on a CPU each, where there are enough. One is not pinned, nor are the pool's threads.
  int loops;
  std::span<const HandoverPeer> peers;
  // The peer that ratios refer to: what the operation costs at least.
  std::string_view yardstick;
};

// All that were built in, in the order in which tables show them.
std::span<const Handover> AllHandovers();

}  // namespace gyre::bench

#endif  // GYRE_BENCH_PEERS_HANDOVER_H_
