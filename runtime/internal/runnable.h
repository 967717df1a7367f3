// Runnable: what a loop's ready queue holds, and what other threads put into its inbox.
//
// Thread-safety: Run and Drop are called on the loop's thread.
// Lifetime:      a Runnable is in at most one queue at a time; whoever queued it keeps it alive until Run or Drop.
#ifndef GYRE_RUNTIME_INTERNAL_RUNNABLE_H_
#define GYRE_RUNTIME_INTERNAL_RUNNABLE_H_

#include <cstddef>
#include <cstdint>

#include "gyre/runtime/internal/inbox.h"

namespace gyre::internal {

class Runnable : public InboxNode {
 public:
  virtual void Run() = 0;

  // Instead of Run, when the loop ends first: destroys without running. Only callbacks can meet this: tasks are
  // always joined before their loop ends.
  virtual void Drop() noexcept = 0;

  // Callbacks keep their order even where a simulation shuffles the ready queue.
  bool is_ordered() const { return is_ordered_; }

 protected:
  explicit Runnable(bool is_ordered) : is_ordered_(is_ordered) {}
  ~Runnable() = default;
  Runnable(const Runnable&) = delete;
  Runnable& operator=(const Runnable&) = delete;

 private:
  bool is_ordered_;
};

// First in, first out; a Runnable's own link is used, so pushing never allocates.
class ReadyQueue {
 public:
  bool empty() const { return head_ == nullptr; }

  void Push(Runnable& node) {
    node.next = nullptr;
    if (tail_ == nullptr) {
      head_ = &node;
    } else {
      tail_->next = &node;
    }
    tail_ = &node;
  }

  Runnable* Pop() {
    InboxNode* node = head_;
    if (node == nullptr) return nullptr;
    head_ = node->next;
    if (head_ == nullptr) tail_ = nullptr;
    return &static_cast<Runnable&>(*node);
  }

  // Moves all of `other` behind this queue's own.
  void Append(ReadyQueue& other) {
    if (other.empty()) return;
    if (tail_ == nullptr) {
      head_ = other.head_;
    } else {
      tail_->next = other.head_;
    }
    tail_ = other.tail_;
    other.head_ = other.tail_ = nullptr;
  }

 private:
  InboxNode* head_ = nullptr;
  InboxNode* tail_ = nullptr;
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_RUNNABLE_H_
