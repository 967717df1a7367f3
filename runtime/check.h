// GYRE_CHECK: stops a broken program with a message that says what was expected.
//
// A check failure is for programs that are wrong (misuse, a broken invariant), never for what the world does to a
// program: that is an absl::Status. Checks are O(1) and stay on in production; GYRE_DCHECK is compiled only where
// GYRE_DEBUG_CHECKS is defined (tests and sanitizer builds), and may cost more.
#ifndef GYRE_RUNTIME_CHECK_H_
#define GYRE_RUNTIME_CHECK_H_

#include <string_view>

namespace gyre::internal {

// Writes "gyre: check failed at FILE:LINE: MESSAGE [CONDITION]" to stderr and aborts.
[[noreturn, gnu::cold, gnu::noinline]] void CheckFailed(const char* file, int line, const char* condition,
                                                        std::string_view message);

}  // namespace gyre::internal

#define GYRE_CHECK(condition, message)                                                  \
  do {                                                                                  \
    if (__builtin_expect(!(condition), 0)) [[unlikely]]                                 \
      ::gyre::internal::CheckFailed(__FILE__, __LINE__, #condition, message);           \
  } while (false)

#ifdef GYRE_DEBUG_CHECKS
#define GYRE_DCHECK(condition, message) GYRE_CHECK(condition, message)
#else
#define GYRE_DCHECK(condition, message) \
  do {                                  \
  } while (false)
#endif

#endif  // GYRE_RUNTIME_CHECK_H_
