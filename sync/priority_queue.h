// PriorityQueue<T>, SharedPriorityQueue<T>: work in order of urgency, and a way to wait until all of it is done.
//
//   gyre::PriorityQueue<Job> jobs;                                   // least first, by operator<
//   co_await gyre::Try(co_await jobs.Put(std::move(job)));
//   ...
//   const std::optional<Job> next = co_await jobs.Get();             // std::nullopt: shut down, and nothing is left
//   jobs.TaskDone();
//   ...
//   co_await jobs.Join();                                            // every job that was put in is done
//
// Equal items come out in the order in which they got in. Putters get in, and getters get items, in the order in which they
// came.
//
// Thread-safety: PriorityQueue: one loop. SharedPriorityQueue: any thread; who waits resumes on its own loop.
// Lifetime:      outlives its waiters; to destroy it before is a check failure. Items that are left are destroyed with it.
//                A Shared form outlives the waits that it has ended, too, until they resume (checked with GYRE_DEBUG_CHECKS).
// Cancellation:  a stopped Put has put nothing, and its item dies with the await; a stopped Get or Join has taken nothing. What was
//                handed over is delivered.
// Errors:        shut down: Put gives kUnavailable and the item. More TaskDone than Put: a check failure. What Less throws,
//                the Put or Get that compares throws, and the queue is as it was before: the item of that Put dies with it,
//                a Get has taken nothing. A Put that waited throws it itself, not the Get that made room.
// Cost:          O(log n) comparisons; memory grows with the longest queue. T moves without throwing. A SharedPriorityQueue compares
//                while it holds its lock.
// Source:        names and shutdown as asyncio.Queue has them.
#ifndef GYRE_SYNC_PRIORITY_QUEUE_H_
#define GYRE_SYNC_PRIORITY_QUEUE_H_

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "gyre/runtime/check.h"
#include "gyre/sync/internal/form.h"
#include "gyre/sync/send_result.h"

namespace gyre {

template <class T, class Form, class Less = std::less<T>>
class BasicPriorityQueue {
  static_assert(std::is_object_v<T> && std::is_nothrow_move_constructible_v<T> && std::is_nothrow_move_assignable_v<T>,
                "gyre: what a PriorityQueue holds must move without throwing: use std::unique_ptr");

 public:
  // How many items it has room for.
  explicit BasicPriorityQueue(size_t capacity = kUnbounded, Less less = Less()) : capacity_(capacity), less_(less) {
    GYRE_CHECK(capacity > 0, "a PriorityQueue has room for one item at least");
  }
  BasicPriorityQueue(const BasicPriorityQueue&) = delete;
  BasicPriorityQueue& operator=(const BasicPriorityQueue&) = delete;
  ~BasicPriorityQueue() {
    GYRE_CHECK(putters_.empty() && getters_.empty() && joiners_.empty(),
               "a PriorityQueue was destroyed while a task waits for it");
  }

  // co_await: a SendResult<T>. Waits while there is no room.
  auto Put(T item) { return PutOperation(*this, std::move(item)); }
  SendResult<T> TryPut(T item) {
    Section section(form_);
    CheckHome();
    if (is_shut_down_) return Refused(std::move(item));
    if (putters_.empty() && PutIn(section, item)) return SendResult<T>();
    return SendResult<T>::Full(std::move(item), "the queue is full");
  }
  // co_await: the least item as std::optional<T>; std::nullopt when none will come any more.
  auto Get() { return GetOperation(*this); }
  // std::nullopt where Get would wait, and at the end.
  std::optional<T> TryGet() {
    Section section(form_);
    CheckHome();
    std::optional<T> item;
    TakeOut(section, item);
    return item;
  }
  // An item that Get gave has been dealt with.
  void TaskDone() {
    Section section(form_);
    CheckHome();
    GYRE_CHECK(unfinished_ > heap_.size(), "PriorityQueue::TaskDone: it was called more often than Get gave an item");
    Finish(section, 1);
  }
  // co_await: void, as soon as there were as many TaskDone as items were put in.
  auto Join() { return JoinOperation(*this); }

  // Nothing is put in any more, also by those who wait to; what is there is given out. Idempotent.
  void ShutDown() {
    Section section(form_);
    CheckHome();
    ShutDownInside(section);
  }
  // As ShutDown, and what is there is dropped and counts as done.
  void ShutDownNow() {
    std::vector<Entry> left;  // destroyed outside of the section
    Section section(form_);
    CheckHome();
    left.swap(heap_);
    ShutDownInside(section);
    Finish(section, left.size());
  }

  // Of now: in a SharedPriorityQueue a moment later it may be otherwise.
  size_t size() const { return Read([this] { return heap_.size(); }); }
  size_t unfinished() const { return Read([this] { return unfinished_; }); }
  bool is_shut_down() const { return Read([this] { return is_shut_down_; }); }

  static constexpr size_t kUnbounded = std::numeric_limits<size_t>::max();

 private:
  using Section = internal::Section<Form>;
  using Waiter = internal::Waiter<Form>;

