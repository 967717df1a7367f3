#include "gyre/runtime/internal/remote_run.h"

#include <new>
#include <utility>

#include "gyre/runtime/loop.h"

namespace gyre::internal {

bool RemoteRun::Send(Loop& loop, ContextRef context) noexcept {
  loop_ = &loop;
  context_ = std::move(context);
  if (loop.PushFromAnyThread(*this)) return true;
  SetUnavailable();
  return false;
}

void RemoteRun::SendStop(StopReason&& reason) noexcept {
  reason_ = std::move(reason);
  uint8_t expected = 1;
  if (!holders_.compare_exchange_strong(expected, 2, std::memory_order_relaxed)) return;
  if (!loop_->PushFromAnyThread(note_)) Let();
}

void RemoteRun::Let() noexcept {
  if (holders_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  Loop* const entered = is_guest_ ? loop_ : nullptr;
  OnEnd();
  if (entered != nullptr) entered->guests().Leave();  // not before: the loop stays for a note that is on its way
}

// From the loop's queues: first to start, then, reaped, because the frames have ended.
void RemoteRun::Run() {
  if (phase_ == Phase::kSent) return Start();
  loop_->core().current = strand_;
  TakeOutcome(std::exchange(frame_, nullptr));
  End();
}

void RemoteRun::Start() {
  if (!is_coroutine_ && context_ == nullptr) return Call();
  if (!loop_->guests().Enter()) return Drop();
  is_guest_ = true;
  phase_ = Phase::kRunning;
  try {
    MakeStrand();
    if (context_ != nullptr) {
      strand_->extras().context = std::move(context_);
      loop_->core().has_context = true;
    }
    if (is_stop_early_) strand_->RequestStop(std::move(reason_));
    loop_->core().current = strand_;
    frame_ = Begin();
  } catch (...) {
    SetException(std::current_exception());
  }  // before the end is told: by then this thread must hold the exception no more
  if (frame_ == nullptr) return End();
  frame_->Start(*strand_, static_cast<Boundary&>(*this));
  Resume(*frame_);
}

// Nothing can be stopped or waited for in there: as a posted callback. But a guest, too: the loop stays for a stop that has
// been decided on and is not in its inbox yet.
void RemoteRun::Call() {
  if (!loop_->guests().Enter()) return Drop();
  is_guest_ = true;
  try {
    Begin();
  } catch (...) {
    SetException(std::current_exception());
  }
  phase_ = Phase::kEnded;
  Let();
}

void RemoteRun::MakeStrand() {
  void* const memory = AllocateFrame(sizeof(Guests::Strand));
  strand_ = new (memory) Guests::Strand(loop_->guests().group());
}

// The loop takes no more, or has ended with the message unread.
void RemoteRun::Drop() noexcept {
  phase_ = Phase::kEnded;
  SetUnavailable();
  Let();
}

std::coroutine_handle<> RemoteRun::OnDone(PromiseBase&) noexcept {
  loop_->core().PushReap(*this);
  return std::noop_coroutine();
}

void RemoteRun::OnStopped() noexcept {
  frame_ = nullptr;
  SetStopped(strand_->reason());
  End();
}

void RemoteRun::End() noexcept {
  phase_ = Phase::kEnded;
  loop_->core().current = nullptr;
  if (strand_ != nullptr) {
    strand_->~Strand();
    FreeFrame(strand_, sizeof(Guests::Strand));
  }
  Let();
}

void RemoteRun::ArriveStop() noexcept {
  if (phase_ == Phase::kSent) {
    is_stop_early_ = true;
  } else if (phase_ == Phase::kRunning) {
    strand_->RequestStop(std::move(reason_));
  }
  Let();
}

}  // namespace gyre::internal
