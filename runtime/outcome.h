// Outcome<T>: how an await ended: with a value, with an exception, or stopped.
//
// Thread-safety: a value.
// Lifetime:      owns the value or the exception; of a reference result, the pointer only.
// Errors:        value() of an Outcome without one rethrows its exception, or is a check failure if it was stopped.
#ifndef GYRE_RUNTIME_OUTCOME_H_
#define GYRE_RUNTIME_OUTCOME_H_

#include <cstdint>
#include <exception>
#include <memory>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "gyre/runtime/check.h"
#include "gyre/runtime/errors.h"
#include "gyre/runtime/internal/result.h"
#include "gyre/runtime/stop_reason.h"

namespace gyre {

template <class T = void>
class [[nodiscard]] Outcome {
 public:
  using value_type = T;

  // Stopped, until told otherwise.
  Outcome() noexcept : reason_() {}
  Outcome(Outcome&& other) noexcept(std::is_nothrow_move_constructible_v<internal::Stored<T>>) : reason_() { TakeFrom(other); }
  Outcome(const Outcome& other)
    requires std::is_copy_constructible_v<internal::Stored<T>>
      : reason_() {
    CopyFrom(other);
  }
  Outcome& operator=(Outcome&& other) noexcept(std::is_nothrow_move_constructible_v<internal::Stored<T>>) {
    if (this != &other) {
      Reset();
      TakeFrom(other);
    }
    return *this;
  }
  Outcome& operator=(const Outcome& other)
    requires std::is_copy_constructible_v<internal::Stored<T>>
  {
    if (this != &other) *this = Outcome(other);
    return *this;
  }
  ~Outcome() { Destroy(); }

  template <class... Args>
  static Outcome FromValue(Args&&... args) {
    return Outcome(std::in_place, std::forward<Args>(args)...);
  }
  static Outcome FromStop(internal::SharedStopReason reason) noexcept {
    Outcome outcome;
    outcome.reason_ = std::move(reason);
    return outcome;
  }
  static Outcome FromException(std::exception_ptr exception) noexcept {
    Outcome outcome;
    std::destroy_at(&outcome.reason_);
    std::construct_at(&outcome.exception_, std::move(exception));
    outcome.state_ = State::kException;
    return outcome;
  }

  bool has_value() const { return state_ == State::kValue; }
  // It ended with an exception. (A bad status is a value of type absl::Status or StatusOr: see status().)
  bool has_exception() const { return state_ == State::kException; }
  bool stopped() const { return state_ == State::kStopped; }

  // A void Outcome's value() gives nothing, but throws all the same.
  decltype(auto) value() & { return Get(*this); }
  decltype(auto) value() const& { return Get(*this); }
  T value() && {
    RequireValue();
    return internal::StoredTraits<T>::Take(value_);
  }

  // Null unless has_exception().
  std::exception_ptr exception() const {
    return has_exception() ? exception_ : std::exception_ptr();
  }

  // Why it was stopped; a blank reason if it was not, or if nobody knows.
  StopReason stop_reason() const { return shared_stop_reason().get(); }
  const internal::SharedStopReason& shared_stop_reason() const {
    static const internal::SharedStopReason kNone;
    return stopped() ? reason_ : kNone;
  }

  // The outcome as a status: of a Status or StatusOr value, its own; kCancelled if stopped; for an exception what it
  // says (the status inside a StatusError).
  absl::Status status() const {
    if (stopped()) {
      const internal::SharedStopReason& reason = reason_;
      return absl::CancelledError(reason ? reason.get().ToString() : "stopped");
    }
    if (has_exception()) return internal::StatusFromException(exception());
    if constexpr (internal::kIsStatusLike<T>) return internal::StatusOf(value_);
    return absl::OkStatus();
  }
  bool ok() const {
    if constexpr (internal::kIsStatusLike<T>) {
      return has_value() && internal::StatusOf(value_).ok();
    }
    return has_value();
  }

 private:
  using Stored = internal::Stored<T>;
  enum class State : uint8_t { kStopped, kValue, kException };

  template <class... Args>
  explicit Outcome(std::in_place_t, Args&&... args) : value_(std::forward<Args>(args)...), state_(State::kValue) {}

  void Destroy() noexcept {
    if (state_ == State::kValue) [[likely]] {
      std::destroy_at(&value_);
    } else {
      DestroyRare();
    }
  }
  [[gnu::noinline]] void DestroyRare() noexcept {
    if (state_ == State::kStopped) {
      std::destroy_at(&reason_);
    } else {
      std::destroy_at(&exception_);
    }
  }
  // To a stopped outcome without a reason: what it also is while a value is being made, in case that throws.
  void Reset() noexcept {
    Destroy();
    std::construct_at(&reason_);
    state_ = State::kStopped;
  }
  // Both of these begin from there.
  void TakeFrom(Outcome& other) {
    switch (other.state_) {
      case State::kStopped:
        reason_ = std::move(other.reason_);
        return;
      case State::kValue:
        MakeValue(std::move(other.value_));
        break;
      case State::kException:
        std::construct_at(&exception_, std::move(other.exception_));
        break;
    }
    state_ = other.state_;
  }
  void CopyFrom(const Outcome& other) {
    switch (other.state_) {
      case State::kStopped:
        reason_ = other.reason_;
        return;
      case State::kValue:
        MakeValue(other.value_);
        break;
      case State::kException:
        std::construct_at(&exception_, other.exception_);
        break;
    }
    state_ = other.state_;
  }

  // Where `reason_` was; if that throws, it is there again.
  template <class Source>
  void MakeValue(Source&& source) {
    if constexpr (std::is_nothrow_constructible_v<Stored, Source>) {
      std::construct_at(&value_, std::forward<Source>(source));
    } else {
      try {
        std::construct_at(&value_, std::forward<Source>(source));
      } catch (...) {
        std::construct_at(&reason_);
        throw;
      }
    }
  }

  void RequireValue() const {
    if (has_exception()) std::rethrow_exception(exception_);
    GYRE_CHECK(has_value(), "Outcome::value() of a stopped outcome: ask stopped() first");
  }

  template <class Self>
  static decltype(auto) Get(Self& self) {
    self.RequireValue();
    if constexpr (std::is_void_v<T>) {
      return;
    } else if constexpr (std::is_reference_v<T>) {
      return static_cast<std::remove_reference_t<T>&>(*self.value_);
    } else {
      return (self.value_);
    }
  }

  union {
    internal::SharedStopReason reason_;
    Stored value_;
    std::exception_ptr exception_;
  };
  State state_ = State::kStopped;
};

namespace internal {

template <class T>
inline constexpr bool kIsOutcome = false;
template <class T>
inline constexpr bool kIsOutcome<Outcome<T>> = true;

}  // namespace internal
}  // namespace gyre

#endif  // GYRE_RUNTIME_OUTCOME_H_
