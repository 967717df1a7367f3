#include "gyre/runtime/alarm.h"

namespace gyre {

void Alarm::Arm(TimePoint when) noexcept {
  Loop& loop = Loop::Current();
  if (is_armed()) internal::CheckHome(home_, "an Alarm");
  home_ = &loop.core();
  loop.timers().Rearm(*this, when);
}

void Alarm::ArmAfter(Duration wait) noexcept { Arm(After(Loop::Current().ReadClock(), wait)); }

void Alarm::Disarm() noexcept {
  if (!is_armed()) return;
  internal::CheckHome(home_, "an Alarm");
  home_->loop.timers().Disarm(*this);
}

void Alarm::OnTimer() {
  internal::InvokeGuarded(internal::tls_loop->loop, [this] { OnAlarm(); });
}

}  // namespace gyre
