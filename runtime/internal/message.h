// Message: base of what one thread makes and another deletes, over and over: gives it memory that does not go back and forth
// through the allocator, whose every free of another thread's block takes that thread's lock.
//
// A thread cuts its messages from a slab, one after another. Whoever deletes one counts it off its slab, and the last one
// to be counted off hands the slab back for reuse; nothing else is ever said between the two threads.
//
// Thread-safety: new and delete on any thread.
// Lifetime:      outlives the thread that made it, if need be. A message that is kept keeps its slab (16 KiB): for what is
//                on its way, not for what stays.
// Errors:        new throws std::bad_alloc when the system has no memory.
// Cost:          new a dozen instructions, delete one atomic subtraction; every few hundred messages a slab, from a few that
//                the process keeps (256 KiB at most) or from the system. Messages over 1 KiB come from the system each, and
//                under AddressSanitizer all of them, so that it sees every misuse.
#ifndef GYRE_RUNTIME_INTERNAL_MESSAGE_H_
#define GYRE_RUNTIME_INTERNAL_MESSAGE_H_

#include <cstddef>
#include <cstdint>
#include <new>

#include "gyre/runtime/internal/poison.h"

namespace gyre::internal {

struct MessageSlab;

// Where the calling thread cuts its next message from.
struct MessageCutter {
  MessageSlab* slab = nullptr;
  char* next = nullptr;
  char* end = nullptr;
  int64_t cut = 0;  // messages from this slab
};
inline constinit thread_local MessageCutter tls_message_cutter;

class Message {
 public:
  static void* operator new(size_t bytes) {
    if (IsAlone(bytes)) return ::operator new(bytes);
    bytes = Rounded(bytes);
    MessageCutter& cutter = tls_message_cutter;
    if (static_cast<size_t>(cutter.end - cutter.next) < bytes) [[unlikely]] return CutFromNewSlab(bytes);
    ++cutter.cut;
    void* const message = cutter.next;
    cutter.next += bytes;
    return message;
  }
  static void operator delete(void* message, size_t bytes) noexcept {
    if (IsAlone(bytes)) return ::operator delete(message, bytes);
    PoisonFill(message, bytes);
    CountOff(message);
  }
  static void* operator new(size_t bytes, std::align_val_t alignment) { return ::operator new(bytes, alignment); }
  static void operator delete(void* message, size_t bytes, std::align_val_t alignment) noexcept {
    ::operator delete(message, bytes, alignment);
  }

  // Slabs that hold messages or that a thread cuts from: for tests.
  static int64_t SlabsInUse();

 protected:
  Message() = default;
  ~Message() = default;

 private:
  static constexpr size_t kBytesMax = 1024;

  static constexpr bool IsAlone(size_t bytes) {
#ifdef GYRE_INTERNAL_ASAN
    return bytes > 0;
#else
    return bytes > kBytesMax;
#endif
  }
  static constexpr size_t Rounded(size_t bytes) {
    constexpr size_t kAlignment = alignof(std::max_align_t);
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
  }
  static void* CutFromNewSlab(size_t bytes);
  static void CountOff(void* message) noexcept;
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_MESSAGE_H_
