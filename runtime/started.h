// Started<T>: with it a child that was begun with Scope::Start says that it is up and running.
//
//   gyre::Task<> Serve(gyre::Started<uint16_t> started, gyre::Endpoint where) {
//     ... bind ...
//     started(port);       // Start returns `port` now; from here on the task belongs to the scope
//     ... accept ...
//   }
//
// Thread-safety: the loop's thread only.
// Lifetime:      may be copied and kept; only the first call counts, and a second one is a check failure.
// Cancellation:  a caller of Start that is stopped takes the child with it: a later `started(v)` changes nothing then, and
//                Start ends stopped once the child has ended.
// Errors:        a child that ends without the call: its exception is thrown by Start; a bad status, or kFailedPrecondition
//                if it ended well, is returned if the child's own result is a status, and thrown as StatusError otherwise.
// Cost:          one allocation beside the task's.
#ifndef GYRE_RUNTIME_STARTED_H_
#define GYRE_RUNTIME_STARTED_H_

#include <concepts>
#include <coroutine>
#include <exception>
#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gyre/runtime/errors.h"
#include "gyre/runtime/internal/task_core.h"

namespace gyre {

class Scope;

namespace internal {

// The starter's side, whatever the types: the group of the child until it is up.
class StartCore : public TaskOwner, public Runnable {
 public:
  // The child is up. False: the starter is being stopped, and the child stays with it.
  bool HandOver() noexcept;

 protected:
  StartCore() : TaskOwner(Kind::kPlain), Runnable(RunnableKind::kTask) {}
  ~StartCore() = default;

  void Begin(PromiseBase& parent, Scope& scope, TaskCore& child);
  // Throws or gives what came instead of the report.
  absl::Status TakeFailure();

  bool is_handed_over_ = false;

 private:
  void OnChildLost(TaskCore& child, bool failed) noexcept override;
  void OnAllEnded() noexcept override;
  void Run() override;
  void Drop() noexcept override { GYRE_CHECK(false, "internal: a loop ended with a coroutine ready to run"); }

  PromiseBase* parent_ = nullptr;
  Scope* scope_ = nullptr;
  TaskCore* child_ = nullptr;  // null once it has ended
  bool was_refused_ = false;
  bool was_stopped_ = false;
  std::exception_ptr failure_;
};

template <class T>
struct StartSlot {
  StartCore* core = nullptr;  // null once the start is resolved
  std::optional<Stored<T>> value;
};

}  // namespace internal

template <class T = void>
class Started {
 public:
  explicit Started(std::shared_ptr<internal::StartSlot<T>> slot) : slot_(std::move(slot)) {}

  template <class U = T>
    requires(!std::is_void_v<T> && std::convertible_to<U &&, T>)
  void operator()(U&& value) const {
    CheckOpen();
    slot_->value.emplace(std::forward<U>(value));
    Report();
  }
  void operator()() const
    requires std::is_void_v<T>
  {
    CheckOpen();
    slot_->value.emplace();
    Report();
  }

 private:
  void CheckOpen() const {
    GYRE_CHECK(slot_->core != nullptr, "Started was called twice, or after its task had ended");
  }
  void Report() const {
    if (slot_->core->HandOver()) slot_->core = nullptr;
  }

  std::shared_ptr<internal::StartSlot<T>> slot_;
};

namespace internal {

template <class F, class... Args>
class SpawnedCall;

template <class T, class F, class... Args>
class [[nodiscard]] StartAwaiter final : public StartCore {
  static_assert(!std::is_reference_v<T>, "gyre: Start gives a value: use a pointer");
  using State = SpawnedCall<F, Started<T>, Args...>;
  using ChildResult = typename std::invoke_result_t<F&, Started<T>, Args...>::value_type;

 public:
  StartAwaiter(Scope& scope, F&& f, std::tuple<Args...>&& arguments)
      : scope_(scope), f_(std::move(f)), arguments_(std::move(arguments)) {}
  StartAwaiter(const StartAwaiter&) = delete;
  StartAwaiter& operator=(const StartAwaiter&) = delete;
  ~StartAwaiter() { slot_->core = nullptr; }

  bool await_ready() const noexcept { return false; }
  template <std::derived_from<PromiseBase> P>
  void await_suspend(std::coroutine_handle<P> awaiting) {
    TaskCore* child = std::apply(
        [this](Args&... arguments) {
          return MakeTaskState<State>(std::string_view(), std::move(f_), Started<T>(slot_), std::move(arguments)...);
        },
        arguments_);
    slot_->core = this;
    Begin(awaiting.promise(), scope_, *child);
  }
  auto await_resume() {
    if (parent() != nullptr) Detach();
    slot_->core = nullptr;
    using R = std::conditional_t<std::is_void_v<T>, absl::Status, absl::StatusOr<T>>;
    if constexpr (kIsStatusLike<ChildResult>) {
      if (!is_handed_over_) return R(TakeFailure());
      if constexpr (std::is_void_v<T>) {
        return R(absl::OkStatus());
      } else {
        return R(std::move(*slot_->value));
      }
    } else {
      if (!is_handed_over_) throw StatusError(TakeFailure());
      return StoredTraits<T>::Take(*slot_->value);
    }
  }

 private:
  Scope& scope_;
  F f_;
  std::tuple<Args...> arguments_;
  std::shared_ptr<StartSlot<T>> slot_ = std::make_shared<StartSlot<T>>();
};

template <class T, class F, class... Args>
class [[nodiscard]] StartOperation {
 public:
  template <class G, class... As>
  explicit StartOperation(Scope& scope, G&& f, As&&... arguments)
      : scope_(scope), f_(std::forward<G>(f)), arguments_(std::forward<As>(arguments)...) {}
  auto operator co_await() && { return StartAwaiter<T, F, Args...>(scope_, std::move(f_), std::move(arguments_)); }

 private:
  Scope& scope_;
  F f_;
  std::tuple<Args...> arguments_;
};

}  // namespace internal
}  // namespace gyre

#endif  // GYRE_RUNTIME_STARTED_H_
