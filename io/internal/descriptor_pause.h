// DescriptorPause: waits for a while, or until this loop has closed a descriptor: what an accept does that had none
// left.
//
// Thread-safety: the home loop only.
// Cancellation:  stopped at once.
// Cost:          a timer and a place in the backend's list; first in, first woken, one for each descriptor.
#ifndef GYRE_IO_INTERNAL_DESCRIPTOR_PAUSE_H_
#define GYRE_IO_INTERNAL_DESCRIPTOR_PAUSE_H_

#include <coroutine>

#include "gyre/runtime/backend.h"
#include "gyre/runtime/internal/intrusive_list.h"
#include "gyre/runtime/leaf.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/time.h"

namespace gyre::internal {

class [[nodiscard]] DescriptorPause final : public Leaf, private TimerEvent, private DescriptorWaiter {
 public:
  explicit DescriptorPause(Duration at_most) : at_most_(at_most) {}

  template <class P>
  bool await_suspend(std::coroutine_handle<P> awaiting) {
    return Suspend(awaiting, [this] {
      loop().timers().Arm(*this, After(loop().ReadClock(), at_most_));
      loop().backend().descriptor_waiters().PushBack(*this);
      return false;
    });
  }
  void await_resume() const noexcept {}

 private:
  void OnTimer() override {
    Leave();
    Complete();
  }
  void OnDescriptorFreed() noexcept override {
    Leave();
    Complete();
  }
  void OnStop() noexcept override {
    Leave();
    CompleteStopped();
  }
  void Leave() {
    loop().timers().Disarm(*this);
    IntrusiveList<DescriptorWaiter>::Remove(*this);
  }

  const Duration at_most_;
};

}  // namespace gyre::internal

#endif  // GYRE_IO_INTERNAL_DESCRIPTOR_PAUSE_H_
