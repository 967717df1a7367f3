// Broadcast<T>, SharedBroadcast<T>: each item is heard by every subscriber.
//
//   gyre::Broadcast<Price> prices(/*kept=*/256);
//   gyre::Broadcast<Price>::Subscription mine = prices.Subscribe();      // hears what is sent from now on
//   std::optional<gyre::Heard<Price>> heard = co_await mine.Receive();   // std::nullopt: closed, and all is heard
//   if (heard->missed > 0) ...                                           // so many before it, because we were too slow
//
// The sender never waits. The last `kept` items are kept; a subscriber that falls behind further than that goes on with the
// oldest that is left, and is told how many it has missed.
//
// Thread-safety: Broadcast: one loop. SharedBroadcast: any thread; who waits resumes on its own loop. A subscription belongs to
//                one task at a time.
// Lifetime:      outlives its subscriptions, and a subscription its Receive; otherwise a check failure.
//                A Shared form outlives the waits that it has ended, too, until they resume (checked with GYRE_DEBUG_CHECKS).
// Cancellation:  a stopped Receive has taken nothing: the item is heard by the next Receive of that subscription.
// Errors:        Send: kUnavailable once closed. What copying an item throws, Receive throws, and has taken nothing.
// Units:         missed: items.
// Cost:          a copy of the item for each subscriber (a SharedBroadcast makes it while it holds its lock): for large ones, T is
//                std::shared_ptr<const U>. `kept` items are allocated by the constructor.
#ifndef GYRE_SYNC_BROADCAST_H_
#define GYRE_SYNC_BROADCAST_H_

#include <algorithm>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "gyre/runtime/check.h"
#include "gyre/sync/internal/form.h"
#include "gyre/sync/internal/ring.h"

namespace gyre {

template <class T, class Form>
class BasicBroadcast;

// What Subscription::Receive gives.
template <class T>
struct Heard {
  Heard(const T& the_item, uint64_t how_many) : item(the_item), missed(how_many) {}
  T item;
  uint64_t missed;  // items that came before this one and after the one heard before it
};

template <class T, class Form>
class BasicSubscription {
 public:
  BasicSubscription(BasicSubscription&& other) noexcept : next_(other.next_) {
    GYRE_CHECK(!other.is_awaited_, "a Subscription was moved while a task waits for it");
    broadcast_ = std::exchange(other.broadcast_, nullptr);
  }
  BasicSubscription& operator=(BasicSubscription&&) = delete;
  ~BasicSubscription() {
    GYRE_CHECK(!is_awaited_, "a Subscription was destroyed while a task waits for it");
    if (broadcast_ != nullptr) broadcast_->Unsubscribe();
  }

  // co_await: the next item as std::optional<Heard<T>>; std::nullopt when it is closed and all is heard.
  auto Receive() { return ReceiveOperation(*this); }
  // std::nullopt where Receive would wait, and at the end.
  std::optional<Heard<T>> TryReceive() {
    GYRE_CHECK(!is_awaited_, "Subscription::TryReceive while a task waits in Receive: a subscription is for one task at a time");
    Section section(source().form_);
    source().CheckHome();
    return source().TakeNext(next_);
  }

 private:
  using Section = internal::Section<Form>;
  friend BasicBroadcast<T, Form>;

  class [[nodiscard]] ReceiveWaiter final : public internal::Waiter<Form> {
   public:
    explicit ReceiveWaiter(BasicSubscription& subscription) : subscription_(subscription) {}

    template <class P>
    bool await_suspend(std::coroutine_handle<P> awaiting) {
      return this->Suspend(awaiting, [this] { return source().IsNewOrQueue(*this, subscription_); });
    }
    std::optional<Heard<T>> await_resume() {
      subscription_.is_awaited_ = false;
      return subscription_.TryReceive();
    }

   private:
    BasicBroadcast<T, Form>& source() { return subscription_.source(); }
    void OnStop() noexcept override {
      if (!source().Withdraw(*this)) return;
      subscription_.is_awaited_ = false;
      this->CompleteStopped();
    }
    std::string WaitsFor() const override { return "the next value of a Broadcast"; }
    bool Undo() noexcept override {
      subscription_.is_awaited_ = false;
      return true;  // it was told that there is something, and has not taken it
    }

    BasicSubscription& subscription_;
  };

  class [[nodiscard]] ReceiveOperation {
   public:
    explicit ReceiveOperation(BasicSubscription& subscription) : subscription_(subscription) {}
    ReceiveWaiter operator co_await() && { return ReceiveWaiter(subscription_); }

   private:
    BasicSubscription& subscription_;
  };

