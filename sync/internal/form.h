// OneLoop and ManyLoops: the two forms of every primitive. Each primitive is written once, for a Form; what differs is what
// guards its state and how a waiter is woken.
//
//   template <class Form>
//   class BasicEvent {
//     void Set() {
//       Section<Form> section(form_);                    // OneLoop: nothing. ManyLoops: locked until the end of the scope
//       is_set_ = true;
//       while (Waiter<Form>* waiter = waiters_.PopFront()) section.Wake(*waiter);   // ManyLoops: woken after the unlock
//     }
//   };
//
// Who waits is a Waiter in a WaitQueue. Whoever takes it out of the queue owns its completion: a primitive that hands
// something over takes it out inside a Section and wakes it; a stop takes it out with Withdraw and completes it as
// stopped, or finds that it has been taken out already: then its wake-up is under way, and what had been handed over is
// undone or delivered when that arrives (Leaf::Undo).
//
// After Section's end nothing of the primitive is touched: the one that was woken may destroy it. (ManyLoops: when no other
// wake-up is under way, because a stop that comes before that still asks the queue.)
//
// Thread-safety: OneLoop: its loop. ManyLoops: any thread; the waiters themselves resume on their own loops.
// Cost:          a Waiter takes 56 bytes of its coroutine's frame; nothing is allocated.
#ifndef GYRE_SYNC_INTERNAL_FORM_H_
#define GYRE_SYNC_INTERNAL_FORM_H_

#include <atomic>
#include <cstddef>
#include <utility>

#include "gyre/runtime/check.h"
#include "gyre/runtime/home_loop.h"
#include "gyre/runtime/leaf.h"
#include "gyre/sync/internal/lock.h"

namespace gyre::internal {

template <class Form>
class Section;
template <class Form>
class WaitQueue;

class OneLoop {
 public:
  static constexpr bool kIsShared = false;

  // Each primitive calls it first in whatever touches its state.
  void CheckHome(const char* what, bool has_waiters, bool is_in_use) { home_.Check(what, has_waiters, is_in_use); }

 private:
  HomeLoop home_;
};

#ifdef GYRE_DEBUG_CHECKS
// How many of a Shared primitive's waiters have been woken and have not gone on. Until they have, a stop still asks the
// primitive.
class WokenCount {
 public:
  // One of them: part of the waiter.
  class Entry {
   public:
    Entry() = default;
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;
    ~Entry() { Leave(); }
    void Leave() {
      if (count_ != nullptr) std::exchange(count_, nullptr)->count_.fetch_sub(1, std::memory_order_release);
    }

   private:
    friend WokenCount;
    WokenCount* count_ = nullptr;
  };

  ~WokenCount() {
    GYRE_CHECK(count_.load(std::memory_order_acquire) == 0,
               "a Shared primitive was destroyed before a task that it had woken went on: it has to outlive that too");
  }
  void Add(Entry& entry) {
    entry.count_ = this;
    count_.fetch_add(1, std::memory_order_relaxed);
  }

 private:
  std::atomic<size_t> count_{0};
};
#endif

class ManyLoops {
 public:
  static constexpr bool kIsShared = true;

  void CheckHome(const char*, bool, bool) {}

 private:
  friend class Section<ManyLoops>;
  Lock lock_;
#ifdef GYRE_DEBUG_CHECKS
  WokenCount woken_;
#endif
};

// A leaf in a queue. A primitive derives its own from it, with OnStop, and Undo if it hands something over. Where it is usual
// not to wait, its await_suspend is always_inline: as a call it takes 20 instructions more, where the whole takes 70.
template <class Form>
class Waiter : public Leaf {
 protected:
  Waiter() = default;
  ~Waiter() = default;

 private:
  friend class Section<Form>;
  friend class WaitQueue<Form>;

