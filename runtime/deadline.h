// Timeout, Deadline, MoveOnAfter and MoveOnAt: bound how long something may take, by stopping it when the time has come.
//
//   absl::StatusOr<Page> page = co_await gyre::Timeout(2s, Fetch(url));       // kDeadlineExceeded if the time ran out
//   std::optional<Page> page = co_await gyre::MoveOnAfter(2s, Fetch(url));    // nothing if the time ran out
//
// Timeout and MoveOnAfter count from the await; Deadline and MoveOnAt take a time. As a status: what is a Status or StatusOr
// already stays one, void becomes Status, T becomes StatusOr<T>, T& a StatusOr<reference_wrapper<T>>. As an optional: void
// becomes bool (false: the time ran out), T std::optional<T>.
//
// Thread-safety: the loop's thread only.
// Cancellation:  the time is a stop of the awaitable alone, with all of a stop's rules: it reaches it at its next (or
//                present) leaf await, and it bounds the request, not the wait: what refuses to stop is waited for. A result
//                that was there all the same is given. A stop of the awaiting task goes on upwards; if that comes too, or an
//                outer deadline has expired as well, it wins. A deadline that has passed already lets the awaitable try once
//                without waiting. [D5, D6, D7, D19]
// Errors:        an exception of the awaitable is rethrown.
// Units:         as SleepFor: never early, at most a tick (65.5 us) late; exact in simulation. kNever: no bound.
// Cost:          a timer is armed and disarmed (10 ns), and the clock read (50 ns); nothing is allocated, but a frame for
//                an awaitable that is no Task.
#ifndef GYRE_RUNTIME_DEADLINE_H_
#define GYRE_RUNTIME_DEADLINE_H_

#include <optional>
#include <source_location>
#include <utility>

#include "gyre/runtime/internal/nested.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/time.h"

namespace gyre {

namespace internal {

template <class T, class R>
class DeadlineAwaiter;

// The strand that a deadline stops, and its timer.
class DeadlineCore : private TimerEvent {
 public:
  explicit DeadlineCore(std::source_location where) : where_(where) {}
  ~DeadlineCore() = default;

  ScopeCore& Enter(ScopeCore& parent, TimePoint when);
  void MoveTo(TimePoint when);
  // Disarms. The strand stays until Close.
  void End() noexcept;
  // Leaves the tree.
  void Close() { strand_.reset(); }

  TimePoint when() const { return extras_.deadline; }
  bool is_expired() const { return is_expired_; }
  absl::Status ToStatus() const;

 private:
  void OnTimer() override;

  std::source_location where_;
  bool is_expired_ = false;
  ScopeExtras extras_;
  std::optional<ScopeCore> strand_;
};

}  // namespace internal

// A deadline that can be moved while it is running: keep the object, give it to Deadline or MoveOnAt, once.
//
//   gyre::MovableDeadline idle(gyre::After(now, 30s));
//   absl::Status status = co_await gyre::Deadline(idle, Serve(stream, idle));   // Serve moves it at each message
//
// Lifetime: outlives the await that it bounds.
class MovableDeadline {
 public:
  // Without a time: none yet.
  explicit MovableDeadline(TimePoint when = kNever) : when_(when) {}
  MovableDeadline(const MovableDeadline&) = delete;
  MovableDeadline& operator=(const MovableDeadline&) = delete;

  // Earlier, later or kNever; before or during the await. False: it has expired, and nothing changes. Moving it after the
  // await has ended is a check failure.
  bool MoveTo(TimePoint when);
  // `wait` from now.
  bool MoveToAfter(Duration wait);

  TimePoint when() const { return when_; }
  // The time ran out while the await was going on. Stays true.
  bool expired() const { return core_ != nullptr ? core_->is_expired() : is_expired_; }

 private:
  template <class T, class R>
  friend class internal::DeadlineAwaiter;

  TimePoint when_;
  internal::DeadlineCore* core_ = nullptr;  // while the await is going on
  bool is_used_ = false;
  bool is_expired_ = false;
};

namespace internal {

// Exactly one of: a wait, a time, an object.
class DeadlineSpec {
 public:
  explicit DeadlineSpec(Duration wait) : wait_(wait) {}
  explicit DeadlineSpec(TimePoint when) : when_(when) {}
  explicit DeadlineSpec(MovableDeadline& movable) : movable_(&movable) {}

  MovableDeadline* movable() const { return movable_; }
  TimePoint When(Loop& loop) const;

