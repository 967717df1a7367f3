#include "gyre/runtime/leaf.h"

#include "gyre/runtime/loop.h"

namespace gyre {

void Leaf::CompleteFromAnyThread() {
  internal::LoopCore& loop = loop_core();
  // A test that watches may stop it before it arrives. On another thread the scope is not ours to ask.
  if (&loop == internal::tls_loop && waiter_->scope()->attention() != 0) [[unlikely]] TellCompleted(/*is_queued=*/true);
  loop.loop.PushFromAnyThread(*this);
}

bool Leaf::IsStoppedBeforeStart() {
  internal::ScopeCore& scope = *waiter_->scope();
  internal::LoopCore& loop = *scope.loop();
  if (loop.observer != nullptr) loop.observer->OnAwait(*this, scope, *waiter_);
  if (!scope.StopRequested()) return false;
  state_ = State::kStopped;
  loop.PushReady(*this);
  return true;
}

void Leaf::QueueBehindOthers() {
  state_ = State::kCompleted;
  internal::tls_loop->PushReady(*this);
}

void Leaf::DeliverStop() {
  stop_delivered_ = true;
  OnStop();
  if (state_ == State::kWaiting) TellStopPending();
}

void Leaf::TellAwait() noexcept {
  internal::LoopCore& loop = loop_core();
  if (loop.observer != nullptr) loop.observer->OnAwait(*this, *waiter_->scope(), *waiter_);
}

void Leaf::TellCompleted(bool is_queued) noexcept {
  internal::LoopCore& loop = loop_core();
  if (loop.observer != nullptr) loop.observer->OnCompleted(*waiter_, is_queued);
}

void Leaf::TellStopPending() noexcept {
  internal::LoopCore& loop = loop_core();
  if (loop.observer != nullptr) loop.observer->OnStopPending(*waiter_);
}

bool Leaf::Settle() {
  if (state_ <= State::kWaiting) EnterCompleted(State::kCompleted, /*is_queued=*/false);  // it came through the inbox
  return state_ == State::kStopped || (waiter_->scope()->StopRequested() && Undo());
}

void Leaf::Run() { GoOn(Settle()); }

void Leaf::RunCompleted(bool is_stopped) {
  EnterCompleted(is_stopped ? State::kStopped : State::kCompleted, /*is_queued=*/false);
  Run();
}

void Leaf::Drop() noexcept { GYRE_CHECK(false, "internal: a loop ended with a coroutine ready to run"); }

}  // namespace gyre
