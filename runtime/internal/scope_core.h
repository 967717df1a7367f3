// ScopeCore: one node of the tree that carries stop requests down to the suspended leaves.
//
// A node is either a strand, where one chain of frames runs, or a group, which has strands below it. A strand waits for at
// most one thing at a time: a leaf, or the node of an operation that it awaits (a scope, a WhenAll, a Timeout). So each node
// needs one word for what is below it. A task, a child of WhenAll and the body of a scope are strands; a Scope is a group.
//
// A stop marks the whole subtree and asks each suspended leaf once; from then on every further leaf await in it ends
// stopped (level triggered). A shielded node is not entered, only told. Nothing is resumed from inside RequestStop: leaves
// go through the ready queue.
//
// Thread-safety: the loop's thread only.
// Lifetime:      outlives its children and its leaf (structured: they live in frames the scope's owner waits for).
// Cost:          56 bytes; joining and leaving are a few stores; RequestStop visits the nodes of the subtree once, with
//                bounded stack.
#ifndef GYRE_RUNTIME_INTERNAL_SCOPE_CORE_H_
#define GYRE_RUNTIME_INTERNAL_SCOPE_CORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <source_location>
#include <stop_token>
#include <utility>

#include "gyre/runtime/check.h"
#include "gyre/runtime/internal/context.h"
#include "gyre/runtime/internal/loop_core.h"
#include "gyre/runtime/internal/stop_link.h"
#include "gyre/runtime/stop_reason.h"
#include "gyre/runtime/time.h"

namespace gyre {
class Leaf;
}

namespace gyre::internal {

class RemoteLink;
class ScopeCore;
class TaskCore;

// What a shielded node hears instead of the stop itself.
class StopListener {
 public:
  // A stop has reached the shield; at most once. From inside RequestStop: nothing may be resumed.
  virtual void OnStopArrived() noexcept = 0;

 protected:
  ~StopListener() = default;
};

// The scope's end of a StopLink: severs it.
struct StopLinkEnd {
  StopLinkEnd() = default;
  StopLinkEnd(const StopLinkEnd&) = delete;
  StopLinkEnd& operator=(const StopLinkEnd&) = delete;
  ~StopLinkEnd() {
    if (link != nullptr) link->Sever();
  }
  std::shared_ptr<StopLink> link;
};

// What few nodes have. Allocated when first needed, or a member of the node's owner.
struct ScopeExtras {
  static void* operator new(size_t size) { return AllocateFrame(size); }
  static void operator delete(void* address, size_t size) noexcept { FreeFrame(address, size); }

  SharedStopReason reason;             // of RequestStop on this node
  ContextRef context;                  // values set in this strand, on top of what it inherited
  std::stop_source source{std::nostopstate};
  StopLinkEnd stop_link;
  std::shared_ptr<RemoteLink> remote_link;  // of a Scope
  uint32_t stops_observed = 0;         // by AsOutcome, while this node was stopped
  StopListener* listener = nullptr;    // of a shielded node
  TimePoint deadline = kNever;         // of a node with a timer
};

class ScopeCore {
 public:
  // Bits that make a leaf await look twice before it starts.
  static constexpr uint8_t kStopRequested = 1;
  static constexpr uint8_t kObserved = 2;  // a test watches every suspension of this loop

  // A root: no parent.
  explicit ScopeCore(LoopCore& loop) : loop_(&loop), attention_(loop.observer != nullptr ? kObserved : uint8_t{0}) {}
  // Below `parent`; born stopped when `parent` is.
  explicit ScopeCore(ScopeCore& parent) : loop_(parent.loop_), attention_(parent.attention_) { LinkBelow(parent); }
  // Shielded from the stops of `parent`, of which `extras.listener` is told; not of one that has come before: see is_told().
  ScopeCore(ScopeCore& parent, ScopeExtras& extras)
      : loop_(parent.loop_),
        extras_(reinterpret_cast<uintptr_t>(&extras)),
        attention_(parent.attention_ & ~kStopRequested),
        is_shielded_(true),
        is_told_(parent.StopRequested()),
        are_extras_foreign_(true) {
    LinkBelow(parent);
  }
  ~ScopeCore() {
    if ((below_ | reinterpret_cast<uintptr_t>(parent_) | extras_) != 0) LeaveTree();
  }
  ScopeCore(const ScopeCore&) = delete;
  ScopeCore& operator=(const ScopeCore&) = delete;

  LoopCore* loop() const { return loop_; }
  ScopeCore* parent() const { return parent_; }

  uint8_t attention() const { return attention_; }
  bool StopRequested() const { return (attention_ & kStopRequested) != 0; }
  // A stop waits outside this node's shield.
  bool is_told() const { return is_told_; }
  // RequestStop was called on this very node, whoever stopped it first.
  bool StoppedHere() const { return is_stopped_here_; }
  // The reason of the nearest RequestStop at or above this node; null while not stopped, or if it was lost.
  SharedStopReason reason() const;

  // Idempotent. Never fails: where there is no memory for the reason, it keeps the place and the task's id, or nothing.
  void RequestStop(StopReason&& reason) noexcept;
  // The same without text.
  void RequestStop(std::source_location where) noexcept;
  // Lets the stop that a shield kept out pass in.
  void LetStopIn() noexcept;

  // Strands: the leaf that suspends here.
  void SetLeaf(Leaf& leaf) {
    GYRE_DCHECK(below_ == 0, "internal: a strand waits for two things");
    below_ = reinterpret_cast<uintptr_t>(&leaf) | kLeafBit;
  }
  void ClearLeaf() { below_ = 0; }