 private:
  Duration wait_ = Duration::min();
  TimePoint when_;
  MovableDeadline* movable_ = nullptr;
};

template <class T, class R>
class [[nodiscard]] DeadlineAwaiter final : public NestedAwaiter<T> {
 public:
  DeadlineAwaiter(DeadlineSpec spec, Task<T>&& task, std::source_location where)
      : NestedAwaiter<T>(std::move(task)), spec_(spec), core_(where) {}
  ~DeadlineAwaiter() { LeaveMovable(); }

  R await_resume() {
    core_.Close();
    if (this->has_result()) return ConvertResult<T, R>([this]() -> T { return this->TakeResult(); });
    if constexpr (std::is_same_v<R, bool>) {
      return false;
    } else if constexpr (std::is_same_v<R, typename AsOptionalTraits<T>::Type>) {
      return std::nullopt;
    } else {
      return core_.ToStatus();
    }
  }

 private:
  ScopeCore& Enter(ScopeCore& parent) override {
    if (MovableDeadline* movable = spec_.movable()) {
      GYRE_CHECK(!movable->is_used_, "a MovableDeadline was used for a second await");
      movable->is_used_ = true;
      movable->core_ = &core_;
    }
    return core_.Enter(parent, spec_.When(parent.loop()->loop));
  }
  void OnInnerEnd() noexcept override {
    core_.End();
    LeaveMovable();
  }
  bool GoesOnAfterStop() const noexcept override { return core_.is_expired(); }

  void LeaveMovable() noexcept {
    MovableDeadline* movable = spec_.movable();
    if (movable == nullptr || movable->core_ != &core_) return;
    movable->is_expired_ = core_.is_expired();
    movable->core_ = nullptr;
  }

  DeadlineSpec spec_;
  DeadlineCore core_;
};

template <class T, class R>
class [[nodiscard]] DeadlineOperation {
 public:
  DeadlineOperation(DeadlineSpec spec, Task<T> task, std::source_location where)
      : spec_(spec), task_(std::move(task)), where_(where) {}
  auto operator co_await() && { return DeadlineAwaiter<T, R>(spec_, std::move(task_), where_); }

 private:
  DeadlineSpec spec_;
  Task<T> task_;
  std::source_location where_;
};

template <class A>
concept Boundable = Awaitable<A> && !std::is_lvalue_reference_v<A>;

template <template <class> class Traits, Boundable A>
auto MakeDeadline(DeadlineSpec spec, A&& awaitable, std::source_location where) {
  using T = AwaitResult<A>;
  return DeadlineOperation<T, typename Traits<T>::Type>(spec, ToTask(std::forward<A>(awaitable)), where);
}

}  // namespace internal

template <internal::Boundable A>
auto Timeout(Duration wait, A&& awaitable, std::source_location where = std::source_location::current()) {
  return internal::MakeDeadline<internal::AsStatusTraits>(internal::DeadlineSpec(wait), std::forward<A>(awaitable), where);
}
template <internal::Boundable A>
auto Deadline(TimePoint when, A&& awaitable, std::source_location where = std::source_location::current()) {
  return internal::MakeDeadline<internal::AsStatusTraits>(internal::DeadlineSpec(when), std::forward<A>(awaitable), where);
}
template <internal::Boundable A>
auto Deadline(MovableDeadline& movable, A&& awaitable, std::source_location where = std::source_location::current()) {
  return internal::MakeDeadline<internal::AsStatusTraits>(internal::DeadlineSpec(movable), std::forward<A>(awaitable),
                                                          where);
}

template <internal::Boundable A>
auto MoveOnAfter(Duration wait, A&& awaitable, std::source_location where = std::source_location::current()) {
  return internal::MakeDeadline<internal::AsOptionalTraits>(internal::DeadlineSpec(wait), std::forward<A>(awaitable),
                                                            where);
}
template <internal::Boundable A>
auto MoveOnAt(TimePoint when, A&& awaitable, std::source_location where = std::source_location::current()) {
  return internal::MakeDeadline<internal::AsOptionalTraits>(internal::DeadlineSpec(when), std::forward<A>(awaitable),
                                                            where);
}
template <internal::Boundable A>
auto MoveOnAt(MovableDeadline& movable, A&& awaitable, std::source_location where = std::source_location::current()) {
  return internal::MakeDeadline<internal::AsOptionalTraits>(internal::DeadlineSpec(movable), std::forward<A>(awaitable),
                                                            where);
}

// The earliest deadline that holds for the calling task, to be passed on in an outgoing request: kNever without one,
// TimePoint::min() in a stopped scope. Inside a shield, those outside it do not count. Null loop or callback: kNever.
TimePoint CurrentDeadline();

}  // namespace gyre

#endif  // GYRE_RUNTIME_DEADLINE_H_
