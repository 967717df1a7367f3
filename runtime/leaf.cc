#include "gyre/runtime/leaf.h"

#include "gyre/runtime/loop.h"

namespace gyre {

void Leaf::CompleteFromAnyThread() { loop_core().loop.PushFromAnyThread(*this); }

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
