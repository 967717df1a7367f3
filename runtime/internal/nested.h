// NestedAwaiter<T>: awaits a Task<T> in a strand of its own below the awaiting one, so that it can be stopped, or spared a
// stop, without its surroundings. What Timeout, Shielded and WithStopToken share.
//
// A derived class makes the strand in `Enter`, and says in `OnInnerStopped` what a stop of the task means.
#ifndef GYRE_RUNTIME_INTERNAL_NESTED_H_
#define GYRE_RUNTIME_INTERNAL_NESTED_H_

#include <concepts>
#include <coroutine>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gyre/runtime/internal/promise.h"
#include "gyre/runtime/internal/result.h"
#include "gyre/runtime/internal/scope_core.h"
#include "gyre/runtime/task.h"

namespace gyre::internal {

template <class T>
class NestedAwaiter : protected Boundary {
 public:
  explicit NestedAwaiter(Task<T>&& task) : frame_(TaskAccess::Release(task)) {}
  NestedAwaiter(const NestedAwaiter&) = delete;
  NestedAwaiter& operator=(const NestedAwaiter&) = delete;
  ~NestedAwaiter() {
    if (frame_ != nullptr) frame_->handle().destroy();
  }

  bool await_ready() const noexcept { return false; }

  template <std::derived_from<PromiseBase> P>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<P> awaiting) {
    parent_ = &awaiting.promise();
    ScopeCore& strand = Enter(*parent_->scope());
    frame_->Start(strand, static_cast<Boundary&>(*this));
    return TransferInto(*frame_);
  }

 protected:
  virtual ScopeCore& Enter(ScopeCore& parent) = 0;
  // The task has ended, in whatever way: nothing may stop it any more.
  virtual void OnInnerEnd() noexcept = 0;
  // It was stopped, and the awaiting task was not: true if the awaiting frame goes on, false if it is stopped too.
  virtual bool GoesOnAfterStop() const noexcept = 0;

  bool has_result() const { return frame_ != nullptr; }
  // The result, or its exception; the frame is destroyed.
  T TakeResult() {
    PromiseBase* owner = std::exchange(frame_, nullptr);
    return static_cast<Promise<T>*>(owner)->TakeResultAndDestroy(owner);
  }
  PromiseBase& parent_frame() const { return *parent_; }

 private:
  std::coroutine_handle<> OnDone(PromiseBase&) noexcept final {
    OnInnerEnd();
    return TransferBack(*parent_);
  }
  void OnStopped() noexcept final {
    frame_ = nullptr;
    OnInnerEnd();
    parent_->scope()->loop()->PushReap(*this);
  }
  const PromiseBase* awaiter() const final { return parent_; }
  void Run() final {
    if (parent_->scope()->StopRequested() || !GoesOnAfterStop()) return UnwindStopped(*parent_);
    Continue(*parent_);
  }

  Promise<T>* frame_;  // null once taken, or destroyed by a stop
  PromiseBase* parent_ = nullptr;
};

// A result with room for a status: what is one already stays as it is.
template <class T>
struct AsStatusTraits {
  using Type = absl::StatusOr<T>;
};
template <>
struct AsStatusTraits<void> {
  using Type = absl::Status;
};
template <>
struct AsStatusTraits<absl::Status> {
  using Type = absl::Status;
};
template <class T>
struct AsStatusTraits<absl::StatusOr<T>> {
  using Type = absl::StatusOr<T>;
};
template <class T>
struct AsStatusTraits<T&> {
  using Type = absl::StatusOr<std::reference_wrapper<T>>;
};
template <class T>
struct AsStatusTraits<T&&> {
  using Type = absl::StatusOr<std::reference_wrapper<T>>;
};

// A result with room for "nothing": whether it ended, for void.
template <class T>
struct AsOptionalTraits {
  using Type = std::optional<T>;
};
template <>
struct AsOptionalTraits<void> {
  using Type = bool;
};
template <class T>
struct AsOptionalTraits<T&> {
  using Type = std::optional<std::reference_wrapper<T>>;
};
template <class T>
struct AsOptionalTraits<T&&> {
  using Type = std::optional<std::reference_wrapper<T>>;
};

// `take()` as an R of the traits above.
template <class T, class R, class Take>
R ConvertResult(Take take) {
  if constexpr (std::is_void_v<T>) {
    take();
    if constexpr (std::is_same_v<R, bool>) {
      return true;
    } else {
      return absl::OkStatus();
    }
  } else if constexpr (std::is_reference_v<T>) {
    T&& reference = take();
    return R(std::ref(reference));
  } else {
    return R(take());
  }
}

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_NESTED_H_
