// WithScope and Supervise: run a body that may spawn children into a Scope, and wait for all of them.
//
//   auto body = [&](gyre::Scope& scope) -> gyre::Task<absl::Status> { ... };
//   absl::Status status = co_await gyre::WithScope(body);
//
// The body returns Task<void>, Task<absl::Status> or Task<absl::StatusOr<T>>, and so does the join. An lvalue body is
// borrowed, an rvalue one is kept. Errors, stops and results: scope.h and semantics D13 to D24.
//
// Cancellation: stopping the awaiting task stops the body and all children, waits for them, and goes on upwards.
// Cost:         the body's frame; nothing is allocated for the scope itself.
#ifndef GYRE_RUNTIME_WITH_SCOPE_H_
#define GYRE_RUNTIME_WITH_SCOPE_H_

#include <concepts>
#include <coroutine>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include "gyre/runtime/internal/finish.h"
#include "gyre/runtime/internal/gcc12_guard.h"
#include "gyre/runtime/scope.h"

namespace gyre {

namespace internal {

template <class Body>
using BodyTask = std::invoke_result_t<Body&, Scope&>;

template <class Body>
concept ScopeBody = std::invocable<Body&, Scope&> && kIsTask<BodyTask<Body>>;

template <class R>
inline constexpr bool kIsScopeResult = std::is_void_v<R> || kIsStatusLike<R>;

}  // namespace internal

namespace internal {

template <class R, class Body>
class [[nodiscard]] ScopeAwaiter final : private Boundary {
  static_assert(kIsScopeResult<R>,
                "gyre: the body of WithScope or Supervise returns Task<void>, Task<absl::Status> or "
                "Task<absl::StatusOr<T>>");

 public:
  ScopeAwaiter(Body&& body, OnChildError on_error)
      : body_(std::forward<Body>(body)), on_error_(std::move(on_error)) {}
  ScopeAwaiter(const ScopeAwaiter&) = delete;
  ScopeAwaiter& operator=(const ScopeAwaiter&) = delete;

  bool await_ready() const noexcept { return false; }

  template <std::derived_from<PromiseBase> P>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<P> awaiting) noexcept {
    parent_ = &awaiting.promise();
    Runnable& joiner = *this;
    scope_.emplace(ScopeKey(), *parent_->scope(), joiner, on_error_ ? &on_error_ : nullptr);
    strand_.emplace(ScopeKey::Core(*scope_));
    return StartBody();
  }

  R await_resume() {
    std::exception_ptr failure = ScopeKey::TakeFailure(*scope_);
    const SharedStopReason reason = ScopeKey::Core(*scope_).reason();
    scope_.reset();
    if (failure != nullptr) return GiveFailure(std::move(failure));
    if (body_outcome_.has_value()) return std::move(body_outcome_).value();
    if constexpr (!std::is_void_v<R>) return absl::CancelledError(reason.get().ToString());
  }

 private:
  enum class Phase : uint8_t {
    kBody,  // left when the body's frame is gone
    kJoin,
  };

  std::coroutine_handle<> StartBody() noexcept {
    try {
      auto task = std::invoke(body_, *scope_);
      frame_ = TaskAccess::Release(task);
    } catch (...) {  // before there was a coroutine
      ReplaceOutcome(body_outcome_, std::current_exception());
      EndBody();
      return std::noop_coroutine();
    }
    frame_->Start(*strand_, static_cast<Boundary&>(*this));
    return TransferInto(*frame_);
  }

  void EndBody() {
    phase_ = Phase::kJoin;
    ScopeCore& group = ScopeKey::Core(*scope_);
    group.loop()->current = &group;  // the strand goes
    strand_.reset();
    ScopeKey::OnBodyDone(*scope_, FailureOf(body_outcome_));
  }

  std::coroutine_handle<> OnDone(PromiseBase&) noexcept override {
    ScopeKey::Core(*scope_).loop()->PushReap(*this);
    return std::noop_coroutine();
  }
  void OnStopped() noexcept override { EndBody(); }
  const PromiseBase* awaiter() const override { return parent_; }

  // From the reap queue: first when the body has ended, then when everything has.
  void Run() override {
    if (phase_ == Phase::kBody) {
      strand_->loop()->current = &*strand_;
      ReplaceOutcome(body_outcome_, frame_);
      EndBody();
      return;
    }
    const bool was_stopped = body_outcome_.stopped() || ScopeKey::WasChildStopped(*scope_);
    if (was_stopped && parent_->scope()->StopRequested() && !ScopeKey::HasFailure(*scope_)) {
      UnwindStopped(*parent_);
    } else {
      Continue(*parent_);
    }
  }

  static R GiveFailure(std::exception_ptr failure) {
    if constexpr (kIsStatusLike<R>) {
      try {
        std::rethrow_exception(std::move(failure));
      } catch (const StatusFailure& error) {  // it began as a status, and stays one
        return error.status();
      }
    } else {
      RethrowFailure(std::move(failure));
    }
  }

  Body body_;  // a reference for an lvalue
  OnChildError on_error_;
  PromiseBase* parent_ = nullptr;
  Promise<R>* frame_ = nullptr;
  Phase phase_ = Phase::kBody;
  std::optional<Scope> scope_;
  std::optional<ScopeCore> strand_;  // the body's, below the scope
  Outcome<R> body_outcome_;
};

template <class Body>
class [[nodiscard]] ScopeOperation {
 public:
  ScopeOperation(Body&& body, OnChildError on_error)
      : body_(std::forward<Body>(body)), on_error_(std::move(on_error)) {}

  auto operator co_await() && {
    using R = typename BodyTask<std::remove_reference_t<Body>>::value_type;
    return ScopeAwaiter<R, Body>(std::forward<Body>(body_), std::move(on_error_));
  }

 private:
  Body body_;
  OnChildError on_error_;
};

}  // namespace internal

// Gives what the body returns, once every child has ended; a child's error stops the rest and is given instead.
template <class Body>
  requires internal::ScopeBody<std::remove_reference_t<Body>>
auto WithScope(Body&& body) {
  GYRE_INTERNAL_REQUIRE_SAFE_CALLABLE(Body);
  return internal::ScopeOperation<Body>(std::forward<Body>(body), OnChildError());
}

// The same for children that fail one by one, as connections do: `on_error` is called on the loop for each child that
// ends with an error, and the others go on. What it throws goes to the unhandled-error hook. An error of the body still
// stops all.
template <class Body>
  requires internal::ScopeBody<std::remove_reference_t<Body>>
auto Supervise(OnChildError on_error, Body&& body) {
  GYRE_INTERNAL_REQUIRE_SAFE_CALLABLE(Body);
  GYRE_CHECK(on_error != nullptr, "Supervise needs a callback for the errors of children");
  return internal::ScopeOperation<Body>(std::forward<Body>(body), std::move(on_error));
}

}  // namespace gyre

#endif  // GYRE_RUNTIME_WITH_SCOPE_H_
