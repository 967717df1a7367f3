// Task<T>: a coroutine that starts when it is awaited, gives a T, and can be stopped.
//
//   gyre::Task<int> Answer() { co_return 42; }
//   gyre::Task<> Ask() { int answer = co_await Answer(); ... }
//
// Thread-safety: made on any thread; awaited, finished and destroyed on one loop (a Task made outside a loop adopts the
//                loop that awaits it). Destroying an unstarted Task made outside a loop is allowed on any thread.
// Lifetime:      move-only; owns its coroutine until it is awaited (`co_await F()` or `co_await std::move(task)`, once)
//                or handed to a scope. When the await ends, the coroutine's locals and parameters are destroyed already.
// Cancellation:  awaiting a Task is no cancellation point by itself; the leaf awaits inside are. A stopped Task unwinds:
//                its frames are destroyed innermost first, and so are those that await it, up to the next scope,
//                AsOutcome or spawned task.
// Errors:        an exception that leaves the coroutine is rethrown, unchanged, by co_await.
// Cost:          one recycled frame; starting and finishing are symmetric transfers (no queue), and after
//                internal::kTransferBudget of them in a row the coroutine goes once through the ready queue.
//
// Dropping a Task is a compiler warning where the compiler sees it ([[nodiscard]]). With GYRE_DEBUG_CHECKS, one that is
// destroyed without having been awaited or spawned is logged, with its coroutine's name and where that is defined.
//
// T may be void, a value (also move-only, or without a default constructor) or a reference. A value whose alignment is
// above 16 does not compile: return a std::unique_ptr to it.
#ifndef GYRE_RUNTIME_TASK_H_
#define GYRE_RUNTIME_TASK_H_

#include <concepts>
#include <coroutine>
#include <exception>
#include <memory>
#include <source_location>
#include <type_traits>
#include <utility>

#include "gyre/runtime/internal/promise.h"
#include "gyre/runtime/internal/result.h"

#if defined(__has_cpp_attribute)
#if __has_cpp_attribute(clang::coro_await_elidable)
#define GYRE_INTERNAL_CORO_ELIDABLE [[clang::coro_await_elidable]]
#endif
#endif
#ifndef GYRE_INTERNAL_CORO_ELIDABLE
#define GYRE_INTERNAL_CORO_ELIDABLE
#endif

namespace gyre {

template <class T = void>
class Task;

namespace internal {
template <class T>
class Promise;
template <class T>
class TaskAwaiter;
struct TaskAccess;
}  // namespace internal

template <class T>
class GYRE_INTERNAL_CORO_ELIDABLE [[nodiscard("a Task does nothing until it is awaited or spawned")]] Task {
 public:
  using promise_type = internal::Promise<T>;
  using value_type = T;

  Task(Task&& other) noexcept : promise_(std::exchange(other.promise_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      Reset();
      promise_ = std::exchange(other.promise_, nullptr);
    }
    return *this;
  }
  ~Task() { Reset(); }

  internal::TaskAwaiter<T> operator co_await() && noexcept {
    return internal::TaskAwaiter<T>(std::exchange(promise_, nullptr));
  }
  void operator co_await() const& = delete;  // a Task is awaited once: co_await F(), or co_await std::move(task)

 private:
  friend internal::TaskAccess;

  explicit Task(promise_type& promise) noexcept : promise_(&promise) {}

  void Reset() noexcept {
    if (promise_ == nullptr) return;
#ifdef GYRE_DEBUG_CHECKS
    internal::ReportNeverAwaited(*promise_);
#endif
    std::exchange(promise_, nullptr)->handle().destroy();
  }

  promise_type* promise_;  // null once awaited or moved from
};

// Implementation
namespace internal {

// For scopes and combinators: takes the coroutine out of its Task.
struct TaskAccess {
  template <class T>
  static Task<T> Make(Promise<T>& promise) noexcept {
    return Task<T>(promise);
  }
  template <class T>
  static Promise<T>* Release(Task<T>& task) {
    GYRE_CHECK(task.promise_ != nullptr, "a Task was used after it had been awaited, spawned or moved from");
    return std::exchange(task.promise_, nullptr);
  }
};

// The result and its state, for every T; return_value or return_void comes in the derived classes.
template <class T>
class ResultPromise : public PromiseBase {
  static_assert(alignof(Stored<T>) <= 16,
                "gyre: a Task's result must not be over-aligned: return it through a std::unique_ptr");

 public:
  ResultPromise() noexcept {}
  ~ResultPromise() {
    if (state() == FrameState::kException) {
      std::destroy_at(&error_);
    } else if (state() != FrameState::kUnfinished) {
      std::destroy_at(&value_);
    }
  }

  Task<T> get_return_object() noexcept {
    CheckLayout();
    return TaskAccess::Make(static_cast<Promise<T>&>(*this));
  }

  void unhandled_exception() noexcept {
    if (state() == FrameState::kValue) std::destroy_at(&value_);  // a local's destructor threw after co_return
    std::construct_at(&error_, std::current_exception());
    SetState(FrameState::kException);
  }

