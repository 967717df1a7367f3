#include "gyre/runtime/check.h"

#include <cstdio>
#include <cstdlib>

namespace gyre::internal {

void CheckFailed(const char* file, int line, const char* condition, std::string_view message) {
  std::fprintf(stderr, "gyre: check failed at %s:%d: %.*s [%s]\n", file, line, static_cast<int>(message.size()),
               message.data(), condition);
  std::fflush(stderr);
  std::abort();
}

}  // namespace gyre::internal
