// StopHandle: asks a scope or a task to stop, from any thread, and as long after its end as you like.
//
//   gyre::StopHandle stop = scope.stop_handle();
//   std::thread([stop] { WaitForOperator(); stop.RequestStop("operator"); });
//
// Thread-safety: RequestStop from any thread, but not from a signal handler. Copies refer to the same scope.
// Lifetime:      independent of the scope, its loop and its runtime: once they have ended, RequestStop does nothing.
// Cancellation:  takes effect when the loop comes to it; on the loop's own thread at once.
// Errors:        none.
// Cost:          the first handle of a scope allocates; a request takes a lock and, from elsewhere, wakes the loop.
#ifndef GYRE_RUNTIME_STOP_HANDLE_H_
#define GYRE_RUNTIME_STOP_HANDLE_H_

#include <memory>
#include <utility>

#include "gyre/runtime/internal/stop_link.h"
#include "gyre/runtime/stop_reason.h"

namespace gyre {

class StopHandle {
 public:
  // Refers to nothing.
  StopHandle() = default;
  // Scope::stop_handle and TaskHandle::stop_handle make these.
  explicit StopHandle(internal::ScopeCore& scope) : link_(internal::StopLinkOf(scope)) {}
  explicit StopHandle(std::shared_ptr<internal::StopLink> link) : link_(std::move(link)) {}

  void RequestStop(StopReason reason = StopReason()) const noexcept {
    if (link_ != nullptr) link_->Request(std::move(reason));
  }

 private:
  std::shared_ptr<internal::StopLink> link_;
};

}  // namespace gyre

#endif  // GYRE_RUNTIME_STOP_HANDLE_H_
