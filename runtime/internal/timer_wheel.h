// TimerWheel: keeps a loop's timers, and hands out those that are due, in order.
//
// A hierarchical wheel: level 0 has a slot for each of 64 ticks, level 1 for each of 64 times 64 ticks, and so on. A
// timer sits at the level of the highest group of six bits in which its tick differs from the wheel's, so every timer
// on one level fires before any on the next, and the first occupied slot is found with one count of trailing zeros. A
// slot above level 0 is dealt to lower levels when time reaches it.
//
//   wheel.CollectDue(now);
//   while (TimerNode* timer = wheel.PopDue()) Fire(*timer);  // Fire may arm and disarm any timer, those due too
//
// Order: never early; less than one tick late (plus the caller's own delay). Timers of one collection come in order of
//        deadline, equal deadlines in order of Arm. A deadline in the past (a tick that has been collected) comes with
//        the next collection: a timer that re-arms itself into the past can't keep PopDue busy for ever. What PopDue
//        has not fetched yet stays ahead of later collections.
// Thread-safety: the owning loop's thread only.
// Lifetime:      an armed node stays where it is until it fires or is disarmed; the wheel outlives its armed nodes.
// Units:         deadlines are nanoseconds, not before the clock's epoch; a tick is 2^tick_shift ns. Production takes
//                tick_shift 16 (65.5 us), simulation 0: there each timer fires exactly at its deadline.
// Cost:          Arm, Disarm, Rearm, NextExpiry and PopDue are O(1). A collection touches what is due and at most one
//                slot that is dealt downwards; it sorts, O(n log n), only if what is due isn't already in order.
#ifndef GYRE_RUNTIME_INTERNAL_TIMER_WHEEL_H_
#define GYRE_RUNTIME_INTERNAL_TIMER_WHEEL_H_

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "gyre/runtime/check.h"
#include "gyre/runtime/internal/intrusive_list.h"
#include "gyre/runtime/time.h"

namespace gyre::internal {

// The base of everything that waits for a deadline. What to do then is the derived class's business.
class TimerNode : private ListHook<TimerNode> {
 public:
  TimerNode() = default;

  // Armed: from Arm until Disarm, or until PopDue returns this.
  bool is_armed() const { return is_linked(); }
  TimePoint deadline() const { return TimePoint(Duration(deadline_ns_)); }

 protected:
  // A time to keep until Arm, in the same word.
  explicit TimerNode(int64_t kept_ns) : deadline_ns_(kept_ns) {}
  int64_t kept_ns() const { return deadline_ns_; }

 private:
  friend class IntrusiveList<TimerNode>;
  friend class TimerWheel;

  static constexpr int kSlotBits = 10;

  uint32_t slot() const { return static_cast<uint32_t>(order_) & ((1u << kSlotBits) - 1); }
  uint64_t sequence() const { return order_ >> kSlotBits; }
  void set_slot(uint32_t slot) { order_ = sequence() << kSlotBits | slot; }

  int64_t deadline_ns_ = 0;
  // High bits: the sequence number of Arm, to keep equal deadlines in order wherever the slots put them. Low bits: the
  // slot, kept apart from the deadline because it depends on the time at which it was chosen.
  uint64_t order_ = 0;
};
static_assert(sizeof(TimerNode) == 32);

class TimerWheel {
 public:
  // `start` is where time begins; an earlier `now` is a check failure.
  explicit TimerWheel(int tick_shift, TimePoint start = TimePoint());
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;
  ~TimerWheel();

  // Arming an armed timer is a check failure: use Rearm. kNever is legal: such a timer can only be disarmed.
  void Arm(TimerNode& node, TimePoint deadline) {
    GYRE_CHECK(!node.is_armed(), "Arm wants a timer that isn't armed; Rearm takes either");
    node.deadline_ns_ = deadline.time_since_epoch().count();
    Place(node, ++last_sequence_, SlotFor(node.deadline_ns_));
    ++size_;
  }

  // Nothing happens if `node` isn't armed.
  void Disarm(TimerNode& node) {
    if (!node.is_armed()) return;
    TakeOut(node);
    --size_;
  }

  // Disarm, then Arm. A timer is moved even if its slot doesn't change: asking costs more, as nothing predicts the answer.
  // Inlined by force: the call would be a sixth of the cost.
  [[gnu::always_inline]] void Rearm(TimerNode& node, TimePoint deadline) {
    if (!node.is_armed()) [[unlikely]] return ArmAfresh(node, deadline);
    node.deadline_ns_ = deadline.time_since_epoch().count();
    const uint32_t slot = SlotFor(node.deadline_ns_);
    const uint32_t old_slot = node.slot();
    node.order_ = ++last_sequence_ << TimerNode::kSlotBits | slot;
    if (slots_[slot].MoveToBack(node)) MarkEmpty(old_slot);
    MarkOccupied(slot);
  }

  // How long the loop may sleep: never later than the time at which the first timer fires. It may be earlier, where
  // several timers share a slot that must first be dealt to lower levels: CollectDue then finds nothing, and the next
  // NextExpiry is later. Not after the last collection's time when something is due already. Empty: no timer to wait
  // for.
  std::optional<TimePoint> NextExpiry() const;

