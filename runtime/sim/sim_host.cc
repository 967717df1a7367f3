// A loop's turn is a call that returns (Loop::RunTurn), and between two turns nothing of a loop is on the stack. So the
// host only chooses which one to call.
//
// Rejected: a thread or a fiber for each loop, which runs as it does in production and hands on a baton where its backend
// would wait. Each would then run until it has nothing to do, so few interleavings would be tried; and sanitizers and
// debuggers would have to be told of every switch.
//
// Rejected: scheduling the wake in Backend::Wake. It may be called under a lock, from another thread, or by a signal
// handler; so it sets a flag as ever, and the host makes the event when the turn is over.
#include "gyre/runtime/sim/sim_host.h"

#include <algorithm>
#include <string>
#include <utility>

#include "gyre/runtime/check.h"
#include "gyre/runtime/internal/waiting.h"
#include "gyre/runtime/loop.h"

namespace gyre::internal {
namespace {

constexpr uint64_t kStickinessUnit = 8;

// As SimBackend does it for a loop alone: once they have been busy for too long, time goes on after so many more turns.
constexpr uint64_t kBusyTurnsAgain = 100;

}  // namespace

SimHost::Player::Player(HostedLoop& hosted, size_t number)
    : hosted(&hosted), backend(static_cast<SimBackend*>(&hosted.loop->backend())), number(number) {}

absl::StatusOr<std::unique_ptr<Backend>> SimHost::OpenBackend(const RunOptions&) {
  return std::make_unique<SimBackend>(core_, /*takes_turns=*/true);
}

absl::Status SimHost::RunAll(std::vector<HostedLoop>& loops, const RunOptions& options) {
  GYRE_CHECK(running_ == 0, "a Runtime was run in a simulation by a job of another one there: let that end first");
  players_.clear();
  for (size_t i = 0; i < loops.size(); ++i) players_.emplace_back(loops[i], i);
  running_ = loops.size();
  last_ = &players_.back();
  busy_turns_ = 0;
  // One seed lets them alternate, another lets one run for long while the others stand still, as threads may.
  stickiness_ = core_.options.shuffle ? core_.scheduling_rng.Below(kStickinessUnit) : 0;
  while (running_ > 0) {
    DeliverDue();
    for (Player& player : players_) {
      if (!player.has_ended) player.backend->SendWake();
    }
    if (Player* const next = Choose()) {
      TakeTurn(*next, options);
    } else {
      PassTime();
    }
  }
  return absl::OkStatus();
}

void SimHost::DeliverDue() {
  while (core_.events.DeliverOne()) {
    if (core_.options.shuffle && core_.rng.Chance(1, 4)) break;  // the rest waits for the next turn
  }
}

SimHost::Player* SimHost::Choose() {
  ready_.clear();
  for (Player& player : players_) {
    if (!player.has_ended && player.backend->sleeps_until() <= core_.events.now()) ready_.push_back(&player);
  }
  if (ready_.empty()) return nullptr;
  if (!core_.options.shuffle) {  // in a circle
    const auto next = std::ranges::find_if(ready_, [this](const Player* player) { return player > last_; });
    return next != ready_.end() ? *next : ready_.front();
  }
  if (std::ranges::count(ready_, last_) > 0 && core_.scheduling_rng.Chance(stickiness_, kStickinessUnit)) return last_;
  return ready_[core_.scheduling_rng.Below(ready_.size())];
}

void SimHost::TakeTurn(Player& player, const RunOptions& options) {
  last_ = &player;
  core_.events.Note(player.number);
  HostedLoop& hosted = *player.hosted;
  if (!std::exchange(player.has_begun, true)) hosted.root->Start(*hosted.loop, options, /*stop=*/nullptr);
  hosted.loop->RunTurn(hosted.root->is_done());
  if (hosted.root->is_done()) {
    player.has_ended = true;
    --running_;
    hosted.root->Report(options);
    hosted.on_end();
  }
  if (++busy_turns_ >= core_.options.busy_turns_max * players_.size()) PassBusyTime();
}

void SimHost::PassTime() {
  busy_turns_ = 0;
  TimePoint next = core_.events.next();
  for (const Player& player : players_) {
    if (!player.has_ended) next = std::min(next, player.backend->sleeps_until());
  }
  if (next != kNever) return core_.events.AdvanceTo(next);
  const uint64_t wakes = core_.wakes.load(std::memory_order_acquire);
  auto is_woken = [](const Player& player) { return !player.has_ended && player.backend->is_woken(); };
  if (std::ranges::any_of(players_, is_woken)) return;
  ReportDeadlock();
  core_.wakes.wait(wakes, std::memory_order_acquire);
}

// A deadline must be able to end a busy loop.
void SimHost::PassBusyTime() {
  busy_turns_ -= std::min(busy_turns_, kBusyTurnsAgain * players_.size());
  TimePoint next = core_.events.next();
  for (const Player& player : players_) {
    if (!player.has_ended) next = std::min(next, player.hosted->loop->timers().NextExpiry().value_or(kNever));
  }
  if (next != kNever) core_.events.AdvanceTo(next);
}

void SimHost::ReportDeadlock() const {
  if (!core_.options.check_deadlock) return;
  std::string what =
      "deadlock: on every loop every task waits, and no timer, no event and no other thread can wake one";
  for (const Player& player : players_) {
    what += "; loop " + std::to_string(player.number) + ": " +
            (player.has_ended ? "ended"
                              : player.backend->DescribeWaiting() + DescribeWaiting(player.hosted->loop->core()));
  }
  core_.ReportDeadlock(what);
}

}  // namespace gyre::internal
