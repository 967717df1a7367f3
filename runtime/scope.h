// Scope: the place where concurrent work lives. It outlives its children, stops them together, and reports their errors.
//
//   co_await gyre::WithScope([&](gyre::Scope& scope) -> gyre::Task<> {
//     scope.Spawn(Serve, std::move(stream));
//     co_await gyre::SleepFor(1s);
//     scope.RequestStop();
//   });   // every child has ended here
//
// Thread-safety: the loop's thread only.
// Lifetime:      the Scope lives until every child has ended, and no longer: keep no pointer to it past that. Spawn keeps
//                the callable and its arguments as long as the child.
// Cancellation:  RequestStop stops the body and every child at their next (or present) suspension, and so does a stop
//                of the awaiting task. WithScope absorbs the stop of its own scope; an outer stop goes on upwards.
// Errors:        WithScope: the first error (an exception, or a bad absl::Status that a child or the body ends with) stops
//                the scope and is what the join gives: rethrown, or as the status. Supervise: a child's error goes to the
//                callback. Every further error goes to the loop's unhandled-error hook. See semantics D13 to D24.
// Cost:          one recycled block per child beside its frame.
#ifndef GYRE_RUNTIME_SCOPE_H_
#define GYRE_RUNTIME_SCOPE_H_

#include <concepts>
#include <exception>
#include <functional>
#include <memory>
#include <source_location>
#include <stop_token>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "gyre/runtime/internal/scope_core.h"
#include "gyre/runtime/internal/task_core.h"
#include "gyre/runtime/started.h"
#include "gyre/runtime/stop_handle.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/task_handle.h"

namespace gyre {

// Told of each child that ends with an error under Supervise: an exception, or a bad status (as a StatusError; see
// Outcome::status()).
using OnChildError = std::function<void(const TaskInfo&, const Outcome<>&)>;

namespace internal {

template <class F, class... Args>
using SpawnResult = typename std::invoke_result_t<std::decay_t<F>&, std::decay_t<Args>...>::value_type;

class ScopeKey;

template <class F, class... Args>
concept Spawnable = std::invocable<std::decay_t<F>&, std::decay_t<Args>...> &&
                    kIsTask<std::invoke_result_t<std::decay_t<F>&, std::decay_t<Args>...>>;

// The block of a task made from a Task, or from a callable and its arguments.
template <class T>
class SpawnedTask;
template <class F, class... Args>
class SpawnedCall;

}  // namespace internal

class Scope final : private internal::TaskOwner {
 public:
  // By WithScope and Supervise only.
  Scope(const internal::ScopeKey&, internal::ScopeCore& parent, internal::Runnable& joiner, const OnChildError* on_error)
      : TaskOwner(parent), joiner_(joiner), on_error_(on_error) {}
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

  // Runs `task` beside the others, from the next turn on, or from the first Join on if that finds it next in line.
  template <class T>
  TaskHandle<T> Spawn(Task<T> task) {
    return SpawnNamed(std::string_view(), std::move(task));
  }
  // Copies or moves `f` and `args` into the child and calls `f(args...)` when it first runs: so a capturing lambda
  // coroutine is safe. Use std::ref for references.
  template <class F, class... Args>
    requires internal::Spawnable<F, Args...>
  auto Spawn(F&& f, Args&&... args) {
    return SpawnNamed(std::string_view(), std::forward<F>(f), std::forward<Args>(args)...);
  }

  // The same with a name for reports.
  template <class T>
  TaskHandle<T> SpawnNamed(std::string_view name, Task<T> task) {
    return Launch<T>(internal::MakeTaskState<internal::SpawnedTask<T>>(name, std::move(task)));
  }
  template <class F, class... Args>
    requires internal::Spawnable<F, Args...>
  auto SpawnNamed(std::string_view name, F&& f, Args&&... args) {
    using State = internal::SpawnedCall<std::decay_t<F>, std::decay_t<Args>...>;
    return Launch<internal::SpawnResult<F, Args...>>(
        internal::MakeTaskState<State>(name, std::forward<F>(f), std::forward<Args>(args)...));
  }

  // Runs `f(started, args...)` and waits until it calls `started(value)`; the value is what the await gives:
  //
  //   uint16_t port = co_await scope.Start<uint16_t>(Serve, address);   // Task<> Serve(gyre::Started<uint16_t>, Endpoint)
  //
  // Until then the child belongs to the caller (its stop is the child's, its error is thrown or returned here); from then
  // on to this scope, which stays open meanwhile. See started.h.
  template <class T = void, class F, class... Args>
    requires internal::Spawnable<F, Started<T>, Args...>
  auto Start(F&& f, Args&&... args) {
    return internal::StartOperation<T, std::decay_t<F>, std::decay_t<Args>...>(*this, std::forward<F>(f),
                                                                               std::forward<Args>(args)...);
  }