  BasicSubscription(BasicBroadcast<T, Form>& broadcast, uint64_t next) : broadcast_(&broadcast), next_(next) {}
  BasicBroadcast<T, Form>& source() {
    GYRE_CHECK(broadcast_ != nullptr, "Subscription::Receive: it has been moved from");
    return *broadcast_;
  }

  BasicBroadcast<T, Form>* broadcast_;
  uint64_t next_;            // number of the item to be heard next
  bool is_awaited_ = false;  // by a task that was not ready at once
};

template <class T, class Form>
class BasicBroadcast {
  static_assert(std::is_copy_constructible_v<T> && std::is_nothrow_move_constructible_v<T>,
                "gyre: what a Broadcast carries is copied for each subscriber, and moves without throwing: use std::shared_ptr");

 public:
  using Subscription = BasicSubscription<T, Form>;

  explicit BasicBroadcast(size_t kept) : kept_(kept), items_(kept) {
    GYRE_CHECK(kept > 0, "a Broadcast keeps one item at least");
  }
  BasicBroadcast(const BasicBroadcast&) = delete;
  BasicBroadcast& operator=(const BasicBroadcast&) = delete;
  ~BasicBroadcast() { GYRE_CHECK(subscriptions_ == 0, "a Broadcast was destroyed while a Subscription to it is open"); }

  // Never waits. Where nobody is subscribed, nobody hears it.
  absl::Status Send(T item) {
    std::optional<T> displaced;  // destroyed outside of the section: its destructor may use the broadcast
    Section section(form_);
    CheckHome();
    if (is_closed_) return absl::UnavailableError("the broadcast is closed");
    if (subscriptions_ == 0) return absl::OkStatus();
    if (items_.size() == kept_) {
      displaced.emplace(std::move(items_.front()));
      items_.DropFront();
    }
    items_.PushBack(std::move(item));
    ++end_;
    WakeAll(section);
    return absl::OkStatus();
  }
  // What is there is heard, then the end. Idempotent.
  void Close() {
    Section section(form_);
    CheckHome();
    is_closed_ = true;
    WakeAll(section);
  }
  Subscription Subscribe() {
    Section section(form_);
    CheckHome();
    ++subscriptions_;
    return Subscription(*this, end_);
  }

  // Of now: in a SharedBroadcast a moment later it may be otherwise.
  size_t subscriptions() const {
    Section section(form_);
    return subscriptions_;
  }
  bool is_closed() const {
    Section section(form_);
    return is_closed_;
  }

 private:
  using Section = internal::Section<Form>;
  using Waiter = internal::Waiter<Form>;
  friend Subscription;

  void CheckHome() { form_.CheckHome("a Broadcast", !waiters_.empty(), /*is_in_use=*/false); }

  void WakeAll(Section& section) {
    while (Waiter* const waiter = waiters_.PopFront()) section.Wake(*waiter);
  }
  // True if the wait is over.
  bool IsNewOrQueue(Waiter& waiter, Subscription& subscription) {
    Section section(form_);
    CheckHome();
    GYRE_CHECK(!subscription.is_awaited_, "Subscription::Receive: another task waits for the same subscription");
    if (subscription.next_ < end_ || is_closed_) return true;
    subscription.is_awaited_ = true;
    waiters_.PushBack(waiter);
    return false;
  }
  bool Withdraw(Waiter& waiter) {
    Section section(form_);
    return waiters_.Withdraw(waiter);
  }
  // The item with the number `next`, or the oldest after it, if there is one; advances `next` behind it. Inside a Section.
  std::optional<Heard<T>> TakeNext(uint64_t& next) {
    if (next == end_) return std::nullopt;
    const uint64_t oldest = end_ - items_.size();
    const uint64_t number = std::max(next, oldest);
    std::optional<Heard<T>> heard(std::in_place, items_[number - oldest], number - next);
    next = number + 1;
    return heard;
  }
  void Unsubscribe() {
    Section section(form_);
    CheckHome();
    --subscriptions_;
  }

  [[no_unique_address]] mutable Form form_;
  const size_t kept_;
  internal::Ring<T> items_;
  uint64_t end_ = 0;  // number of the item that will be sent next
  bool is_closed_ = false;
  size_t subscriptions_ = 0;
  internal::WaitQueue<Form> waiters_;
};

template <class T>
using Broadcast = BasicBroadcast<T, internal::OneLoop>;
template <class T>
using SharedBroadcast = BasicBroadcast<T, internal::ManyLoops>;

}  // namespace gyre

#endif  // GYRE_SYNC_BROADCAST_H_
