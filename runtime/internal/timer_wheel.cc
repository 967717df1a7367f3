// Why each timer carries a sequence number: timers with equal deadlines can reach one slot by different ways (armed
// long ago and dealt down from a higher level, armed just now, or re-armed in place), so a slot's own order says
// nothing. The number costs one word and one store, makes order a property of the timers alone, and lets Rearm leave a
// timer where it is. The price, a sort when a collection isn't in order by itself, is paid by few: most server timers
// are disarmed before they fire.
//
// Rejected: a binary or 4-ary heap (re-arming, the common case, costs four times as much); slots of the higher levels
// that fire late instead of being dealt down (up to 12 % late, and simulation needs exact times).
#include "gyre/runtime/internal/timer_wheel.h"

#include <algorithm>
#include <limits>

namespace gyre::internal {

TimerWheel::TimerWheel(int tick_shift, TimePoint start)
    : tick_shift_(tick_shift),
      tick_mask_((uint64_t{1} << tick_shift) - 1),
      tick_(static_cast<uint64_t>(start.time_since_epoch().count()) >> tick_shift),
      now_ns_(start.time_since_epoch().count()) {
  GYRE_CHECK(0 <= tick_shift && tick_shift <= 32, "a tick is between 1 ns and 2^32 ns");
  GYRE_CHECK(now_ns_ >= 0, "time must not start before the clock's epoch");
}

TimerWheel::~TimerWheel() { GYRE_CHECK(size_ == 0, "every timer must be disarmed before its wheel is destroyed"); }

TimePoint TimerWheel::TimeOf(uint64_t tick) const {
  const uint64_t ticks_max = static_cast<uint64_t>(kNever.time_since_epoch().count()) >> tick_shift_;
  if (tick > ticks_max) return kNever;  // the last deadlines before kNever, rounded up: out of the clock's reach
  return TimePoint(Duration(static_cast<int64_t>(tick << tick_shift_)));
}

// The lowest level in use has the first timers; the parked ones come after all of them.
std::optional<TimerWheel::FirstSlot> TimerWheel::FindFirst() const {
  for (uint32_t level = 0; level < kLevels; ++level) {
    if (occupied_[level] == 0) continue;
    const uint32_t shift = level * kBits;
    const uint64_t index = static_cast<uint64_t>(std::countr_zero(occupied_[level]));
    const uint64_t start = (tick_ >> (shift + kBits) << kBits | index) << shift;
    return FirstSlot{level * kSlotsPerLevel + static_cast<uint32_t>(index), start,
                     start | ((uint64_t{1} << shift) - 1)};
  }
  if (slots_[kParkedSlot].empty()) return std::nullopt;
  const uint64_t start = ((tick_ >> kRangeBits) + 1) << kRangeBits;
  return FirstSlot{kParkedSlot, start, std::numeric_limits<uint64_t>::max()};
}

std::optional<TimePoint> TimerWheel::NextExpiry() const {
  if (!slots_[kDueSlot].empty() || !slots_[kOverdueSlot].empty()) return TimePoint(Duration(now_ns_));
  const std::optional<FirstSlot> first = FindFirst();
  if (!first.has_value()) return std::nullopt;
  const List& slot = slots_[first->slot];
  return TimeOf(slot.has_one() ? FireTick(slot.front()->deadline_ns_) : first->start_tick);
}

void TimerWheel::CollectDue(TimePoint now) {
  GYRE_CHECK(now.time_since_epoch().count() >= now_ns_, "time must not go backwards");
  now_ns_ = now.time_since_epoch().count();
  const uint64_t now_tick = static_cast<uint64_t>(now_ns_) >> tick_shift_;

  List due;
  bool in_order = Deal(kOverdueSlot, now_tick, due);
  for (auto first = FindFirst(); first.has_value() && first->start_tick <= now_tick; first = FindFirst()) {
    // All before this slot has been dealt. Only the last slot can have timers that aren't due yet: the one that
    // now_tick lies in, so each of them goes straight to its place as seen from now_tick.
    tick_ = std::min(first->last_tick, now_tick);
    in_order = Deal(first->slot, now_tick, due) && in_order;
  }
  tick_ = now_tick;
  if (!in_order) Sort(due);
  slots_[kDueSlot].Splice(due);
}

// Empties a slot: what is due goes to `due`, the rest down. False if that leaves `due` out of order.
bool TimerWheel::Deal(uint32_t slot, uint64_t now_tick, List& due) {
  List dealt;
  dealt.Splice(slots_[slot]);
  MarkEmpty(slot);
  bool in_order = true;
  while (TimerNode* const node = dealt.PopFront()) {
    if (FireTick(node->deadline_ns_) > now_tick) {
      Put(*node, SlotFor(node->deadline_ns_));
      continue;
    }
    in_order = in_order && (due.empty() || FiresBefore(*due.back(), *node));
    node->set_slot(kDueSlot);
    due.PushBack(*node);
  }
  return in_order;
}

// Both in order; `later` loses all to `into`.
void TimerWheel::Merge(List& into, List& later) {
  List merged;
  while (!into.empty() && !later.empty()) {
    List& from = FiresBefore(*later.front(), *into.front()) ? later : into;
    merged.PushBack(*from.PopFront());
  }
  merged.Splice(into);
  merged.Splice(later);
  into.Splice(merged);
}

// Bottom-up merge sort, which allocates nothing: run i is empty or holds 2^i timers in order.
void TimerWheel::Sort(List& list) {
  std::array<List, 64> runs;
  while (TimerNode* const node = list.PopFront()) {
    List carry;
    carry.PushBack(*node);
    auto run = runs.begin();
    for (; !run->empty(); ++run) {
      Merge(*run, carry);
      carry.Splice(*run);
    }
    run->Splice(carry);
  }
  for (List& run : runs) Merge(list, run);
}

void TimerWheel::ArmAfresh(TimerNode& node, TimePoint deadline) { Arm(node, deadline); }

uint32_t TimerWheel::RareSlotFor(int64_t deadline_ns) const {
  if (deadline_ns == kNever.time_since_epoch().count()) return kNeverSlot;
  const uint64_t tick = FireTick(deadline_ns);
  if (tick <= tick_) return kOverdueSlot;
  if (static_cast<int>(std::bit_width(tick ^ tick_)) > kRangeBits) return kParkedSlot;
  return SlotOnWheel(tick);
}

TimerNode* TimerWheel::PopAny() {
  for (List& slot : slots_) {
    if (TimerNode* const node = slot.front()) {
      Disarm(*node);
      return node;
    }
  }
  return nullptr;
}

}  // namespace gyre::internal
