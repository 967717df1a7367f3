#include "gyre/sync/internal/lock.h"

namespace gyre::internal {
namespace {

constexpr int kLooks = 64;

void Relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

void Lock::AcquireContended() {
  for (int look = 0; look < kLooks; ++look) {
    Relax();
    uint32_t expected = kFree;
    if (word_.load(std::memory_order_relaxed) == kFree &&
        word_.compare_exchange_weak(expected, kHeld, std::memory_order_acquire, std::memory_order_relaxed)) {
      return;
    }
  }
  // Held as wanted, because another may sleep still.
  while (word_.exchange(kHeldAndWanted, std::memory_order_acquire) != kFree) {
    word_.wait(kHeldAndWanted, std::memory_order_relaxed);
  }
}

}  // namespace gyre::internal
