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
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "gyre/runtime/internal/scope_core.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/task_handle.h"

namespace gyre {

// Told of each child that ends with an error under Supervise: an exception, or a bad status (as a StatusError; see
// Outcome::status()).
using OnChildError = std::function<void(const TaskInfo&, const Outcome<>&)>;

namespace internal {
template <class F, class... Args>
class SpawnedCall;
template <class T>
class SpawnedTask;

template <class F, class... Args>
using SpawnResult = typename std::invoke_result_t<std::decay_t<F>&, std::decay_t<Args>...>::value_type;

class ScopeKey;

template <class F, class... Args>
concept Spawnable = std::invocable<std::decay_t<F>&, std::decay_t<Args>...> &&
                    kIsTask<std::invoke_result_t<std::decay_t<F>&, std::decay_t<Args>...>>;
}  // namespace internal

class Scope {
 public:
  // By WithScope and Supervise only.
  Scope(const internal::ScopeKey&, internal::ScopeCore& parent, internal::Runnable& joiner, const OnChildError* on_error)
      : core_(parent), joiner_(joiner), on_error_(on_error) {}
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

  // Runs `task` beside the others, from the next turn on.
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
    return Launch<T>(name, new internal::SpawnedTask<T>(std::move(task)));
  }
  template <class F, class... Args>
    requires internal::Spawnable<F, Args...>
  auto SpawnNamed(std::string_view name, F&& f, Args&&... args) {
    using T = internal::SpawnResult<F, Args...>;
    return Launch<T>(name, new internal::SpawnedCall<std::decay_t<F>, std::decay_t<Args>...>(
                               std::forward<F>(f), std::forward<Args>(args)...));
  }

  // Asks the body and every child to stop. Idempotent; nothing is resumed before this returns.
  void RequestStop(StopReason reason = StopReason()) {
    CheckHome();
    core_.RequestStop(std::move(reason));
  }
  // This scope, or one around it, was asked to stop.
  bool StopRequested() const { return core_.StopRequested(); }
  // Children that have not ended.
  size_t live_children() const { return live_children_; }

 private:
  friend class internal::TaskCore;
  friend class internal::ScopeKey;

  template <class T>
  TaskHandle<T> Launch(std::string_view name, internal::TaskState<T>* task) {
    TaskHandle<T> handle(task);
    LaunchCore(name, *task);
    return handle;
  }
  void LaunchCore(std::string_view name, internal::TaskCore& task);
  void CheckHome() const;

  // A child has ended; `failure` is null unless with an error.
  void OnChildDone(const internal::TaskCore& child, std::exception_ptr failure, bool was_stopped_from_outside);
  void OnBodyDone(std::exception_ptr failure);
  void RecordFailure(const TaskInfo& who, std::exception_ptr failure);
  void JoinIfDone();

  internal::ScopeCore core_;
  internal::Runnable& joiner_;     // reaped when everything has ended
  const OnChildError* on_error_;   // null: a child's error stops the scope
  size_t live_children_ = 0;
  bool is_body_done_ = false;
  bool is_closed_ = false;
  bool was_child_stopped_from_outside_ = false;
  std::exception_ptr failure_;  // the first
};

// Implementation
namespace internal {

// What the awaiters of WithScope and Supervise may do with a Scope, and nobody else.
class ScopeKey {
 public:
  static ScopeCore& Core(Scope& scope) { return scope.core_; }
  static void OnBodyDone(Scope& scope, std::exception_ptr failure) { scope.OnBodyDone(std::move(failure)); }
  static bool HasFailure(const Scope& scope) { return scope.failure_ != nullptr; }
  static std::exception_ptr TakeFailure(Scope& scope) { return std::exchange(scope.failure_, nullptr); }
  static bool WasChildStoppedFromOutside(const Scope& scope) { return scope.was_child_stopped_from_outside_; }

 private:
  template <class R, class Body>
  friend class ScopeAwaiter;
  ScopeKey() {}
};

template <class T>
class SpawnedTask final : public TaskState<T> {
 public:
  explicit SpawnedTask(Task<T> task) : task_(std::move(task)) {}

 private:
  PromiseBase* Begin() override { return TaskAccess::Release(*task_); }
  void DestroyCallable() noexcept override { task_.reset(); }

  std::optional<Task<T>> task_;
};

template <class F, class... Args>
class SpawnedCall final : public TaskState<SpawnResult<F, Args...>> {
 public:
  template <class G, class... As>
  explicit SpawnedCall(G&& callable, As&&... arguments)
      : call_(std::in_place, std::forward<G>(callable), std::forward<As>(arguments)...) {}

 private:
  struct Call {
    template <class G, class... As>
    explicit Call(G&& callable, As&&... arguments)
        : callable(std::forward<G>(callable)), arguments(std::forward<As>(arguments)...) {}
    F callable;
    std::tuple<Args...> arguments;
  };

  PromiseBase* Begin() override {
    auto task = std::apply(
        [this](Args&... arguments) { return std::invoke(call_->callable, std::move(arguments)...); }, call_->arguments);
    return TaskAccess::Release(task);
  }
  void DestroyCallable() noexcept override { call_.reset(); }

  std::optional<Call> call_;
};

}  // namespace internal
}  // namespace gyre

#endif  // GYRE_RUNTIME_SCOPE_H_
