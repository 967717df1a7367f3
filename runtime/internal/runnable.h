// Runnable: what a loop's ready queue holds, and what other threads put into its inbox.
//
// Thread-safety: Run and Drop are called on the loop's thread.
// Lifetime:      a Runnable is in at most one queue at a time; whoever queued it keeps it alive until Run or Drop.
#ifndef GYRE_RUNTIME_INTERNAL_RUNNABLE_H_
#define GYRE_RUNTIME_INTERNAL_RUNNABLE_H_

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "gyre/runtime/internal/inbox.h"

namespace gyre::internal {

// What a Runnable is to the queue it is in.
enum class RunnableKind : uint8_t {
  kTask,      // a simulation may shuffle it
  kMessage,   // gyre's own, from another thread: keeps its order among messages and callbacks
  kCallback,  // the program's own: as a message, and one that its loop's end finds is reported
};

class Runnable : public InboxNode {
 public:
  virtual void Run() = 0;

  // Instead of Run, when the loop ends first: destroys without running. Only callbacks and messages can meet this: tasks
  // are always joined before their loop ends.
  virtual void Drop() noexcept = 0;

  // Callbacks and messages keep their order even where a simulation shuffles the ready queue.
  bool is_ordered() const { return kind_ != RunnableKind::kTask; }
  bool is_callback() const { return kind_ == RunnableKind::kCallback; }

 protected:
  explicit Runnable(RunnableKind kind) : kind_(kind) {}
  ~Runnable() = default;
  Runnable(const Runnable&) = delete;
  Runnable& operator=(const Runnable&) = delete;

 private:
  RunnableKind kind_;
};

// First in, first out; a Runnable's own link is used, so pushing never allocates.
class ReadyQueue {
 public:
  ReadyQueue() = default;
  ReadyQueue(const ReadyQueue&) = delete;
  ReadyQueue& operator=(const ReadyQueue&) = delete;

  bool empty() const { return head_ == nullptr; }
  bool IsFront(const Runnable& node) const { return head_ == &node; }
  // Null when empty.
  const InboxNode* back() const { return empty() ? nullptr : reinterpret_cast<const InboxNode*>(end_); }

  void Push(Runnable& node) {
    node.next = nullptr;
    *end_ = &node;
    end_ = &node.next;
  }

  Runnable* Pop() {
    if (head_ == nullptr) return nullptr;
    return &static_cast<Runnable&>(*PopNode());
  }
  // Not empty.
  InboxNode* PopNode() {
    InboxNode* node = head_;
    head_ = node->next;
    if (head_ == nullptr) end_ = &head_;
    return node;
  }

 private:
  static_assert(std::is_standard_layout_v<InboxNode>, "a node and its link must have the same address");

  InboxNode* head_ = nullptr;
  InboxNode** end_ = &head_;  // where the next node is to be entered
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_RUNNABLE_H_