  // Asks the body and every child to stop. Idempotent; nothing is resumed before this returns.
  void RequestStop(StopReason reason) {
    CheckHome();
    ScopeCore::RequestStop(std::move(reason));
  }
  void RequestStop(std::source_location where = std::source_location::current()) {
    CheckHome();
    ScopeCore::RequestStop(where);
  }
  // This scope, or one around it, was asked to stop.
  bool StopRequested() const { return ScopeCore::StopRequested(); }
  // Why; blank while it was not.
  StopReason stop_reason() const { return reason().get(); }
  // For code that knows std::stop_token: set when this scope is stopped. Its callbacks run on the loop, inside RequestStop.
  std::stop_token stop_token() { return StopToken(); }
  // For other threads: asks this scope to stop, also when it has long ended. See stop_handle.h.
  StopHandle stop_handle() { return StopHandle(*this); }
  // The earliest deadline that holds here: see Deadline(). kNever without one, TimePoint::min() once stopped.
  TimePoint deadline() const { return EffectiveDeadline(); }
  // Children that have not ended, and pending Starts.
  size_t live_children() const { return TaskOwner::live_children(); }

 private:
  friend class internal::ScopeKey;

  template <class T, class State>
  TaskHandle<T> Launch(State* task) {
    TaskHandle<T> handle(task);
    LaunchCore(*task);
    return handle;
  }
  void LaunchCore(internal::TaskCore& task) {
    CheckHome();
    if (is_closed_ || loop()->has_context) [[unlikely]] return LaunchWithCare(task);
    task.Launch(*this);
  }
  void LaunchWithCare(internal::TaskCore& task);
  void CheckHome() const { internal::CheckHome(loop(), "a Scope"); }

  void OnChildLost(internal::TaskCore& child, bool failed) noexcept override;
  void OnAllEnded() noexcept override;
  void OnChildFailed(internal::TaskCore& child) noexcept;
  void OnBodyDone(std::exception_ptr failure);
  void RecordFailure(const TaskInfo& who, std::exception_ptr failure);
  void JoinIfDone();

  internal::Runnable& joiner_;     // reaped when everything has ended
  const OnChildError* on_error_;   // null: a child's error stops the scope
  bool is_body_done_ = false;
  bool is_closed_ = false;
  bool was_child_stopped_ = false;  // and not through its own handle
  std::exception_ptr failure_;      // the first
};

// Implementation
namespace internal {

// What the awaiters of WithScope and Supervise may do with a Scope, and nobody else.
class ScopeKey {
 public:
  static ScopeCore& Core(Scope& scope) { return scope; }
  static void OnBodyDone(Scope& scope, std::exception_ptr failure) { scope.OnBodyDone(std::move(failure)); }
  // For Start: a pending one counts as a child. False if the scope has ended.
  static bool BeginStart(Scope& scope) {
    scope.CheckHome();
    if (scope.is_closed_) return false;
    scope.AddChild();
    return true;
  }
  static void EndStart(Scope& scope) { scope.RemoveChild(); }
  static void JoinIfDone(Scope& scope) { scope.JoinIfDone(); }
  static bool IsClosed(const Scope& scope) { return scope.is_closed_; }
  static bool HasFailure(const Scope& scope) { return scope.failure_ != nullptr; }
  static std::exception_ptr TakeFailure(Scope& scope) { return std::exchange(scope.failure_, nullptr); }
  static bool WasChildStopped(const Scope& scope) { return scope.was_child_stopped_; }
  static bool IsJoined(const Scope& scope) { return scope.live_children() == 0 && scope.failure_ == nullptr; }

 private:
  template <class R, class Body>
  friend class ScopeAwaiter;
  ScopeKey() {}
};

template <class T>
class SpawnedTask final : public TaskBlock<SpawnedTask<T>, T> {
 public:
  explicit SpawnedTask(Task<T> task) : task_(std::move(task)) {}

 private:
  friend class TaskBlock<SpawnedTask, T>;
  PromiseBase* Begin() { return TaskAccess::Release(task_); }
  void DestroyCallable() noexcept { static_cast<void>(Task<T>(std::move(task_))); }

  Task<T> task_;
};

template <class F, class... Args>
class SpawnedCall final : public TaskBlock<SpawnedCall<F, Args...>, SpawnResult<F, Args...>> {
 public:
  template <class G, class... As>
  explicit SpawnedCall(G&& callable, As&&... arguments) {
    std::construct_at(&call_, std::forward<G>(callable), std::forward<As>(arguments)...);
  }
  ~SpawnedCall() {}

 private:
  friend class TaskBlock<SpawnedCall, SpawnResult<F, Args...>>;
  struct Call {
    template <class G, class... As>
    explicit Call(G&& callable, As&&... arguments)
        : callable(std::forward<G>(callable)), arguments(std::forward<As>(arguments)...) {}
    [[no_unique_address]] F callable;
    [[no_unique_address]] std::tuple<Args...> arguments;
  };

  PromiseBase* Begin() {
    auto task = std::apply(
        [this](Args&... arguments) { return std::invoke(call_.callable, std::move(arguments)...); }, call_.arguments);
    return TaskAccess::Release(task);
  }
  // Called exactly once, when the task is done.
  void DestroyCallable() noexcept { std::destroy_at(&call_); }

  union {
    Call call_;
  };
};

}  // namespace internal
}  // namespace gyre

#endif  // GYRE_RUNTIME_SCOPE_H_
