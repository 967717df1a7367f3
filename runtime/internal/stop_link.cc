#include "gyre/runtime/internal/stop_link.h"

#include <utility>

#include "gyre/runtime/internal/scope_core.h"
#include "gyre/runtime/loop.h"

namespace gyre::internal {

void StopLink::Request(StopReason&& reason) noexcept {
  std::unique_lock lock(mutex_);
  if (scope_ == nullptr || is_requested_) return;
  is_requested_ = true;
  LoopCore& core = *scope_->loop();
  if (tls_loop == &core) {
    ScopeCore& scope = *scope_;
    lock.unlock();  // what the stop calls may come back here; and nobody else severs on this thread
    scope.RequestStop(std::move(reason));
    return;
  }
  reason_ = std::move(reason);
  self_ = shared_from_this();
  if (core.loop.PushFromAnyThread(*this)) return;
  const std::shared_ptr<StopLink> self = std::move(self_);
  lock.unlock();
}

void StopLink::Sever() noexcept {
  const std::lock_guard lock(mutex_);
  scope_ = nullptr;
}

void StopLink::Run() {
  const std::shared_ptr<StopLink> self = std::move(self_);
  std::unique_lock lock(mutex_);
  ScopeCore* scope = scope_;
  StopReason reason = std::move(reason_);
  lock.unlock();
  if (scope != nullptr) scope->RequestStop(std::move(reason));
}

void StopLink::Drop() noexcept { const std::shared_ptr<StopLink> self = std::move(self_); }

std::shared_ptr<StopLink> StopLinkOf(ScopeCore& scope) {
  if (scope.parent() == nullptr) return nullptr;  // it has left the tree
  CheckHome(scope.loop(), "a Scope");
  std::shared_ptr<StopLink>& link = scope.extras().stop_link.link;
  if (link == nullptr) link = std::make_shared<StopLink>(scope);
  return link;
}

}  // namespace gyre::internal
