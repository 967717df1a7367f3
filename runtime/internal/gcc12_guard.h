// Refuses, on gcc before 13, a callable that this compiler would destroy twice (PR 101367, 99576): a temporary closure with
// a capture that is not trivially destructible, inside a co_await expression.
#ifndef GYRE_RUNTIME_INTERNAL_GCC12_GUARD_H_
#define GYRE_RUNTIME_INTERNAL_GCC12_GUARD_H_

#include <type_traits>

#include "gyre/runtime/internal/promise.h"

namespace gyre::internal {

// F as deduced from a forwarding reference: a reference type for an lvalue, which is always fine.
#if defined(GYRE_INTERNAL_GCC12) && !defined(GYRE_ALLOW_NONTRIVIAL_CLOSURES)
template <class F>
inline constexpr bool kIsSafeCallable = std::is_lvalue_reference_v<F> || std::is_trivially_destructible_v<F>;
#else
template <class F>
inline constexpr bool kIsSafeCallable = true;
#endif

}  // namespace gyre::internal

#define GYRE_INTERNAL_REQUIRE_SAFE_CALLABLE(F)                                                                     \
  static_assert(::gyre::internal::kIsSafeCallable<F>,                                                              \
                "gyre: gcc 12 destroys this temporary lambda twice inside a co_await expression: name the lambda " \
                "and pass it as an lvalue, or capture by reference")

#endif  // GYRE_RUNTIME_INTERNAL_GCC12_GUARD_H_
