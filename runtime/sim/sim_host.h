// SimHost: the loops of a Runtime in a simulated world: all on one thread, turn by turn, in an order of the seed's.
//
// They share the world's clock, network and events. Waking a loop that sleeps is an event, too, and takes a while. What
// happens to a loop's sockets during another one's turn, it learns in its own. Time passes only when every loop sleeps;
// or when they have been busy at one instant for SimOptions::busy_turns_max turns each.
//
// Thread-safety: none; the simulation's thread. Other threads may post into the loops (see SimBackend).
// Lifetime:      the world's.
// Errors:        nothing can happen any more, and a loop has not ended: a check failure that says what each waits for.
// Cost:          of a turn, a look at every loop.
#ifndef GYRE_RUNTIME_SIM_SIM_HOST_H_
#define GYRE_RUNTIME_SIM_SIM_HOST_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gyre/runtime/backend.h"
#include "gyre/runtime/backend/sim_backend.h"
#include "gyre/runtime/internal/loop_host.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/sim/sim_core.h"
#include "gyre/runtime/time.h"

namespace gyre::internal {

class SimHost final : public LoopHost {
 public:
  explicit SimHost(SimCore& core) : core_(core) {}

  absl::StatusOr<std::unique_ptr<Backend>> OpenBackend(const RunOptions& options) override;
  absl::Status RunAll(std::vector<HostedLoop>& loops, const RunOptions& options) override;

 private:
  // A loop, and where it stands.
  struct Player {
    Player(HostedLoop& hosted, size_t number);
    HostedLoop* hosted;
    SimBackend* backend;
    size_t number;
    bool has_begun = false;
    bool has_ended = false;
  };

  void DeliverDue();
  // Null if all sleep.
  Player* Choose();
  void TakeTurn(Player& player, const RunOptions& options);
  void PassTime();
  void PassBusyTime();
  void ReportDeadlock() const;

  SimCore& core_;
  std::vector<Player> players_;  // of the present or last RunAll, in order of their numbers
  std::vector<Player*> ready_;   // of Choose
  Player* last_ = nullptr;       // the one that had the last turn
  size_t running_ = 0;           // how many have not ended
  uint64_t stickiness_ = 0;      // in eighths: how likely it is that the last one has the next turn, too
  uint64_t busy_turns_ = 0;      // since all slept
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_SIM_SIM_HOST_H_
