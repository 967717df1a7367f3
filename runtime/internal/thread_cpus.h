// ThreadCpus: the CPUs that a thread may run on, to give them to threads that one bound to fewer starts.
//
// Thread-safety: a value; Apply changes the calling thread only.
// Errors:        where the system does not say or refuses, Apply changes nothing.
#ifndef GYRE_RUNTIME_INTERNAL_THREAD_CPUS_H_
#define GYRE_RUNTIME_INTERNAL_THREAD_CPUS_H_

#include <pthread.h>
#include <sched.h>

namespace gyre::internal {

class ThreadCpus {
 public:
  // Of the calling thread.
  ThreadCpus() : is_known_(pthread_getaffinity_np(pthread_self(), sizeof(cpus_), &cpus_) == 0) {}

  // To the calling thread.
  void Apply() const noexcept {
    if (is_known_) pthread_setaffinity_np(pthread_self(), sizeof(cpus_), &cpus_);
  }

 private:
  cpu_set_t cpus_{};
  bool is_known_;
};

// The calling thread has other CPUs, as long as this lives.
class OnCpus {
 public:
  explicit OnCpus(const ThreadCpus& cpus) { cpus.Apply(); }
  OnCpus(const OnCpus&) = delete;
  OnCpus& operator=(const OnCpus&) = delete;
  ~OnCpus() { before_.Apply(); }

 private:
  const ThreadCpus before_;  // read before the constructor's body
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_THREAD_CPUS_H_
