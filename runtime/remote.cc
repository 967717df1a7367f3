#include "gyre/runtime/remote.h"

namespace gyre::internal {

RemoteState::RemoteState() : Runnable(/*is_ordered=*/false), loop_(&Loop::Current()), core_(&loop_->core()) {
  loop_->AddBound(*this);
}

// A node that the loop drops at its end comes here too: on its thread.
void RemoteState::Drop() noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (!has_loop_ended_ && tls_loop != core_) {
      is_on_its_way_ = true;
      if (loop_->PushFromAnyThread(*this)) return;
    }
  }
  DestroyHere();
}

// All of it under the lock: a holder that finds the loop ended deletes this object.
void RemoteState::OnLoopEnd() noexcept {
  const std::lock_guard lock(mutex_);
  has_loop_ended_ = true;
  if (!is_on_its_way_) DestroyObject();  // else it is in the inbox or the ready queue: the loop drops it next
}

void RemoteState::DestroyHere() noexcept {
  { const std::lock_guard lock(mutex_); }  // who has sent it here may still hold the lock
  if (is_linked()) IntrusiveList<LoopBound>::Remove(*this);
  DestroyObject();
  delete this;
}

}  // namespace gyre::internal
