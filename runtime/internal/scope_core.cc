#include "gyre/runtime/internal/scope_core.h"

#include <algorithm>
#include <new>
#include <utility>

#include "gyre/runtime/check.h"
#include "gyre/runtime/internal/task_core.h"
#include "gyre/runtime/leaf.h"

namespace gyre::internal {

// Depth first without recursion: a chain of a million scopes must not need a million stack frames. Goes below a node only
// if `enter(node)`.
template <class Enter>
ScopeCore* ScopeCore::NextInSubtree(ScopeCore* scope, Enter enter) {
  if (scope == this || enter(*scope)) {
    if (ScopeCore* child = scope->first_child()) return child;
  }
  while (scope != this) {
    ScopeCore* parent = scope->parent_;
    if (scope->next_ != parent->first_child()) return scope->next_;
    scope = parent;
  }
  return nullptr;
}

SharedStopReason ScopeCore::reason() const {
  if (!StopRequested()) return SharedStopReason();
  const ScopeCore* scope = this;
  while (!scope->is_stopped_here_ && scope->parent_ != nullptr) scope = scope->parent_;
  if ((scope->extras_ & kReasonBit) != 0) return SharedStopReason::FromPackedWord(scope->extras_);
  return scope->extras_ != 0 ? scope->extras_or_null()->reason : SharedStopReason();
}

void ScopeCore::StoreReason(StopReason&& reason) noexcept {
  try {
    if (loop_->current != nullptr) {
      if (const TaskCore* task = loop_->current->NearestTask()) {
        reason.by_task_id_ = task->id();
        reason.by_task_name_ = task->name();
      }
    }
    SharedStopReason shared(std::move(reason));
    if (extras_ == 0 && shared.packed_word() != 0) {
      extras_ = shared.packed_word();
    } else {
      extras().reason = std::move(shared);
    }
  } catch (const std::bad_alloc&) {  // then without its texts
    const uint64_t word = SharedStopReason::Pack(reason.where_, reason.by_task_id_);
    if (extras_ == 0) {
      extras_ = word;
    } else if (word != 0) {
      extras().reason = SharedStopReason::FromPackedWord(word);
    }
  }
}

void ScopeCore::RequestStop(StopReason&& reason) noexcept {
  if (is_stopped_here_) return;
  is_stopped_here_ = true;
  StoreReason(std::move(reason));
  PassStopDown();
}

void ScopeCore::RequestStop(std::source_location where) noexcept {
  if (is_stopped_here_) return;
  const TaskCore* by = loop_->current != nullptr ? loop_->current->NearestTask() : nullptr;
  const bool is_named = by != nullptr && by->has_name();
  const uint64_t word = extras_ != 0 || is_named ? 0 : SharedStopReason::Pack(where, by != nullptr ? by->id() : 0);
  if (word == 0) return RequestStop(StopReason(where));
  is_stopped_here_ = true;
  extras_ = word;
  PassStopDown();
}

void ScopeCore::LetStopIn() noexcept { PassStopDown(); }

// First all are marked, then all that wait are told: what a leaf does when told may complete other leaves, start tasks or
// request further stops, but no node below goes away, because nothing resumes.
void ScopeCore::PassStopDown() noexcept {
  if (StopRequested()) return;  // a stop from above has been everywhere below
  if ((below_ & kLeafBit) != 0 && !HasStopSource()) {  // a task that waits: the common case
    attention_ |= kStopRequested;
    TakeLeaf()->DeliverStop();
    return;
  }
  auto mark = [this](ScopeCore& scope) {
    const bool is_outside = scope.is_shielded_ && &scope != this;
    if (is_outside ? scope.is_told_ : scope.StopRequested()) return false;
    if (is_outside) {
      scope.is_told_ = true;
    } else {
      scope.attention_ |= kStopRequested;
    }
    scope.is_due_ = true;
    return !is_outside;
  };
  mark(*this);
  // The walk asks `enter` once for each node but this: that is where it is marked.
  for (ScopeCore* scope = this; scope != nullptr; scope = NextInSubtree(scope, mark)) continue;
  auto is_entered = [](ScopeCore& scope) { return scope.StopRequested(); };
  for (ScopeCore* scope = this; scope != nullptr; scope = NextInSubtree(scope, is_entered)) {
    if (!scope->is_due_) continue;
    scope->is_due_ = false;
    if (scope->is_told_ && !scope->StopRequested()) {
      scope->extras().listener->OnStopArrived();
      continue;
    }
    if (Leaf* leaf = scope->TakeLeaf()) leaf->DeliverStop();
    if (scope->HasStopSource()) scope->extras().source.request_stop();
  }
}

void ScopeCore::VisitWaiting(const std::function<void(const Leaf&)>& visit) {
  auto enter_all = [](ScopeCore&) { return true; };
  for (ScopeCore* scope = this; scope != nullptr; scope = NextInSubtree(scope, enter_all)) {
    if ((scope->below_ & kLeafBit) == 0) continue;
    visit(*reinterpret_cast<const Leaf*>(scope->below_ & ~kLeafBit));
  }
}

void ScopeCore::Reparent(ScopeCore& parent) noexcept {
  Unlink();
  LinkBelow(parent);
  if (parent.StopRequested()) PassStopDown();
}

bool ScopeCore::HasStopSource() const {
  const ScopeExtras* extras = extras_or_null();
  return extras != nullptr && extras->source.stop_possible();
}

ScopeExtras& ScopeCore::extras() {
  if (extras_ == 0 || (extras_ & kReasonBit) != 0) {
    auto* extras = new ScopeExtras;
    if (extras_ != 0) extras->reason = SharedStopReason::FromPackedWord(extras_);
    extras_ = reinterpret_cast<uintptr_t>(extras);
  }
  return *reinterpret_cast<ScopeExtras*>(extras_);
}

TimePoint ScopeCore::EffectiveDeadline() const {
  TimePoint first = kNever;
  for (const ScopeCore* scope = this; scope != nullptr; scope = scope->is_shielded_ ? nullptr : scope->parent_) {
    if (scope->StopRequested()) return TimePoint::min();
    if (const ScopeExtras* extras = scope->extras_or_null()) first = std::min(first, extras->deadline);
  }
  return first;
}

void ScopeCore::DropExtras() noexcept {
  const uintptr_t extras = std::exchange(extras_, 0);
  if ((extras & kReasonBit) == 0 && !are_extras_foreign_) delete reinterpret_cast<ScopeExtras*>(extras);
}

std::stop_token ScopeCore::StopToken() {
  ScopeExtras& mine = extras();
  if (!mine.source.stop_possible()) {
    mine.source = std::stop_source();
    if (StopRequested()) mine.source.request_stop();
  }
  return mine.source.get_token();
}

TaskCore* ScopeCore::NearestTask() {
  for (ScopeCore* scope = this; scope != nullptr; scope = scope->parent_) {
    if (scope->kind_ == Kind::kTask) return static_cast<TaskCore*>(scope);
  }
  return nullptr;
}

ContextRef ScopeCore::Context() const {
  for (const ScopeCore* scope = this; scope != nullptr; scope = scope->parent_) {
    const ScopeExtras* extras = scope->extras_or_null();
    if (extras != nullptr && extras->context != nullptr) return extras->context;
    if (scope->kind_ == Kind::kTask) break;
  }
  return nullptr;
}

void ScopeCore::SetContext(const void* key, std::shared_ptr<const void> value) {
  ScopeCore* owner = this;
  while (owner->kind_ == Kind::kPlain && owner->parent_ != nullptr) owner = owner->parent_;
  const ContextRef before = Context();
  auto after = std::make_shared<ContextMap>();
  if (before != nullptr) *after = *before;
  std::erase_if(*after, [key](const auto& entry) { return entry.first == key; });
  after->emplace_back(key, std::move(value));
  owner->extras().context = std::move(after);
  loop_->has_context = true;
}

}  // namespace gyre::internal
