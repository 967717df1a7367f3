// FutexWait and FutexWakeOne: a thread sleeps while a word has a value; any other wakes it.
//
// Thread-safety: any thread.
// Source:        futex(2), private to the process.
#ifndef GYRE_RUNTIME_INTERNAL_FUTEX_H_
#define GYRE_RUNTIME_INTERNAL_FUTEX_H_

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

namespace gyre::internal {

static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t));

// Returns at once if the word is not `value`; may also return for no reason.
inline void FutexWait(std::atomic<uint32_t>& word, uint32_t value) {
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}
inline void FutexWakeOne(std::atomic<uint32_t>& word) {
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_FUTEX_H_
