// IsUnwinding: true in destructors that run because a coroutine is unwound by a stop or by Try.
//
// std::uncaught_exceptions() is 0 then, because nothing was thrown. So a scope guard that commits on success and rolls back
// on failure must ask this too:
//
//   ~Transaction() { if (std::uncaught_exceptions() > on_entry_ || gyre::IsUnwinding()) { Rollback(); } else { Commit(); } }
//
// Thread-safety: any thread; false outside a loop.
// Cost:          two loads. [D25]
#ifndef GYRE_RUNTIME_IS_UNWINDING_H_
#define GYRE_RUNTIME_IS_UNWINDING_H_

#include "gyre/runtime/internal/loop_core.h"

namespace gyre {

inline bool IsUnwinding() noexcept { return internal::tls_loop != nullptr && internal::tls_loop->unwinding > 0; }

}  // namespace gyre

#endif  // GYRE_RUNTIME_IS_UNWINDING_H_
