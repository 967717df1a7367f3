// Inbox: how other threads hand nodes to a loop, and learn whether they must wake it.
//
// The whole state is one word, so that "is there work?" and "is the loop asleep?" are one question: a wake-up can't
// fall between two answers.
//
//   awake ---TrySleep---> asleep ---Push (kMustWake) or Take---> awake ---Close---> closed, for good
//
// Thread-safety: Push and PushChain from any thread; Take, TrySleep and Close from the owning loop's thread only.
// Lifetime:      a node belongs to the inbox from a Push that isn't kClosed until Take or Close hands it out. The inbox
//                outlives every Push; nodes still in it when it dies are a debug check failure.
// Cost:          a Push is one compare-exchange, uncontended about 10 ns; an idle Take is one load.
// Model:         tests/model/inbox.pml, with the loop that sleeps, wakes and ends around it: Spin searches all its states.
#ifndef GYRE_RUNTIME_INTERNAL_INBOX_H_
#define GYRE_RUNTIME_INTERNAL_INBOX_H_

#include <atomic>
#include <cstdint>

#include "gyre/runtime/check.h"

namespace gyre::internal {

struct InboxNode {
  InboxNode* next = nullptr;
};

enum class PushResult {
  kQueued,    // the loop is awake and will find the node
  kMustWake,  // the loop was asleep; this caller, and no other, wakes it
  kClosed,    // the node was not taken: it is still the caller's
};

// `Atomic` is std::atomic, or a model checker's stand-in for it.
template <template <class> class Atomic = std::atomic>
class alignas(64) BasicInbox {
 public:
  using Node = InboxNode;

  BasicInbox() = default;
  BasicInbox(const BasicInbox&) = delete;
  BasicInbox& operator=(const BasicInbox&) = delete;
  ~BasicInbox() { GYRE_DCHECK(!IsList(head_.load(std::memory_order_relaxed)), "an inbox died with nodes in it"); }

  [[nodiscard]] PushResult Push(Node& node) { return PushChain(node, node); }

  // Pushes nodes already linked from `newest` down to `oldest`, as one step and with one wake-up.
  [[nodiscard]] PushResult PushChain(Node& newest, Node& oldest) {
    uintptr_t seen = head_.load(std::memory_order_relaxed);
    do {
      if (seen == kClosed) return PushResult::kClosed;
      oldest.next = IsList(seen) ? reinterpret_cast<Node*>(seen) : nullptr;
    } while (!head_.compare_exchange_weak(seen, reinterpret_cast<uintptr_t>(&newest), std::memory_order_release,
                                          std::memory_order_relaxed));
    return seen == kAsleep ? PushResult::kMustWake : PushResult::kQueued;
  }

  // Everything pushed so far, oldest first, linked by `next`; null when there is nothing. The loop is awake afterwards.
  Node* Take() {
    const uintptr_t seen = head_.load(std::memory_order_relaxed);
    if (seen == kAwake || seen == kClosed) return nullptr;  // closed stays closed
    return OldestFirst(head_.exchange(kAwake, std::memory_order_acquire));
  }

  // A Push that has returned is seen.
  bool LooksEmpty() const { return head_.load(std::memory_order_relaxed) <= kClosed; }

  // True: the loop counts as asleep, and the next Push returns kMustWake. False: there is something to Take (or the
  // inbox is closed, or already asleep).
  [[nodiscard]] bool TrySleep() {
    uintptr_t expected = kAwake;
    return head_.compare_exchange_strong(expected, kAsleep, std::memory_order_relaxed, std::memory_order_relaxed);
  }

  // Refuses every later Push, and returns what had been pushed before, as Take does.
  Node* Close() { return OldestFirst(head_.exchange(kClosed, std::memory_order_acquire)); }

 private:
  static constexpr uintptr_t kAwake = 0;   // and empty. Left by TrySleep, Push, Close.
  static constexpr uintptr_t kAsleep = 1;  // and empty. Left by Push, Take, Close.
  static constexpr uintptr_t kClosed = 2;  // Never left.

  static bool IsList(uintptr_t word) { return word > kClosed; }

  static Node* OldestFirst(uintptr_t word) {
    if (!IsList(word)) return nullptr;
    Node* reversed = nullptr;
    for (Node* node = reinterpret_cast<Node*>(word); node != nullptr;) {
      Node* const below = node->next;
      node->next = reversed;
      reversed = node;
      node = below;
    }
    return reversed;
  }

  // head_ is kAwake, kAsleep, kClosed, or the newest of a stack of unread nodes (the loop is awake, or being woken).
  // Push:relaxed      a guess that its compare-exchange then checks; on kClosed it moves no data.
  // Push:release      publishes the node and all its pusher wrote before.  Pairs with Take:acquire, Close:acquire.
  // Take:relaxed      only asks whether the exchange is worth it. A Push it misses is seen by the next Take, and a
  //                   TrySleep in between fails. (Its own TrySleep it can't miss: same thread.)
  // Take:acquire      sees every node, not just the newest: a Push is a read-modify-write, so it continues the release
  //                   sequences of the Pushes beneath it.
  // Close:acquire     as Take:acquire.
  // TrySleep:relaxed  moves no data. No wake-up is lost without seq_cst: head_'s modification order puts each Push
  //                   before the sleep (TrySleep fails) or after it (the first such Push reads kAsleep: kMustWake).
  //                   The wake itself (an eventfd's count, a posted completion) persists until the loop looks, so it
  //                   doesn't matter whether it comes before or after the loop blocks.
  // Exercised by tests/runtime/inbox_test.cc and tests/stress/inbox_stress_test.cc.
  Atomic<uintptr_t> head_{kAwake};
};

using Inbox = BasicInbox<>;

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_INBOX_H_
