// Poisoning of freed memory: AddressSanitizer's when it is on, a 0xDD fill where GYRE_DEBUG_CHECKS is defined.
#ifndef GYRE_RUNTIME_INTERNAL_POISON_H_
#define GYRE_RUNTIME_INTERNAL_POISON_H_

#include <cstddef>
#include <cstring>

#if defined(__SANITIZE_ADDRESS__)
#define GYRE_INTERNAL_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GYRE_INTERNAL_ASAN 1
#endif
#endif

#ifdef GYRE_INTERNAL_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace gyre::internal {

inline void Poison([[maybe_unused]] const void* address, [[maybe_unused]] size_t bytes) {
#ifdef GYRE_INTERNAL_ASAN
  ASAN_POISON_MEMORY_REGION(address, bytes);
#endif
}

inline void Unpoison([[maybe_unused]] const void* address, [[maybe_unused]] size_t bytes) {
#ifdef GYRE_INTERNAL_ASAN
  ASAN_UNPOISON_MEMORY_REGION(address, bytes);
#endif
}

inline void PoisonFill([[maybe_unused]] void* address, [[maybe_unused]] size_t bytes) {
#ifdef GYRE_DEBUG_CHECKS
  std::memset(address, 0xDD, bytes);
#endif
}

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_POISON_H_
