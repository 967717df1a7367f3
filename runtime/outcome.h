// Outcome<T>: how an await ended: with a value, with an exception, or stopped.
//
// Thread-safety: a value.
// Lifetime:      owns the value or the exception; of a reference result, the pointer only.
// Errors:        value() of an Outcome without one rethrows its exception, or is a check failure if it was stopped.
#ifndef GYRE_RUNTIME_OUTCOME_H_
#define GYRE_RUNTIME_OUTCOME_H_

#include <exception>
#include <type_traits>
#include <utility>
#include <variant>

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
  Outcome() = default;

  template <class... Args>
  static Outcome FromValue(Args&&... args) {
    Outcome outcome;
    outcome.state_.template emplace<kValue>(std::forward<Args>(args)...);
    return outcome;
  }
  static Outcome FromStop(internal::SharedStopReason reason) {
    Outcome outcome;
    outcome.state_.template emplace<kStopped>(std::move(reason));
    return outcome;
  }
  static Outcome FromException(std::exception_ptr exception) {
    Outcome outcome;
    outcome.state_.template emplace<kException>(std::move(exception));
    return outcome;
  }

  bool has_value() const { return state_.index() == kValue; }
  // It ended with an exception. (A bad status is a value of type absl::Status or StatusOr: see status().)
  bool has_exception() const { return state_.index() == kException; }
  bool stopped() const { return state_.index() == kStopped; }

  // A void Outcome's value() gives nothing, but throws all the same.
  decltype(auto) value() & { return Get(*this); }
  decltype(auto) value() const& { return Get(*this); }
  T value() && {
    RequireValue();
    return internal::StoredTraits<T>::Take(std::get<kValue>(state_));
  }

  // Null unless has_exception().
  std::exception_ptr exception() const {
    return has_exception() ? std::get<kException>(state_) : std::exception_ptr();
  }

  // Why it was stopped; a blank reason if it was not, or if nobody knows.
  const StopReason& stop_reason() const { return shared_stop_reason().get(); }
  const internal::SharedStopReason& shared_stop_reason() const {
    static const internal::SharedStopReason kNone;
    return stopped() ? std::get<kStopped>(state_) : kNone;
  }

  // The outcome as a status: of a Status or StatusOr value, its own; kCancelled if stopped; for an exception what it
  // says (the status inside a StatusError).
  absl::Status status() const {
    if (stopped()) {
      const internal::SharedStopReason& reason = std::get<kStopped>(state_);
      return absl::CancelledError(reason ? reason.get().ToString() : "stopped");
    }
    if (has_exception()) return internal::StatusFromException(exception());
    if constexpr (internal::kIsStatusLike<T>) return internal::StatusOf(std::get<kValue>(state_));
    return absl::OkStatus();
  }
  bool ok() const {
    if constexpr (internal::kIsStatusLike<T>) {
      return has_value() && internal::StatusOf(std::get<kValue>(state_)).ok();
    }
    return has_value();
  }

 private:
  static constexpr size_t kStopped = 0;
  static constexpr size_t kValue = 1;
  static constexpr size_t kException = 2;

  void RequireValue() const {
    if (has_exception()) std::rethrow_exception(std::get<kException>(state_));
    GYRE_CHECK(has_value(), "Outcome::value() of a stopped outcome: ask stopped() first");
  }

  template <class Self>
  static decltype(auto) Get(Self& self) {
    self.RequireValue();
    if constexpr (std::is_void_v<T>) {
      return;
    } else if constexpr (std::is_reference_v<T>) {
      return static_cast<std::remove_reference_t<T>&>(*std::get<kValue>(self.state_));
    } else {
      return (std::get<kValue>(self.state_));
    }
  }

  std::variant<internal::SharedStopReason, internal::Stored<T>, std::exception_ptr> state_;
};

namespace internal {

template <class T>
inline constexpr bool kIsOutcome = false;
template <class T>
inline constexpr bool kIsOutcome<Outcome<T>> = true;

}  // namespace internal
}  // namespace gyre

#endif  // GYRE_RUNTIME_OUTCOME_H_
