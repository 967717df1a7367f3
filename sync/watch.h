// Watch<T>, SharedWatch<T>: a value that changes, and tasks that wait until it does.
//
//   gyre::Watch<State> state(State::kStarting);
//   (void)state.Set(State::kReady);
//   absl::StatusOr<State> ready = co_await state.Until([](State s) { return s == State::kReady; });
//   ...
//   gyre::Watch<State>::Observer mine = state.Observe();               // has seen the present value
//   absl::StatusOr<State> newest = co_await mine.Changed();            // at once, if it has changed since
//
// Only the newest value is there: one that was replaced before anybody looked is not seen.
//
// Thread-safety: Watch: one loop. SharedWatch: any thread; who waits resumes on its own loop. An observer belongs to one task at a
//                time.
// Lifetime:      outlives its observers and those that wait in Until; otherwise a check failure.
//                A Shared form outlives the waits that it has ended, too, until they resume (checked with GYRE_DEBUG_CHECKS).
// Cancellation:  a stopped wait has seen nothing.
// Errors:        closed: Set and Modify give kUnavailable; Changed too, after the last value has been seen; Until too, unless that
//                value is the one it waits for.
// Cost:          a copy of the value for who looks, made in a SharedWatch while it holds its lock: for large ones, T is
//                std::shared_ptr<const U>, or use Read. A change wakes everybody who waits.
#ifndef GYRE_SYNC_WATCH_H_
#define GYRE_SYNC_WATCH_H_

#include <coroutine>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gyre/runtime/check.h"
#include "gyre/runtime/task.h"
#include "gyre/sync/internal/form.h"

namespace gyre {

template <class T, class Form>
class BasicWatch;

template <class T, class Form>
class BasicObserver {
 public:
  BasicObserver(BasicObserver&& other) noexcept : seen_(other.seen_) {
    GYRE_CHECK(!other.is_awaited_, "an Observer was moved while a task waits for it");
    watch_ = std::exchange(other.watch_, nullptr);
  }
  BasicObserver& operator=(BasicObserver&&) = delete;
  ~BasicObserver() {
    GYRE_CHECK(!is_awaited_, "an Observer was destroyed while a task waits for it");
    if (watch_ != nullptr) watch_->RemoveObserver();
  }

  // co_await: the newest value that this observer has not seen yet, as absl::StatusOr<T>.
  auto Changed() { return ChangedOperation(*this); }
  // Changed would not wait.
  bool HasChanged() {
    Section section(source().form_);
    return source().IsNews(*this);
  }

 private:
  using Section = internal::Section<Form>;
  friend BasicWatch<T, Form>;

  class [[nodiscard]] ChangedWaiter final : public internal::Waiter<Form> {
   public:
    explicit ChangedWaiter(BasicObserver& observer) : observer_(observer) {}

    template <class P>
    bool await_suspend(std::coroutine_handle<P> awaiting) {
      return this->Suspend(awaiting, [this] { return source().IsNewsOrQueue(*this, observer_); });
    }
    absl::StatusOr<T> await_resume() {
      observer_.is_awaited_ = false;
      return source().See(observer_);
    }

   private:
    BasicWatch<T, Form>& source() { return observer_.source(); }
    void OnStop() noexcept override {
      if (!source().Withdraw(*this)) return;
      observer_.is_awaited_ = false;
      this->CompleteStopped();
    }
    std::string WaitsFor() const override { return "another value of a Watch"; }
    bool Undo() noexcept override {
      observer_.is_awaited_ = false;
      return true;  // it was told that there is news, and has not looked
    }

    BasicObserver& observer_;
  };

  class [[nodiscard]] ChangedOperation {
   public:
    explicit ChangedOperation(BasicObserver& observer) : observer_(observer) {}
    ChangedWaiter operator co_await() && { return ChangedWaiter(observer_); }

   private:
    BasicObserver& observer_;
  };

  BasicObserver(BasicWatch<T, Form>& watch, uint64_t seen) : watch_(&watch), seen_(seen) {}
  BasicWatch<T, Form>& source() {
    GYRE_CHECK(watch_ != nullptr, "Observer::Changed: it has been moved from");
    return *watch_;
  }

  BasicWatch<T, Form>* watch_;
  uint64_t seen_;  // version
  bool is_awaited_ = false;
};

template <class T, class Form>
class BasicWatch {
  static_assert(std::is_copy_constructible_v<T>, "gyre: who looks at a Watch gets a copy: use std::shared_ptr");

