// StopLink: the way from any thread to a scope that may be gone. Shared by the scope and its StopHandles.
//
// Thread-safety: Request from any thread; Sever on the scope's loop. The mutex makes the scope, and so its loop, outlive a
//                Request that has found it: Sever waits for that.
#ifndef GYRE_RUNTIME_INTERNAL_STOP_LINK_H_
#define GYRE_RUNTIME_INTERNAL_STOP_LINK_H_

#include <memory>
#include <mutex>

#include "gyre/runtime/internal/runnable.h"
#include "gyre/runtime/stop_reason.h"

namespace gyre::internal {

class ScopeCore;

class StopLink final : public Runnable, public std::enable_shared_from_this<StopLink> {
 public:
  explicit StopLink(ScopeCore& scope) : Runnable(RunnableKind::kMessage), scope_(&scope) {}

  void Request(StopReason&& reason) noexcept;
  void Sever() noexcept;

 private:
  // From the loop's ready queue.
  void Run() override;
  void Drop() noexcept override;

  std::mutex mutex_;
  ScopeCore* scope_;  // null once severed
  bool is_requested_ = false;
  StopReason reason_;
  std::shared_ptr<StopLink> self_;  // while in the loop's inbox or ready queue
};

// The scope's link, made at the first call. Null for a task that is done. Throws std::bad_alloc.
std::shared_ptr<StopLink> StopLinkOf(ScopeCore& scope);

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_STOP_LINK_H_