  // Moves this node, and what is below it, under another parent of the same loop; a stop of that parent reaches it now.
  void Reparent(ScopeCore& parent) noexcept;

  // Throws std::bad_alloc.
  ScopeExtras& extras();
  const ScopeExtras* extras_or_null() const {
    return (extras_ & kReasonBit) != 0 ? nullptr : reinterpret_cast<const ScopeExtras*>(extras_);
  }
  // Gives the node extras that its owner keeps alive.
  void SetForeignExtras(ScopeExtras& extras) {
    extras_ = reinterpret_cast<uintptr_t>(&extras);
    are_extras_foreign_ = true;
  }
  // The first deadline of this node and those above it, as far as they reach it: a stop that is pending counts as the
  // beginning of time, and a shield hides what is above.
  TimePoint EffectiveDeadline() const;
  // Requests stop at the same time as this node is stopped. Throws std::bad_alloc.
  std::stop_token StopToken();

  // Calls `visit` with each leaf that waits below. For reports.
  void VisitWaiting(const std::function<void(const Leaf&)>& visit);

  // The TaskCore at or above this node; null above the root.
  TaskCore* NearestTask();
  // The values that the code running in this strand sees.
  ContextRef Context() const;
  // Puts `value` in front of what the strand sees. Throws std::bad_alloc.
  void SetContext(const void* key, std::shared_ptr<const void> value);

 protected:
  // What kind of strand this is, beyond a plain one.
  enum class Kind : uint8_t {
    kPlain,     // an operation's: values set here belong to the strand above
    kBranch,    // a child of a combinator: has values of its own, and sees those above
    kRoot,      // the first: as a branch
    kTask,      // a TaskCore: has values of its own, and sees only what it inherited
  };
  ScopeCore(LoopCore& loop, Kind kind) : ScopeCore(loop) { kind_ = kind; }
  ScopeCore(ScopeCore& parent, Kind kind) : ScopeCore(parent) { kind_ = kind; }
  // In no tree yet.
  explicit ScopeCore(Kind kind) : loop_(nullptr), attention_(0), kind_(kind) {}

  void Attach(ScopeCore& parent) {
    loop_ = parent.loop_;
    attention_ = parent.attention_;
    LinkBelow(parent);
  }
  bool IsOutOfTree() const { return below_ == 0 && parent_ == nullptr && extras_ == 0; }
  // Leaves the tree for good; the extras go with it.
  void Detach() {
    Unlink();
    parent_ = nullptr;
    if (extras_ != 0) [[unlikely]] DropExtras();
  }

 private:
  static constexpr uintptr_t kLeafBit = 1;
  static constexpr uintptr_t kReasonBit = 1;

  // A ring; its head's predecessor is the last.
  void LinkBelow(ScopeCore& parent) {
    GYRE_DCHECK((parent.below_ & kLeafBit) == 0, "internal: a strand waits for two things");
    parent_ = &parent;
    auto* head = reinterpret_cast<ScopeCore*>(parent.below_);
    if (head == nullptr) {
      next_ = previous_ = this;
      parent.below_ = reinterpret_cast<uintptr_t>(this);
    } else {
      next_ = head;
      previous_ = head->previous_;
      previous_->next_ = this;
      head->previous_ = this;
    }
  }
  void Unlink() {
    if (parent_->below_ == reinterpret_cast<uintptr_t>(this)) {
      parent_->below_ = next_ == this ? 0 : reinterpret_cast<uintptr_t>(next_);
    }
    next_->previous_ = previous_;
    previous_->next_ = next_;
  }

  // Null while a leaf is below.
  ScopeCore* first_child() const {
    return (below_ & kLeafBit) != 0 ? nullptr : reinterpret_cast<ScopeCore*>(below_);
  }
  Leaf* TakeLeaf() {
    if ((below_ & kLeafBit) == 0) return nullptr;
    return reinterpret_cast<Leaf*>(std::exchange(below_, 0) & ~kLeafBit);
  }

  template <class Enter>
  ScopeCore* NextInSubtree(ScopeCore* scope, Enter enter);
  void PassStopDown() noexcept;
  bool HasStopSource() const;
  void DropExtras() noexcept;
  void LeaveTree() noexcept {
    GYRE_CHECK(below_ == 0, "a scope was destroyed while work in it was still suspended");
    if (parent_ != nullptr) Unlink();
    if (extras_ != 0) [[unlikely]] DropExtras();
  }
  void StoreReason(StopReason&& reason) noexcept;

  ScopeCore* next_ = nullptr;  // among the children of parent_
  ScopeCore* previous_ = nullptr;
  ScopeCore* parent_ = nullptr;
  LoopCore* loop_;
  uintptr_t below_ = 0;  // the first child; or Leaf* | 1; or nothing
  uintptr_t extras_ = 0;  // ScopeExtras*; or the packed reason of a stop, if there is nothing else; or nothing
  uint8_t attention_;
  Kind kind_ = Kind::kPlain;
  bool is_stopped_here_ : 1 = false;
  bool is_shielded_ : 1 = false;
  bool is_told_ : 1 = false;  // shielded, and a stop has arrived
  bool is_due_ : 1 = false;   // marked by a PassStopDown that has not come by yet
  bool are_extras_foreign_ : 1 = false;
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_SCOPE_CORE_H_
