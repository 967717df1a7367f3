#include "gyre/runtime/deadline.h"

#include <string>
#include <utility>

#include "gyre/runtime/check.h"

namespace gyre {
namespace internal {

ScopeCore& DeadlineCore::Enter(ScopeCore& parent, TimePoint when) {
  strand_.emplace(parent);
  extras_.deadline = when;
  strand_->SetForeignExtras(extras_);
  if (when != kNever) parent.loop()->loop.timers().Arm(*this, when);
  return *strand_;
}

void DeadlineCore::MoveTo(TimePoint when) {
  TimerWheel& timers = strand_->loop()->loop.timers();
  extras_.deadline = when;
  if (when == kNever) {
    timers.Disarm(*this);
  } else {
    timers.Rearm(*this, when);
  }
}

void DeadlineCore::End() noexcept { strand_->loop()->loop.timers().Disarm(*this); }

void DeadlineCore::OnTimer() {
  is_expired_ = true;
  strand_->RequestStop(StopReason::Static("deadline exceeded", where_));
}

absl::Status DeadlineCore::ToStatus() const {
  return absl::DeadlineExceededError(StopReason::Static("deadline exceeded", where_).ToString());
}

TimePoint DeadlineSpec::When(Loop& loop) const {
  if (movable_ != nullptr) return movable_->when();
  return wait_ == Duration::min() ? when_ : After(loop.ReadClock(), wait_);
}

}  // namespace internal

bool MovableDeadline::MoveTo(TimePoint when) {
  GYRE_CHECK(core_ != nullptr || !is_used_, "a MovableDeadline was moved after its await had ended");
  if (expired()) return false;
  when_ = when;
  if (core_ != nullptr) core_->MoveTo(when);
  return true;
}

bool MovableDeadline::MoveToAfter(Duration wait) { return MoveTo(After(Loop::Current().ReadClock(), wait)); }

TimePoint CurrentDeadline() {
  const internal::LoopCore* core = internal::tls_loop;
  return core != nullptr && core->current != nullptr ? core->current->EffectiveDeadline() : kNever;
}

}  // namespace gyre
