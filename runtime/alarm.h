// Alarm: a timer that is part of an object of yours, and calls it. Arming and disarming it allocate nothing and can't fail.
//
//   class Lease : private gyre::Alarm {
//    public:
//     ~Lease() { Disarm(); }
//     void Renew() { ArmAfter(10s); }                   // moves it, if it is armed
//    private:
//     void OnAlarm() override { Lapse(); }
//   };
//
// For what must not fail half-way: a leaf's OnStop, a destructor. Elsewhere Loop::CallLater says the same in a line.
//
// Thread-safety: while it is armed, the loop that armed it; another one's use is a check failure. Not armed, it may go to
//                another loop.
// Lifetime:      to destroy it while it is armed is a check failure: the derived class disarms. What is armed when its loop
//                ends is disarmed without a call, and counted in RunReport::dropped_timers. OnAlarm may destroy the object.
// Errors:        what OnAlarm throws goes to the loop's unhandled-error hook.
// Units:         as Loop::CallAt: never early, at most a tick (65.5 us) late; exact in simulation. Equal times in order of
//                their arming. A time that has passed: the next timer step, never inside Arm.
// Cost:          48 bytes; to arm, move or disarm it is O(1), about 10 ns, and ArmAfter reads the clock (50 ns).
#ifndef GYRE_RUNTIME_ALARM_H_
#define GYRE_RUNTIME_ALARM_H_

#include "gyre/runtime/check.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/time.h"

namespace gyre {

class Alarm : private internal::TimerEvent {
 public:
  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;

  bool is_armed() const { return TimerEvent::is_armed(); }

 protected:
  Alarm() = default;
  ~Alarm() { GYRE_CHECK(!is_armed(), "an Alarm was destroyed while it was armed: disarm it before"); }

  // On a running loop: OnAlarm is called once, at `when` (kNever: not at all), or at the new time if it was armed already.
  void Arm(TimePoint when) noexcept;
  // `wait` from now.
  void ArmAfter(Duration wait) noexcept;
  // No effect on one that is not armed.
  void Disarm() noexcept;

  // From the loop's timer step. It is not armed then, and may be armed anew.
  virtual void OnAlarm() = 0;

 private:
  void OnTimer() override;
  void OnLoopEnd() noexcept override {}

  internal::LoopCore* home_ = nullptr;  // whose wheel it is in, while it is armed
};

}  // namespace gyre

#endif  // GYRE_RUNTIME_ALARM_H_