  Waiter* next_;      // in the queue, then in the Section that wakes it; before that, unset
  Waiter* previous_;  // in the queue
  bool is_queued_ = false;
#ifdef GYRE_DEBUG_CHECKS
  void Run() override {
    const bool is_stopped = Settle();
    woken_.Leave();
    GoOn(is_stopped);
  }
  WokenCount::Entry woken_;
#endif
};

// First in, first out; leaving from the middle is O(1). Inside a Section only.
template <class Form>
class WaitQueue {
 public:
  WaitQueue() = default;
  WaitQueue(const WaitQueue&) = delete;
  WaitQueue& operator=(const WaitQueue&) = delete;

  bool empty() const { return first_ == nullptr; }
  size_t size() const { return size_; }
  Waiter<Form>* front() const { return first_; }
  // Behind `waiter`, which is in this queue; null if it is the last.
  Waiter<Form>* After(const Waiter<Form>& waiter) const { return waiter.next_; }

  void PushBack(Waiter<Form>& waiter) {
    waiter.is_queued_ = true;
    waiter.next_ = nullptr;
    waiter.previous_ = last_;
    (last_ != nullptr ? last_->next_ : first_) = &waiter;
    last_ = &waiter;
    ++size_;
  }
  // Null if there is none.
  Waiter<Form>* PopFront() {
    Waiter<Form>* const waiter = first_;
    if (waiter == nullptr) return nullptr;
    first_ = waiter->next_;
    (first_ != nullptr ? first_->previous_ : last_) = nullptr;
    waiter->is_queued_ = false;
    --size_;
    return waiter;
  }
  // For a stop: false if it has been taken out already, by who wakes it.
  bool Withdraw(Waiter<Form>& waiter) {
    if (!waiter.is_queued_) return false;
    Unlink(waiter);
    return true;
  }

 private:
  void Unlink(Waiter<Form>& waiter) {
    (waiter.previous_ != nullptr ? waiter.previous_->next_ : first_) = waiter.next_;
    (waiter.next_ != nullptr ? waiter.next_->previous_ : last_) = waiter.previous_;
    waiter.is_queued_ = false;
    --size_;
  }

  Waiter<Form>* first_ = nullptr;
  Waiter<Form>* last_ = nullptr;
  size_t size_ = 0;
};

template <>
class Section<OneLoop> {
 public:
  explicit Section(OneLoop&) {}
  Section(const Section&) = delete;
  Section& operator=(const Section&) = delete;

  // `waiter` is in no queue. In the order of the calls.
  void Wake(Waiter<OneLoop>& waiter) { waiter.Complete(); }
};

template <>
class Section<ManyLoops> {
 public:
  explicit Section(ManyLoops& form) : form_(form) { form_.lock_.Acquire(); }
  Section(const Section&) = delete;
  Section& operator=(const Section&) = delete;
  ~Section() {
    form_.lock_.Release();
    while (first_ != nullptr) {
      Waiter<ManyLoops>* const waiter = first_;
      first_ = waiter->next_;
      waiter->CompleteFromAnyThread();
    }
  }

  void Wake(Waiter<ManyLoops>& waiter) {
#ifdef GYRE_DEBUG_CHECKS
    form_.woken_.Add(waiter.woken_);
#endif
    waiter.next_ = nullptr;
    (last_ != nullptr ? last_->next_ : first_) = &waiter;
    last_ = &waiter;
  }

 private:
  ManyLoops& form_;
  Waiter<ManyLoops>* first_ = nullptr;
  Waiter<ManyLoops>* last_ = nullptr;
};

// What a primitive gives before co_await: it does nothing yet, and makes the leaf.
template <class LeafType, class Primitive>
class [[nodiscard]] WaitOperation {
 public:
  explicit WaitOperation(Primitive& primitive) : primitive_(primitive) {}
  LeafType operator co_await() && { return LeafType(primitive_); }

 private:
  Primitive& primitive_;
};

}  // namespace gyre::internal

#endif  // GYRE_SYNC_INTERNAL_FORM_H_
