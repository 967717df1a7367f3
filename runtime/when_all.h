// WhenAll: runs awaitables side by side and gives all their results in argument order.
//
//   auto [a, b] = co_await gyre::WhenAll(A(), B());            // a tuple; void becomes std::monostate
//   std::vector<int> all = co_await gyre::WhenAll(std::move(tasks));  // a vector<Task<int>>
//
// Cancellation: stopping the awaiting task stops every child, waits for all, and goes on upwards.
// Errors:       the first failure (an exception, or a bad status) stops the siblings, and all are waited for. An exception
//               is rethrown. A bad status stays in its slot, and stopped siblings hold kCancelled in theirs; if a slot's
//               type can't hold that, the first status is thrown as StatusError. Further exceptions go to the
//               unhandled-error hook. [D2, D18]
// Cost:         no allocation for the argument form beside the children's frames.
#ifndef GYRE_RUNTIME_WHEN_ALL_H_
#define GYRE_RUNTIME_WHEN_ALL_H_

#include <concepts>
#include <coroutine>
#include <deque>
#include <exception>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "gyre/runtime/internal/finish.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/outcome.h"
#include "gyre/runtime/task.h"

namespace gyre {
namespace internal {

// What the children of one WhenAll share: a scope to stop them together, and the count of those that still run.
class WhenAllGroup final : private Runnable {
 public:
  WhenAllGroup() : Runnable(/*is_ordered=*/false) {}

  void Open(PromiseBase& parent, size_t children) {
    parent_ = &parent;
    scope_.emplace(*parent.scope());
    running_ = children;
  }
  ScopeCore& scope() { return *scope_; }
  void OnChildDone(std::exception_ptr failure, bool is_status, bool was_stopped);
  // Throws the first failure, unless it is a status that has its place in a slot.
  void ThrowFailure();
  std::exception_ptr failure() const { return failure_; }

 private:
  void Run() override;
  void Drop() noexcept override { GYRE_CHECK(false, "internal: a loop ended with a coroutine ready to run"); }

  std::optional<ScopeCore> scope_;
  PromiseBase* parent_ = nullptr;
  size_t running_ = 0;
  bool was_stopped_ = false;
  bool is_status_ = false;
  std::exception_ptr failure_;
};

template <class T>
class WhenAllChild final : private Boundary, private Runnable {
 public:
  explicit WhenAllChild(Task<T>&& task) : Runnable(/*is_ordered=*/false), frame_(TaskAccess::Release(task)) {}
  ~WhenAllChild() {
    if (frame_ != nullptr) frame_->handle().destroy();  // never started
  }

  void Launch(WhenAllGroup& group) {
    group_ = &group;
    frame_->Start(group.scope(), static_cast<Boundary&>(*this));
    group.scope().loop()->PushReady(*this);
  }

  // The slot's value, after the group's ThrowFailure.
  std::conditional_t<std::is_void_v<T>, std::monostate, T> TakeSlot(WhenAllGroup& group) {
    if (outcome_.stopped()) {
      if constexpr (kIsStatusLike<T>) return absl::CancelledError("stopped because another operation failed");
    }
    if (!outcome_.has_value()) {  // an exception here came after the first failure, and the hook has it
      if constexpr (kIsStatusLike<T>) return outcome_.status();
      std::rethrow_exception(group.failure());
    }
    if constexpr (std::is_void_v<T>) {
      return std::monostate();
    } else {
      return std::move(outcome_).value();
    }
  }

 private:
  std::coroutine_handle<> OnDone() noexcept override {
    is_finished_ = true;
    group_->scope().loop()->PushReap(*this);
    return std::noop_coroutine();
  }
  void OnStopped() noexcept override {
    frame_ = nullptr;
    group_->OnChildDone(nullptr, false, /*was_stopped=*/true);
  }
  void Run() override {
    if (!is_finished_) return Resume(*frame_);
    ReplaceOutcome(outcome_, std::exchange(frame_, nullptr));
    group_->OnChildDone(FailureOf(outcome_), !outcome_.has_exception(), /*was_stopped=*/false);
  }
  void Drop() noexcept override { GYRE_CHECK(false, "internal: a loop ended with a coroutine ready to run"); }