  struct Entry {
    Entry(T&& the_item, uint64_t the_number) : item(std::move(the_item)), number(the_number) {}
    T item;
    uint64_t number;  // of arrival
  };

  class [[nodiscard]] PutWaiter final : public Waiter {
   public:
    PutWaiter(BasicPriorityQueue& queue, T&& item) : queue_(queue), item_(std::move(item)) {}

    template <class P>
    bool await_suspend(std::coroutine_handle<P> awaiting) {
      return this->Suspend(awaiting, [this] { return queue_.PutOrQueue(*this); });
    }
    SendResult<T> await_resume() {
      if (error_ != nullptr) std::rethrow_exception(std::move(error_));
      if (is_refused_) return Refused(std::move(item_));
      return SendResult<T>();
    }

   private:
    friend BasicPriorityQueue;
    void OnStop() noexcept override {
      if (queue_.Withdraw(queue_.putters_, *this)) this->CompleteStopped();
    }
    std::string WaitsFor() const override { return "room in a PriorityQueue"; }
    bool Undo() noexcept override { return false; }  // it is in, or has to be given back

    BasicPriorityQueue& queue_;  // gone, maybe, when the wait is over
    T item_;
    std::exception_ptr error_;  // what Less threw when there was room for it
    bool is_refused_ = false;
  };

  class [[nodiscard]] GetWaiter final : public Waiter {
   public:
    explicit GetWaiter(BasicPriorityQueue& queue) : queue_(queue) {}

    template <class P>
    bool await_suspend(std::coroutine_handle<P> awaiting) {
      return this->Suspend(awaiting, [this] { return queue_.TakeOrQueue(*this); });
    }
    std::optional<T> await_resume() {
      if (error_ != nullptr) [[unlikely]] std::rethrow_exception(std::exchange(error_, nullptr));
      return std::move(item_);
    }

   private:
    friend BasicPriorityQueue;
    void OnStop() noexcept override {
      if (queue_.Withdraw(queue_.getters_, *this)) this->CompleteStopped();
    }
    std::string WaitsFor() const override { return "an item of a PriorityQueue"; }
    bool Undo() noexcept override { return !item_.has_value() && error_ == nullptr; }  // an item is delivered

    BasicPriorityQueue& queue_;  // gone, maybe, when the wait is over
    std::optional<T> item_;
    std::exception_ptr error_;  // what Less threw
  };

  class [[nodiscard]] JoinWaiter final : public Waiter {
   public:
    explicit JoinWaiter(BasicPriorityQueue& queue) : queue_(queue) {}

    template <class P>
    bool await_suspend(std::coroutine_handle<P> awaiting) {
      return this->Suspend(awaiting, [this] { return queue_.IsDoneOrQueue(*this); });
    }
    void await_resume() const {}

   private:
    void OnStop() noexcept override {
      if (queue_.Withdraw(queue_.joiners_, *this)) this->CompleteStopped();
    }
    std::string WaitsFor() const override { return "a PriorityQueue whose items are all done"; }

    BasicPriorityQueue& queue_;
  };

  class [[nodiscard]] PutOperation {
   public:
    PutOperation(BasicPriorityQueue& queue, T&& item) : queue_(queue), item_(std::move(item)) {}
    PutWaiter operator co_await() && { return PutWaiter(queue_, std::move(item_)); }

   private:
    BasicPriorityQueue& queue_;
    T item_;
  };
  class [[nodiscard]] GetOperation {
   public:
    explicit GetOperation(BasicPriorityQueue& queue) : queue_(queue) {}
    GetWaiter operator co_await() && { return GetWaiter(queue_); }

   private:
    BasicPriorityQueue& queue_;
  };
  class [[nodiscard]] JoinOperation {
   public:
    explicit JoinOperation(BasicPriorityQueue& queue) : queue_(queue) {}
    JoinWaiter operator co_await() && { return JoinWaiter(queue_); }

   private:
    BasicPriorityQueue& queue_;
  };

  static SendResult<T> Refused(T&& item) { return SendResult<T>::Closed(std::move(item), "the queue is shut down"); }

  template <class F>
  auto Read(F read) const {
    Section section(form_);
    return read();
  }
  void CheckHome() {
    form_.CheckHome("a PriorityQueue", !putters_.empty() || !getters_.empty() || !joiners_.empty(), /*is_in_use=*/false);
  }

  // True if the wait is over.
  // What Less throws in these two is thrown by the await: it counts as one that has ended, so that who tries again and again
  // holds up nobody.
  bool PutOrQueue(PutWaiter& putter) {
    Section section(form_);
    CheckHome();
    if (is_shut_down_) return putter.is_refused_ = true;
    try {
      if (putters_.empty() && PutIn(section, putter.item_)) return true;
    } catch (...) {
      putter.error_ = std::current_exception();
      return true;
    }
    putters_.PushBack(putter);
    return false;
  }
  bool TakeOrQueue(GetWaiter& getter) {
    Section section(form_);
    CheckHome();
    try {
      if (TakeOut(section, getter.item_) || is_shut_down_) return true;
    } catch (...) {
      getter.error_ = std::current_exception();
      return true;
    }
    getters_.PushBack(getter);
    return false;
  }
  bool IsDoneOrQueue(JoinWaiter& joiner) {
    Section section(form_);
    CheckHome();
    if (unfinished_ == 0) return true;
    joiners_.PushBack(joiner);
    return false;
  }
  bool Withdraw(internal::WaitQueue<Form>& queue, Waiter& waiter) {
    Section section(form_);
    return queue.Withdraw(waiter);
  }

