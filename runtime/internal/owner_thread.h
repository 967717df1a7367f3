// OwnerThread: the thread that a loop runs on, for messages about what was used on another.
//
// Thread-safety: written by the thread itself, before it runs anything of its loop's; read by a thread that is about to
// stop
//                the program.
#ifndef GYRE_RUNTIME_INTERNAL_OWNER_THREAD_H_
#define GYRE_RUNTIME_INTERNAL_OWNER_THREAD_H_

#include <pthread.h>
#include <sys/types.h>

#include <string>

namespace gyre::internal {

class OwnerThread {
 public:
  // Makes it the calling thread; Leave: nobody's.
  void Enter() noexcept;
  void Leave() noexcept { is_set_ = false; }

  // False also where the loop does not run.
  bool IsAnother() const noexcept { return is_set_ && !pthread_equal(thread_, pthread_self()); }

  // "; its loop runs on thread "gyre-1" (4711), and this is thread "gyre-0" (4710)".
  std::string ToString() const;

 private:
  bool is_set_ = false;
  pthread_t thread_{};
  pid_t id_ = 0;
  char name_[16] = {};
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_OWNER_THREAD_H_
