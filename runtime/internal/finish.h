// Taking the result out of a frame that has come to its end, for scopes, spawned tasks and combinators.
#ifndef GYRE_RUNTIME_INTERNAL_FINISH_H_
#define GYRE_RUNTIME_INTERNAL_FINISH_H_

#include <exception>
#include <memory>
#include <new>
#include <utility>

#include "gyre/runtime/outcome.h"
#include "gyre/runtime/task.h"

namespace gyre::internal {

// The outcome of a finished frame; the frame is destroyed. From the reap queue, never from the frame's own final await.
// A value whose move throws becomes that exception.
template <class T>
Outcome<T> TakeRareOutcomeAndDestroy(Promise<T>* frame);
template <class T>
Outcome<T> TakeOutcomeAndDestroy(Promise<T>* frame) {
  if constexpr (std::is_void_v<T>) {
    if (frame->state() == FrameState::kValue) [[likely]] {
      frame->handle().destroy();
      return Outcome<T>::FromValue();
    }
  }
  return TakeRareOutcomeAndDestroy(frame);
}
template <class T>
Outcome<T> TakeRareOutcomeAndDestroy(Promise<T>* frame) {
  PromiseBase* owner = frame;
  try {
    if (frame->state() == FrameState::kException) {
      std::exception_ptr error = std::move(frame->error());
      std::exchange(owner, nullptr)->handle().destroy();
      return Outcome<T>::FromException(std::move(error));
    }
    if constexpr (std::is_void_v<T>) {
      frame->TakeResultAndDestroy(owner);
      return Outcome<T>::FromValue();
    } else if constexpr (std::is_reference_v<T>) {
      T reference = frame->TakeResultAndDestroy(owner);
      return Outcome<T>::FromValue(&reference);
    } else {
      return Outcome<T>::FromValue(frame->TakeResultAndDestroy(owner));
    }
  } catch (...) {
    return Outcome<T>::FromException(std::current_exception());
  }
}

// Makes `place` the outcome that `make` gives, without a move: T may have no assignment, and its moves may throw.
template <class T, class Make>
void ReplaceOutcome(Outcome<T>& place, Make make) noexcept {
  std::destroy_at(std::addressof(place));
  ::new (static_cast<void*>(std::addressof(place))) Outcome<T>(make());
}
template <class T>
void ReplaceOutcome(Outcome<T>& place, Promise<T>* frame) noexcept {
  ReplaceOutcome(place, [frame] { return TakeOutcomeAndDestroy(frame); });
}
template <class T>
void ReplaceOutcome(Outcome<T>& place, std::exception_ptr exception) noexcept {
  ReplaceOutcome(place, [&exception] { return Outcome<T>::FromException(std::move(exception)); });
}

// It ended with an exception or a bad status.
template <class T>
bool HasFailed(const Outcome<T>& outcome) {
  if constexpr (kIsStatusLike<T>) return !outcome.stopped() && !outcome.ok();
  return outcome.has_exception();
}

// What failed in an outcome: its exception, a bad status as a StatusFailure, or null.
template <class T>
std::exception_ptr FailureOf(const Outcome<T>& outcome) {
  if (outcome.has_exception()) return outcome.exception();
  if constexpr (kIsStatusLike<T>) {
    if (outcome.has_value() && !outcome.ok()) return std::make_exception_ptr(StatusFailure(outcome.status()));
  }
  return nullptr;
}

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_FINISH_H_
