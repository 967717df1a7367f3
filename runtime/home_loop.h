// HomeLoop: which loop an object without locks belongs to, so that its use on another is noticed before it corrupts anything.
//
//   void Set() {
//     home_.Check("an Event", !waiters_.empty(), /*is_in_use=*/false);
//     ...
//   }
//
// The home is the loop that used the object first. While somebody waits, only that loop may touch it. While it is in use,
// but nobody waits, its thread may: also after the loop has ended. Not in use, it may move to another loop.
//
// Thread-safety: it is what checks that; two threads in it at once may go unnoticed.
// Errors:        use on another thread is a check failure that names the threads where they are known.
// Cost:          16 bytes; a load and a comparison.
#ifndef GYRE_RUNTIME_HOME_LOOP_H_
#define GYRE_RUNTIME_HOME_LOOP_H_

#include <pthread.h>

#include <cstdint>

#include "gyre/runtime/loop.h"

namespace gyre {

class HomeLoop {
 public:
  HomeLoop() = default;
  HomeLoop(const HomeLoop&) = delete;
  HomeLoop& operator=(const HomeLoop&) = delete;

  // `what`: "a Semaphore". `has_waiters`: a coroutine waits for something of it; `is_in_use`: something of it is held.
  void Check(const char* what, bool has_waiters, bool is_in_use) {
    if (loop_ != reinterpret_cast<uintptr_t>(internal::tls_loop)) [[unlikely]] Move(what, has_waiters, is_in_use);
  }

 private:
  void Move(const char* what, bool has_waiters, bool is_in_use);

  static constexpr uintptr_t kNone = 1;  // no loop's address, and not "outside of any" either: so one comparison is enough

  uintptr_t loop_ = kNone;  // the address of its LoopCore, which may be gone, unless somebody waits
  pthread_t thread_{};
};

}  // namespace gyre

#endif  // GYRE_RUNTIME_HOME_LOOP_H_
