// EndStopped: ends the awaiting task as stopped, for combinators that observe a stop and pass it on.
#ifndef GYRE_RUNTIME_INTERNAL_END_STOPPED_H_
#define GYRE_RUNTIME_INTERNAL_END_STOPPED_H_

#include <coroutine>

#include "gyre/runtime/leaf.h"

namespace gyre::internal {

// Ends the task that awaits it as stopped, whether or not its scope is: to pass a stop on that was observed.
class [[nodiscard]] EndStopped final : public Leaf {
 public:
  EndStopped() {}
  template <class P>
  bool await_suspend(std::coroutine_handle<P> awaiting) {
    return Suspend(awaiting, [this] {
      CompleteStopped();
      return false;
    });
  }
  void await_resume() const noexcept {}

 private:
  void OnStop() noexcept override {}  // it never waits
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_END_STOPPED_H_
