#include "gyre/runtime/home_loop.h"

#include <string>

#include "gyre/runtime/check.h"

namespace gyre {

void HomeLoop::Move(const char* what, bool has_waiters, bool is_in_use) {
  const pthread_t self = pthread_self();
  if (has_waiters) internal::UsedOnWrongThread(*reinterpret_cast<const internal::LoopCore*>(loop_), what);
  if (is_in_use && !pthread_equal(thread_, self)) {
    internal::CheckFailed(__FILE__, __LINE__, "is_in_use",
                          std::string(what) + " was used on another thread than that of the loop on which it is in use");
  }
  loop_ = internal::tls_loop != nullptr ? reinterpret_cast<uintptr_t>(internal::tls_loop) : kNone;
  thread_ = self;
}

}  // namespace gyre
