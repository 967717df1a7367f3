#include "gyre/runtime/internal/scope_core.h"

#include <new>
#include <utility>

#include "gyre/runtime/check.h"
#include "gyre/runtime/leaf.h"

namespace gyre::internal {

ScopeCore::~ScopeCore() {
  GYRE_CHECK(children_.empty() && pending_.empty(), "a scope was destroyed while work in it was still suspended");
  if (is_linked()) IntrusiveList<ScopeCore, SiblingTag>::Remove(*this);
}

// Depth first without recursion: a chain of a million scopes must not need a million stack frames.
ScopeCore* ScopeCore::NextInSubtree(ScopeCore* scope) {
  if (ScopeCore* child = scope->children_.front()) return child;
  while (scope != this) {
    ScopeCore* parent = scope->parent_;
    if (ScopeCore* sibling = parent->children_.Next(*scope)) return sibling;
    scope = parent;
  }
  return nullptr;
}

const StopReason& ScopeCore::reason() const {
  static const StopReason kBlank;
  return stop_origin_ != nullptr && stop_origin_->reason_ != nullptr ? *stop_origin_->reason_ : kBlank;
}

void ScopeCore::RequestStop(StopReason&& reason) noexcept {
  if (is_stopped_here_) return;
  is_stopped_here_ = true;
  try {
    reason_ = std::make_unique<StoredReason>(std::move(reason));
  } catch (const std::bad_alloc&) {
  }
  if (stop_origin_ != nullptr) return;  // an ancestor's stop reached everything below already
  for (ScopeCore* scope = this; scope != nullptr; scope = NextInSubtree(scope)) {
    if (scope->stop_origin_ == nullptr) scope->stop_origin_ = this;
  }
  // A leaf's OnStop may complete other leaves, so lists change under us, but no scope comes or goes: nothing resumes.
  for (ScopeCore* scope = this; scope != nullptr; scope = NextInSubtree(scope)) {
    while (Leaf* leaf = scope->pending_.PopFront()) leaf->DeliverStop();
  }
}

}  // namespace gyre::internal