  // The value, moved out; rethrows the exception. The frame is destroyed before this returns or throws.
  T TakeResultAndDestroy(PromiseBase*& owner) {
    if (state() == FrameState::kValue) [[likely]] {
      const DestroyOnExit destroy(owner);
      return StoredTraits<T>::Take(value_);
    }
    return TakeRareResultAndDestroy(owner);
  }

  Stored<T>& value() { return value_; }
  std::exception_ptr& error() { return error_; }

 protected:
  template <class... Args>
  void Emplace(Args&&... args) {
    if (state() == FrameState::kValue) [[unlikely]] DropValue();  // a destructor threw, was caught, and co_return came again
    std::construct_at(&value_, std::forward<Args>(args)...);
    SetState(FrameState::kValue);
  }

 private:
  void DropValue() noexcept {
    SetState(FrameState::kUnfinished);
    std::destroy_at(&value_);
  }

  [[gnu::noinline]] T TakeRareResultAndDestroy(PromiseBase*& owner) {
    if (state() == FrameState::kTried) {
      const DestroyUnwindingOnExit destroy(owner);
      return StoredTraits<T>::Take(value_);
    }
    std::exception_ptr error = std::move(error_);
    std::exchange(owner, nullptr)->handle().destroy();
    std::rethrow_exception(std::move(error));
  }

  struct DestroyOnExit {
    explicit DestroyOnExit(PromiseBase*& owner) : owner(owner) {}
    ~DestroyOnExit() { std::exchange(owner, nullptr)->handle().destroy(); }
    PromiseBase*& owner;
  };
  struct DestroyUnwindingOnExit {
    explicit DestroyUnwindingOnExit(PromiseBase*& owner) : owner(owner) {}
    ~DestroyUnwindingOnExit() { DestroyUnwinding(*std::exchange(owner, nullptr)); }
    PromiseBase*& owner;
  };

  union {
    Stored<T> value_;
    std::exception_ptr error_;
  };
};

// The default argument is where the coroutine is defined: it is evaluated there, when the promise is made.
template <class T>
class Promise final : public ResultPromise<T> {
 public:
#ifdef GYRE_DEBUG_CHECKS
  explicit Promise(std::source_location defined = std::source_location::current()) noexcept { this->SetPlace(defined); }
#endif

  template <class U = T>
    requires std::convertible_to<U&&, T>
  void return_value(U&& value) {
    if constexpr (std::is_reference_v<T>) {
      T reference = static_cast<T>(std::forward<U>(value));
      this->Emplace(std::addressof(reference));
    } else {
      this->Emplace(std::forward<U>(value));
    }
  }
};

template <>
class Promise<void> final : public ResultPromise<void> {
 public:
#ifdef GYRE_DEBUG_CHECKS
  explicit Promise(std::source_location defined = std::source_location::current()) noexcept { SetPlace(defined); }
#endif

  void return_void() noexcept { Emplace(); }
};

// Made by co_await and awaited at once; it needs no destructor, see promise.h.
template <class T>
class [[nodiscard]] TaskAwaiter {
 public:
  explicit TaskAwaiter(Promise<T>* child) noexcept : child_(child) {
    GYRE_CHECK(child != nullptr, "a Task was awaited after it had been awaited, spawned or moved from");
  }
  TaskAwaiter(const TaskAwaiter&) = delete;
  TaskAwaiter& operator=(const TaskAwaiter&) = delete;

  bool await_ready() const noexcept { return false; }

  template <std::derived_from<PromiseBase> P>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<P> awaiting) noexcept {
    PromiseBase& self = awaiting.promise();
    PromiseBase& entered = *child_;
    entered.Start(*self.scope(), self);
    return TransferDown(entered);
  }

  T await_resume() {
    PromiseBase* owner = child_;
    return static_cast<Promise<T>*>(owner)->TakeResultAndDestroy(owner);
  }

 private:
  PromiseBase* child_;
};

// What `co_await std::declval<A>()` gives.
template <class A>
decltype(auto) GetAwaiter(A&& awaitable) {
  if constexpr (requires { std::forward<A>(awaitable).operator co_await(); }) {
    return std::forward<A>(awaitable).operator co_await();
  } else {
    return std::forward<A>(awaitable);
  }
}

template <class A>
concept Awaitable = requires(A&& awaitable) {
  { GetAwaiter(std::forward<A>(awaitable)).await_ready() } -> std::convertible_to<bool>;
};

template <Awaitable A>
using AwaitResult = decltype(GetAwaiter(std::declval<A>()).await_resume());

template <class T>
inline constexpr bool kIsTask = false;
template <class T>
inline constexpr bool kIsTask<Task<T>> = true;

// Any awaitable as a Task: a Task stays itself, anything else gets a frame around it.
template <class T>
Task<T> ToTask(Task<T>&& task) {
  return std::move(task);
}
template <Awaitable A>
  requires(!kIsTask<std::remove_cvref_t<A>>)
Task<AwaitResult<std::remove_cvref_t<A>>> ToTask(A awaitable) {
  co_return co_await std::move(awaitable);
}

}  // namespace internal
}  // namespace gyre

#endif  // GYRE_RUNTIME_TASK_H_
