// SimCore: what a simulated world consists of, as its backends see it. SimWorld owns it.
//
// Thread-safety: none; the simulation's thread.
#ifndef GYRE_RUNTIME_SIM_SIM_CORE_H_
#define GYRE_RUNTIME_SIM_SIM_CORE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "gyre/runtime/bare_descriptor.h"
#include "gyre/runtime/internal/rng.h"
#include "gyre/runtime/sim/sim_events.h"
#include "gyre/runtime/sim/sim_network.h"
#include "gyre/runtime/sim/sim_options.h"
#include "gyre/runtime/time.h"

namespace gyre::internal {

// One process's descriptors: numbers are given lowest first, as a kernel does, so that reuse bugs show.
class SimFdTable {
 public:
  // -EMFILE when there are `limit` open ones.
  int Open(SimSocket& socket, size_t limit);
  void Close(int fd) { open_.erase(fd); }
  // Null if it isn't open.
  SimSocket* Find(int fd) const {
    const auto found = open_.find(fd);
    return found == open_.end() ? nullptr : found->second;
  }
  size_t size() const { return open_.size(); }

 private:
  static constexpr int kFirst = 3;

  std::map<int, SimSocket*> open_;
};

struct SimCore final : DescriptorWorld {
  SimCore(uint64_t its_seed, const testing::SimOptions& wanted)
      : seed(its_seed), options(wanted), rng(seed), scheduling_rng(seed ^ 0x5C8ED01E), network(events, rng, options) {}

  // As a kernel does it: bytes that were received, though not used, are no reason for a reset.
  void CloseBare(int fd) noexcept override;

  const uint64_t seed;
  testing::SimOptions options;
  SimEvents events;
  Rng rng;             // the network and the backend
  Rng scheduling_rng;  // the ready queue
  SimNetwork network;
  SimFdTable fds;
  // At random between the two.
  Duration Between(Duration min, Duration max) {
    if (max <= min) return min;
    return min + Duration(static_cast<int64_t>(rng.Below(static_cast<uint64_t>((max - min).count()) + 1)));
  }
  // `what`: how little can happen any more. Returns only if SimOptions::check_deadlock is off.
  void ReportDeadlock(const std::string& what) const;

  uint64_t submitted[5] = {};  // operations by opcode, for SimOptions::Fail
  std::function<void(const std::string&)> on_deadlock;  // told before the check failure, if set; need not return
  // Wakes of backends that take turns.
  // SimBackend::Wake:release  behind its flag. SimHost:acquire: a flag that it does not see set will count once more.
  std::atomic<uint64_t> wakes{0};
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_SIM_SIM_CORE_H_