  Promise<T>* frame_;
  WhenAllGroup* group_ = nullptr;
  bool is_finished_ = false;
  Outcome<T> outcome_;
};

template <class... Ts>
class [[nodiscard]] WhenAllAwaiter {
 public:
  explicit WhenAllAwaiter(std::tuple<Task<Ts>...>&& tasks)
      : children_(std::apply([](auto&&... task) { return Children(std::move(task)...); }, std::move(tasks))) {}
  WhenAllAwaiter(const WhenAllAwaiter&) = delete;
  WhenAllAwaiter& operator=(const WhenAllAwaiter&) = delete;

  bool await_ready() const noexcept { return sizeof...(Ts) == 0; }
  template <std::derived_from<PromiseBase> P>
  void await_suspend(std::coroutine_handle<P> awaiting) {
    group_.Open(awaiting.promise(), sizeof...(Ts));
    std::apply([this](auto&... child) { (child.Launch(group_), ...); }, children_.all);
  }
  auto await_resume() {
    group_.ThrowFailure();
    return std::apply(
        [this](auto&... child) {
          return std::tuple<std::conditional_t<std::is_void_v<Ts>, std::monostate, Ts>...>{child.TakeSlot(group_)...};
        },
        children_.all);
  }

 private:
  // Children can't move, so they are made where they stay.
  struct Children {
    explicit Children(Task<Ts>&&... tasks) : all(std::move(tasks)...) {}
    std::tuple<WhenAllChild<Ts>...> all;
  };

  WhenAllGroup group_;
  Children children_;
};

template <class T>
class [[nodiscard]] WhenAllRangeAwaiter {
 public:
  explicit WhenAllRangeAwaiter(std::vector<Task<T>>&& tasks) {
    for (Task<T>& task : tasks) children_.emplace_back(std::move(task));
  }
  WhenAllRangeAwaiter(const WhenAllRangeAwaiter&) = delete;
  WhenAllRangeAwaiter& operator=(const WhenAllRangeAwaiter&) = delete;

  bool await_ready() const noexcept { return children_.empty(); }
  template <std::derived_from<PromiseBase> P>
  void await_suspend(std::coroutine_handle<P> awaiting) {
    group_.Open(awaiting.promise(), children_.size());
    for (WhenAllChild<T>& child : children_) child.Launch(group_);
  }
  auto await_resume() {
    group_.ThrowFailure();
    std::vector<std::conditional_t<std::is_void_v<T>, std::monostate, T>> results;
    results.reserve(children_.size());
    for (WhenAllChild<T>& child : children_) results.push_back(child.TakeSlot(group_));
    return results;
  }

 private:
  WhenAllGroup group_;
  std::deque<WhenAllChild<T>> children_;
};

template <class... Ts>
class [[nodiscard]] WhenAllOperation {
 public:
  explicit WhenAllOperation(Task<Ts>... tasks) : tasks_(std::move(tasks)...) {}
  auto operator co_await() && { return WhenAllAwaiter<Ts...>(std::move(tasks_)); }

 private:
  std::tuple<Task<Ts>...> tasks_;
};

template <class T>
class [[nodiscard]] WhenAllRangeOperation {
 public:
  explicit WhenAllRangeOperation(std::vector<Task<T>> tasks) : tasks_(std::move(tasks)) {}
  auto operator co_await() && { return WhenAllRangeAwaiter<T>(std::move(tasks_)); }

 private:
  std::vector<Task<T>> tasks_;
};

}  // namespace internal

template <internal::Awaitable... As>
  requires(!std::is_lvalue_reference_v<As> && ...)
auto WhenAll(As&&... awaitables) {
  return internal::WhenAllOperation<internal::AwaitResult<As>...>(internal::ToTask(std::forward<As>(awaitables))...);
}

template <class T>
auto WhenAll(std::vector<Task<T>> tasks) {
  static_assert(!std::is_reference_v<T>, "gyre: a vector can't hold references: use the argument form of WhenAll");
  return internal::WhenAllRangeOperation<T>(std::move(tasks));
}

}  // namespace gyre

#endif  // GYRE_RUNTIME_WHEN_ALL_H_
