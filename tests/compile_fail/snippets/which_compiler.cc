// Names the compiler to compile_fail_test.py.
#include "gyre/runtime/internal/promise.h"

#if defined(__clang__)
#error this is: clang.
#elif defined(GYRE_INTERNAL_GCC12)
#error this is: gcc, gcc 12.
#else
#error this is: gcc.
#endif
