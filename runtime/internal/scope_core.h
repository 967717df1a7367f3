// ScopeCore: one node of the tree that carries stop requests down to the suspended leaves.
//
// Each scope knows its parent, its children and the leaf awaits suspended directly in it. A stop marks the whole
// subtree and asks each suspended leaf once; from then on every further leaf await in it ends stopped (level
// triggered). Nothing is resumed from inside RequestStop: leaves go through the ready queue.
//
// Thread-safety: the loop's thread only.
// Lifetime:      outlives its children and its leaves (structured: they live in frames the scope's owner waits for).
// Cost:          joining and leaving are a few stores; RequestStop visits the scopes and leaves of the subtree once,
//                with bounded stack.
#ifndef GYRE_RUNTIME_INTERNAL_SCOPE_CORE_H_
#define GYRE_RUNTIME_INTERNAL_SCOPE_CORE_H_

#include <memory>
#include <utility>

#include "gyre/runtime/internal/intrusive_list.h"
#include "gyre/runtime/internal/loop_core.h"
#include "gyre/runtime/stop_reason.h"

namespace gyre {
class Leaf;
}

namespace gyre::internal {

struct SiblingTag;
struct PendingTag;

class ScopeCore : public ListHook<ScopeCore, SiblingTag> {
 public:
  // A root: no parent.
  explicit ScopeCore(LoopCore& loop) : loop_(&loop) {}
  // A child; born stopped when `parent` is.
  explicit ScopeCore(ScopeCore& parent)
      : loop_(parent.loop_), parent_(&parent), stop_origin_(parent.stop_origin_) {
    parent.children_.PushBack(*this);
  }
  ~ScopeCore();
  ScopeCore(const ScopeCore&) = delete;
  ScopeCore& operator=(const ScopeCore&) = delete;

  LoopCore* loop() const { return loop_; }
  ScopeCore* parent() const { return parent_; }

  bool StopRequested() const { return stop_origin_ != nullptr; }
  // The scope whose RequestStop reached this one first; null while not stopped.
  ScopeCore* stop_origin() const { return stop_origin_; }
  // The reason given to stop_origin(); a blank one if it was not stopped, or had no memory.
  const StopReason& reason() const;

  // Idempotent. If an ancestor's stop came first, that one stays the origin, but `StoppedHere()` becomes true.
  // Never fails: where there is no memory for the reason, it stops without one.
  void RequestStop(StopReason&& reason) noexcept;
  // RequestStop was called on this very scope, whoever stopped it first.
  bool StoppedHere() const { return is_stopped_here_; }

  IntrusiveList<Leaf, PendingTag>& pending() { return pending_; }

 private:
  ScopeCore* NextInSubtree(ScopeCore* scope);

  LoopCore* loop_;
  ScopeCore* parent_ = nullptr;
  ScopeCore* stop_origin_ = nullptr;
  IntrusiveList<ScopeCore, SiblingTag> children_;
  IntrusiveList<Leaf, PendingTag> pending_;
  // Recycled like a frame: a stop must not cost a trip to the allocator.
  struct StoredReason : StopReason {
    explicit StoredReason(StopReason&& reason) : StopReason(std::move(reason)) {}
    static void* operator new(size_t size) { return AllocateFrame(size); }
    static void operator delete(void* address, size_t size) noexcept { FreeFrame(address, size); }
  };
  std::unique_ptr<StoredReason> reason_;  // null: not stopped here, or no memory
  bool is_stopped_here_ = false;
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_SCOPE_CORE_H_
