// Shielded: an operation that a stop must not cut short, for a bounded time.
//
//   co_await gyre::Shielded(2s, stream.Send(goodbye));
//
// A stop from outside does not reach the awaitable. From the moment it arrives, the awaitable has `limit` to end (kForever: as
// long as it takes); then the stop passes in. Either way it is waited for; its result is given, and the next await reports
// the stop; if it ends stopped, so does the awaiting task. Without a stop the limit does nothing. To let work go on without
// waiting for it, spawn it into a scope that lives longer. [D8, D21]
//
// Thread-safety: the loop's thread only.
// Cancellation:  as above. A scope, deadline or handle inside the shield stops what is inside as ever.
// Errors:        an exception of the awaitable is rethrown.
// Units:         as SleepFor. A stop that was there before the await counts from the await.
// Cost:          nothing is allocated, but a frame for an awaitable that is no Task.
#ifndef GYRE_RUNTIME_SHIELDED_H_
#define GYRE_RUNTIME_SHIELDED_H_

#include <optional>
#include <type_traits>
#include <utility>

#include "gyre/runtime/internal/nested.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/time.h"

namespace gyre {

namespace internal {

// A strand that stops do not enter before the limit has passed.
class ShieldCore : private StopListener, private TimerEvent {
 public:
  explicit ShieldCore(Duration limit) : limit_(limit) {}
  ~ShieldCore() = default;

  ScopeCore& Enter(ScopeCore& parent);
  void End() noexcept;
  void Close() { strand_.reset(); }

 private:
  void OnStopArrived() noexcept override;
  void OnTimer() override { strand_->LetStopIn(); }

  Duration limit_;
  ScopeExtras extras_;
  std::optional<ScopeCore> strand_;
};

template <class T>
class [[nodiscard]] ShieldAwaiter final : public NestedAwaiter<T> {
 public:
  ShieldAwaiter(Duration limit, Task<T>&& task) : NestedAwaiter<T>(std::move(task)), core_(limit) {}
  T await_resume() {
    core_.Close();
    return this->TakeResult();
  }

 private:
  ScopeCore& Enter(ScopeCore& parent) override { return core_.Enter(parent); }
  void OnInnerEnd() noexcept override { core_.End(); }
  bool GoesOnAfterStop() const noexcept override { return false; }

  ShieldCore core_;
};

template <class T>
class [[nodiscard]] ShieldOperation {
 public:
  ShieldOperation(Duration limit, Task<T> task) : limit_(limit), task_(std::move(task)) {}
  auto operator co_await() && { return ShieldAwaiter<T>(limit_, std::move(task_)); }

 private:
  Duration limit_;
  Task<T> task_;
};

}  // namespace internal

template <internal::Awaitable A>
  requires(!std::is_lvalue_reference_v<A>)
auto Shielded(Duration limit, A&& awaitable) {
  return internal::ShieldOperation<internal::AwaitResult<A>>(limit, internal::ToTask(std::forward<A>(awaitable)));
}

}  // namespace gyre

#endif  // GYRE_RUNTIME_SHIELDED_H_
