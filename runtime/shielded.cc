#include "gyre/runtime/shielded.h"

namespace gyre::internal {

ScopeCore& ShieldCore::Enter(ScopeCore& parent) {
  extras_.listener = this;
  strand_.emplace(parent, extras_);
  if (strand_->is_told()) OnStopArrived();
  return *strand_;
}

void ShieldCore::OnStopArrived() noexcept {
  if (limit_ == kForever) return;
  if (limit_ <= Duration::zero()) return strand_->LetStopIn();
  Loop& loop = strand_->loop()->loop;
  loop.timers().Arm(*this, After(loop.ReadClock(), limit_));
}

void ShieldCore::End() noexcept {
  limit_ = kForever;  // a stop may still come before the awaiting frame goes on: it must arm nothing
  strand_->loop()->loop.timers().Disarm(*this);
}

}  // namespace gyre::internal
