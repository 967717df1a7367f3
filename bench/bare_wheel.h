// A hierarchical timing wheel with nothing but the wheel: links, slots, occupancy bits. What timer_bench compares with.
#ifndef GYRE_BENCH_BARE_WHEEL_H_
#define GYRE_BENCH_BARE_WHEEL_H_

#include <array>
#include <bit>
#include <cstdint>

namespace gyre::bench {

struct BareTimer {
  BareTimer* prev = nullptr;
  BareTimer* next = nullptr;
  uint64_t tick = 0;
  uint32_t slot = 0;
};

class BareWheel {
 public:
  BareWheel() {
    for (BareTimer& end : slots_) end.prev = end.next = &end;
  }

  void Arm(BareTimer& timer, uint64_t tick) {
    const int level = (63 - std::countl_zero((tick ^ now_) | 1)) / 6;
    const uint32_t slot = static_cast<uint32_t>(level * 64 + ((tick >> (level * 6)) & 63));
    timer.tick = tick;
    timer.slot = slot;
    BareTimer& end = slots_[slot];
    timer.prev = end.prev;
    timer.next = &end;
    end.prev->next = &timer;
    end.prev = &timer;
    occupied_[slot / 64] |= uint64_t{1} << (slot % 64);
  }
  void Disarm(BareTimer& timer) {
    timer.prev->next = timer.next;
    timer.next->prev = timer.prev;
    if (timer.next == timer.prev) occupied_[timer.slot / 64] &= ~(uint64_t{1} << (timer.slot % 64));
  }

 private:
  uint64_t now_ = 0;
  std::array<uint64_t, 11> occupied_{};
  std::array<BareTimer, 11 * 64> slots_;
};

}  // namespace gyre::bench

#endif  // GYRE_BENCH_BARE_WHEEL_H_
