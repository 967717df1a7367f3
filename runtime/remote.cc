#include "gyre/runtime/remote.h"

namespace gyre::internal {

RemoteState::RemoteState() : Runnable(RunnableKind::kTask), loop_(&Loop::Current()), core_(&loop_->core()) {}

void RemoteState::Bind() { loop_->AddBound(*this); }

void RemoteState::CheckUse() const {
  GYRE_CHECK(!has_loop_ended_.load(std::memory_order_relaxed), "a Remote's object was used after its loop had ended");
  CheckHome(core_, "a Remote's object");
}

// A node that the loop drops at its end comes here too: on its thread.
void RemoteState::Drop() noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (is_ending_) {
      is_dropped_ = true;
      return;
    }
    if (!has_loop_ended_.load(std::memory_order_relaxed) && tls_loop != core_) {
      is_on_its_way_ = true;
      if (loop_->PushFromAnyThread(*this)) return;
    }
  }
  DestroyHere();
}

// The object is destroyed without the lock: it may hold other Remotes, of this loop or of one that ends just now, and those may
// hold this one.
void RemoteState::OnLoopEnd() noexcept {
  {
    const std::lock_guard lock(mutex_);
    has_loop_ended_.store(true, std::memory_order_relaxed);
    if (is_on_its_way_) return;  // in the inbox or the ready queue: the loop drops it next
    is_ending_ = true;
  }
  DestroyObject();
  bool is_dropped;
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = false;
    is_dropped = is_dropped_;
  }
  if (is_dropped) delete this;
}

void RemoteState::DestroyHere() noexcept {
  { const std::lock_guard lock(mutex_); }  // who has sent it here may still hold the lock
  if (is_linked()) IntrusiveList<LoopBound>::Remove(*this);
  DestroyObject();
  delete this;
}

}  // namespace gyre::internal
