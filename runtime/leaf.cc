#include "gyre/runtime/leaf.h"

#include "gyre/runtime/loop.h"

namespace gyre {

void Leaf::CompleteFromAnyThread() { loop_core().loop.PushFromAnyThread(*this); }

bool Leaf::IsStoppedBeforeStart() {
  internal::ScopeCore& scope = *waiter_->scope();
  internal::LoopCore& loop = *scope.loop();
  if (loop.observer != nullptr) loop.observer->OnAwait(scope, *waiter_);
  if (!scope.StopRequested()) return false;
  state_ = State::kStopped;
  loop.PushReady(*this);
  return true;
}

void Leaf::Run() {
  if (state_ <= State::kWaiting) EnterCompleted(State::kCompleted);  // it came through the inbox
  if (state_ == State::kStopped || (waiter_->scope()->StopRequested() && Undo())) [[unlikely]] {
    internal::UnwindStopped(*waiter_);
    return;
  }
  internal::Resume(*waiter_);
}

void Leaf::RunCompleted(bool is_stopped) {
  EnterCompleted(is_stopped ? State::kStopped : State::kCompleted);
  Run();
}

void Leaf::Drop() noexcept { GYRE_CHECK(false, "internal: a loop ended with a coroutine ready to run"); }

}  // namespace gyre