 public:
  using Observer = BasicObserver<T, Form>;

  explicit BasicWatch(T value) : value_(std::move(value)) {}
  BasicWatch(const BasicWatch&) = delete;
  BasicWatch& operator=(const BasicWatch&) = delete;
  ~BasicWatch() { GYRE_CHECK(observers_ == 0, "a Watch was destroyed while an Observer of it is open"); }

  T Get() const {
    return Read([](const T& value) { return value; });
  }
  // What `read` makes of the value. In a SharedWatch it is called while the lock is held: it must not use the watch.
  template <class F>
  auto Read(F read) const {
    Section section(form_);
    return read(value_);
  }
  // Counts as a change also where it is equal to what was there.
  absl::Status Set(T value) {
    using std::swap;
    return Modify([&value](T& present) { swap(present, value); });  // what was there is destroyed after the section
  }
  // `modify(T&)`, as for Read. If it throws, that is no change for observers.
  template <class F>
  absl::Status Modify(F modify) {
    Section section(form_);
    CheckHome();
    if (is_closed_) return absl::UnavailableError(kClosedText);
    modify(value_);
    ++version_;
    WakeAll(section);
    return absl::OkStatus();
  }
  // The value is the last one. Idempotent.
  void Close() {
    Section section(form_);
    CheckHome();
    is_closed_ = true;
    WakeAll(section);
  }

  Observer Observe() { return ObserveFrom(/*has_seen=*/true); }
  // The first value of which `holds(const T&)` is true; the present one, if it is. Called on the waiting loop, with a copy.
  template <class Predicate>
  Task<absl::StatusOr<T>> Until(Predicate holds) {
    Observer observer = ObserveFrom(/*has_seen=*/false);
    for (;;) {
      absl::StatusOr<T> value = co_await observer.Changed();
      if (!value.ok() || holds(std::as_const(*value))) co_return value;
    }
  }

  // Of now: in a SharedWatch a moment later it may be otherwise.
  size_t observers() const {
    Section section(form_);
    return observers_;
  }
  bool is_closed() const {
    Section section(form_);
    return is_closed_;
  }

 private:
  using Section = internal::Section<Form>;
  using Waiter = internal::Waiter<Form>;
  friend Observer;

  static constexpr char kClosedText[] = "the watch is closed";

  void CheckHome() { form_.CheckHome("a Watch", !waiters_.empty(), /*is_in_use=*/false); }
  Observer ObserveFrom(bool has_seen) {
    Section section(form_);
    CheckHome();
    ++observers_;
    return Observer(*this, has_seen ? version_ : version_ - 1);
  }
  void RemoveObserver() {
    Section section(form_);
    CheckHome();
    --observers_;
  }
  void WakeAll(Section& section) {
    while (Waiter* const waiter = waiters_.PopFront()) section.Wake(*waiter);
  }
  bool IsNews(const Observer& observer) const { return observer.seen_ != version_ || is_closed_; }
  // True if the wait is over.
  bool IsNewsOrQueue(Waiter& waiter, Observer& observer) {
    Section section(form_);
    CheckHome();
    GYRE_CHECK(!observer.is_awaited_, "Observer::Changed: another task waits for the same observer");
    if (IsNews(observer)) return true;
    observer.is_awaited_ = true;
    waiters_.PushBack(waiter);
    return false;
  }
  absl::StatusOr<T> See(Observer& observer) {
    Section section(form_);
    if (observer.seen_ == version_) return absl::UnavailableError(kClosedText);
    absl::StatusOr<T> value(value_);
    observer.seen_ = version_;
    return value;
  }
  bool Withdraw(Waiter& waiter) {
    Section section(form_);
    return waiters_.Withdraw(waiter);
  }

  [[no_unique_address]] mutable Form form_;
  T value_;
  uint64_t version_ = 1;
  bool is_closed_ = false;
  size_t observers_ = 0;
  internal::WaitQueue<Form> waiters_;
};

template <class T>
using Watch = BasicWatch<T, internal::OneLoop>;
template <class T>
using SharedWatch = BasicWatch<T, internal::ManyLoops>;

}  // namespace gyre

#endif  // GYRE_SYNC_WATCH_H_
