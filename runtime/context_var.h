// ContextVar<T>: a value that belongs to a task and to what it starts: a request id, a tenant, a trace.
//
//   inline gyre::ContextVar<std::string> request_id;      // at namespace scope
//   request_id.Set("r-17");                               // in a task
//   if (const std::string* id = request_id.Get()) ...     // in it, in what it awaits, and in what it has spawned since
//
// A spawned task begins with the values of the task that spawned it; later changes on either side are not seen on the other.
// A child of WhenAll and its kin sees the values of the awaiting task, and what it sets stays its own. What a task awaits
// directly is part of the task, and sets its values.
//
// Thread-safety: the loop's thread only; the ContextVar itself is immutable.
// Lifetime:      the ContextVar outlives every task that uses it; a value lives as long as a task that sees it, and must
//                not be held by pointer across an await that may Set it.
// Errors:        Set outside a task is a check failure; Get gives null there. Set throws std::bad_alloc.
// Cost:          a Get searches the handful of values that are set; a Set copies the list. Programs that set none pay
//                nothing.
#ifndef GYRE_RUNTIME_CONTEXT_VAR_H_
#define GYRE_RUNTIME_CONTEXT_VAR_H_

#include <memory>
#include <utility>

#include "gyre/runtime/check.h"
#include "gyre/runtime/internal/loop_core.h"
#include "gyre/runtime/internal/scope_core.h"

namespace gyre {

template <class T>
class ContextVar {
 public:
  ContextVar() = default;
  ContextVar(const ContextVar&) = delete;
  ContextVar& operator=(const ContextVar&) = delete;

  // Null where none is set, and outside a task.
  const T* Get() const {
    const internal::LoopCore* core = internal::tls_loop;
    if (core == nullptr || !core->has_context || core->current == nullptr) return nullptr;
    return static_cast<const T*>(internal::FindContextValue(core->current->Context(), this));
  }

  void Set(T value) const {
    internal::LoopCore* core = internal::tls_loop;
    GYRE_CHECK(core != nullptr && core->current != nullptr, "ContextVar::Set was called outside a task");
    core->current->SetContext(this, std::make_shared<const T>(std::move(value)));
  }
};

}  // namespace gyre

#endif  // GYRE_RUNTIME_CONTEXT_VAR_H_