  // The rest is inside a Section.
  //
  // A heap by hand, because std::push_heap and std::pop_heap lose an item where a comparison throws half-way: here all
  // comparisons of a change come before its first move, and moves can't throw.
  static size_t Parent(size_t place) { return (place - 1) / 2; }
  bool IsBefore(const Entry& a, const Entry& b) const {
    if (less_(a.item, b.item)) return true;
    return !less_(b.item, a.item) && a.number < b.number;
  }
  // Where an item goes that comes now, after all its equals.
  size_t PlaceFor(const T& item) const {
    size_t place = heap_.size();
    while (place != 0 && less_(item, heap_[Parent(place)].item)) place = Parent(place);
    return place;
  }
  // Where the last entry goes when the first is taken out: down the path of the lesser children, then up to its place on it.
  size_t PlaceOfLast() const {
    const size_t last = heap_.size() - 1;
    size_t place = 0;
    for (size_t child = 1; child < last; child = 2 * place + 1) {
      const bool is_right_one = child + 1 < last && IsBefore(heap_[child + 1], heap_[child]);
      place = is_right_one ? child + 1 : child;
    }
    while (place != 0 && IsBefore(heap_[last], heap_[place])) place = Parent(place);
    return place;
  }
  void Push(T&& item) {
    if (heap_.size() == heap_.capacity()) heap_.reserve(2 * heap_.size() + 1);
    const size_t place = PlaceFor(item);  // throws, if anything does, before the move
    heap_.emplace_back(std::move(item), ++last_number_);
    for (size_t i = heap_.size() - 1; i != place; i = Parent(i)) std::swap(heap_[i], heap_[Parent(i)]);
  }
  void Pop(std::optional<T>& item) {
    size_t place = PlaceOfLast();
    Entry entry = std::move(heap_.back());
    heap_.pop_back();
    if (!heap_.empty()) {
      for (std::swap(entry, heap_[place]); place != 0; std::swap(entry, heap_[place])) place = Parent(place);
    }
    item.emplace(std::move(entry.item));
  }

  // False if there is no room: `item` is as it was.
  bool PutIn(Section& section, T& item) {
    if (!getters_.empty()) {
      GetWaiter& getter = static_cast<GetWaiter&>(*getters_.PopFront());
      getter.item_.emplace(std::move(item));
      section.Wake(getter);
    } else if (heap_.size() < capacity_) {
      Push(std::move(item));
    } else {
      return false;
    }
    ++unfinished_;
    return true;
  }
  // False if there is nothing.
  bool TakeOut(Section& section, std::optional<T>& item) {
    if (heap_.empty()) return false;
    Pop(item);
    while (!putters_.empty() && LetIn(section, static_cast<PutWaiter&>(*putters_.front()))) {
      section.Wake(*putters_.PopFront());
    }
    return true;
  }
  // Or its comparison fails, which ends its wait as well. False if there is no room.
  bool LetIn(Section& section, PutWaiter& putter) {
    try {
      if (!PutIn(section, putter.item_)) return false;
    } catch (...) {
      putter.error_ = std::current_exception();
    }
    return true;
  }
  void ShutDownInside(Section& section) {
    is_shut_down_ = true;
    while (Waiter* const putter = putters_.PopFront()) {
      static_cast<PutWaiter*>(putter)->is_refused_ = true;
      section.Wake(*putter);
    }
    while (Waiter* const getter = getters_.PopFront()) section.Wake(*getter);  // they wait, so there is nothing
  }
  void Finish(Section& section, size_t count) {
    unfinished_ -= count;
    if (unfinished_ > 0) return;
    while (Waiter* const joiner = joiners_.PopFront()) section.Wake(*joiner);
  }

  [[no_unique_address]] mutable Form form_;
  const size_t capacity_;
  [[no_unique_address]] const Less less_;
  std::vector<Entry> heap_;
  uint64_t last_number_ = 0;
  size_t unfinished_ = 0;  // put in, and not done
  bool is_shut_down_ = false;
  internal::WaitQueue<Form> putters_;
  internal::WaitQueue<Form> getters_;
  internal::WaitQueue<Form> joiners_;
};

template <class T, class Less = std::less<T>>
using PriorityQueue = BasicPriorityQueue<T, internal::OneLoop, Less>;
template <class T, class Less = std::less<T>>
using SharedPriorityQueue = BasicPriorityQueue<T, internal::ManyLoops, Less>;

}  // namespace gyre

#endif  // GYRE_SYNC_PRIORITY_QUEUE_H_