  // Makes due every timer whose tick has come. Time never goes backwards: checked.
  void CollectDue(TimePoint now);

  // The next due timer, which is no longer armed; null when there is none.
  TimerNode* PopDue() {
    TimerNode* const node = slots_[kDueSlot].PopFront();
    if (node != nullptr) --size_;
    return node;
  }

  // Some are due already: collected, or armed for a time that had passed.
  bool HasDue() const { return !slots_[kDueSlot].empty() || !slots_[kOverdueSlot].empty(); }

  // Any armed timer, which is no longer armed, due or not; null when there is none. For the end of a loop: O(slots).
  TimerNode* PopAny();

  size_t size() const { return size_; }  // armed timers, those due and those that never fire too
  bool empty() const { return size_ == 0; }

 private:
  using List = IntrusiveList<TimerNode>;

  static constexpr int kLevels = 8;
  static constexpr int kBits = 6;  // of a tick, for each level
  static constexpr int kRangeBits = kLevels * kBits;
  static constexpr uint32_t kSlotsPerLevel = 1u << kBits;
  static constexpr uint64_t kPlainTicks = uint64_t{1} << (kRangeBits - 1);  // never more than kNever's tick

  // Four lists beside the wheel, numbered as if they were slots of one more level, so that TakeOut need not ask.
  static constexpr uint32_t kParkedSlot = kLevels * kSlotsPerLevel;  // tick beyond the range of the wheel
  static constexpr uint32_t kNeverSlot = kParkedSlot + 1;
  static constexpr uint32_t kOverdueSlot = kParkedSlot + 2;  // armed with a tick that had been collected
  static constexpr uint32_t kDueSlot = kParkedSlot + 3;      // collected, in order, for PopDue
  static constexpr uint32_t kSlots = kParkedSlot + 4;
  static_assert(kSlots <= 1u << TimerNode::kSlotBits);

  struct FirstSlot {
    uint32_t slot;
    uint64_t start_tick;  // no timer in it, and so none at all, has an earlier tick
    uint64_t last_tick;   // nor, in it, a later one
  };

  static bool FiresBefore(const TimerNode& a, const TimerNode& b) {
    return a.deadline_ns_ != b.deadline_ns_ ? a.deadline_ns_ < b.deadline_ns_ : a.order_ < b.order_;
  }
  static void Merge(List& into, List& later);
  static void Sort(List& list);

  // The first tick at which nobody can call the timer early: the deadline, rounded up.
  uint64_t FireTick(int64_t deadline_ns) const {
    if (deadline_ns < 0) return 0;
    return (static_cast<uint64_t>(deadline_ns) + tick_mask_) >> tick_shift_;
  }

  // The common path asks only this: a tick that is past, beyond the wheel or never is told apart in RareSlotFor.
  uint32_t SlotFor(int64_t deadline_ns) const {
    const uint64_t tick = (static_cast<uint64_t>(deadline_ns) + tick_mask_) >> tick_shift_;
    if (tick <= tick_ || (tick ^ tick_) >= kPlainTicks) [[unlikely]] return RareSlotFor(deadline_ns);
    return SlotOnWheel(tick);
  }
  uint32_t SlotOnWheel(uint64_t tick) const {
    const uint32_t level = static_cast<uint32_t>(63 - std::countl_zero((tick ^ tick_) | 1)) / kBits;
    return level * kSlotsPerLevel + (static_cast<uint32_t>(tick >> (level * kBits)) & (kSlotsPerLevel - 1));
  }
  uint32_t RareSlotFor(int64_t deadline_ns) const;
  void ArmAfresh(TimerNode& node, TimePoint deadline);

  void Put(TimerNode& node, uint32_t slot) { Place(node, node.sequence(), slot); }
  void Place(TimerNode& node, uint64_t sequence, uint32_t slot) {
    node.order_ = sequence << TimerNode::kSlotBits | slot;
    slots_[slot].PushBack(node);
    MarkOccupied(slot);
  }

  void TakeOut(TimerNode& node) {
    if (List::IsAlone(node)) MarkEmpty(node.slot());
    List::Remove(node);
  }

  void MarkOccupied(uint32_t slot) { occupied_[slot / kSlotsPerLevel] |= uint64_t{1} << (slot % kSlotsPerLevel); }

  void MarkEmpty(uint32_t slot) { occupied_[slot / kSlotsPerLevel] &= ~(uint64_t{1} << (slot % kSlotsPerLevel)); }

  std::optional<FirstSlot> FindFirst() const;
  bool Deal(uint32_t slot, uint64_t now_tick, List& due);
  TimePoint TimeOf(uint64_t tick) const;

  // The invariant: each timer on a level has tick > tick_, agrees with tick_ in every bit group above its level, and is
  // greater in its level's own group. Moving tick_ forward keeps it, as long as no slot starts at or before its
  // new value.
  const int tick_shift_;
  const uint64_t tick_mask_;
  uint64_t tick_;  // the last tick collected
  int64_t now_ns_;
  uint64_t last_sequence_ = 0;
  size_t size_ = 0;
  std::array<uint64_t, kLevels + 1> occupied_{};  // a bit for each slot in use; nobody reads the last word
  std::array<List, kSlots> slots_;
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_TIMER_WHEEL_H_
