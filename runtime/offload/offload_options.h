// OffloadOptions and AbandonOnStop: how a job is to be run.
//
// Thread-safety: a value.
#ifndef GYRE_RUNTIME_OFFLOAD_OFFLOAD_OPTIONS_H_
#define GYRE_RUNTIME_OFFLOAD_OFFLOAD_OPTIONS_H_

#include "gyre/runtime/offload/executor.h"
#include "gyre/runtime/offload/job_limiter.h"

namespace gyre {

class OffloadOptions {
 public:
  OffloadOptions() {}

  // Instead of the runtime's; must outlive the job.
  OffloadOptions& set_executor(Executor& executor) {
    executor_ = &executor;
    return *this;
  }
  OffloadOptions& set_priority(Priority priority) {
    priority_ = priority;
    return *this;
  }
  // Must outlive the job.
  OffloadOptions& set_limiter(JobLimiter& limiter) {
    limiter_ = &limiter;
    return *this;
  }
  // Where jobs wait beyond the queue's capacity, a new one is refused with kResourceExhausted instead of waiting too.
  OffloadOptions& set_refuse_when_full(bool refuse) {
    refuse_when_full_ = refuse;
    return *this;
  }

  Executor* executor() const { return executor_; }
  Priority priority() const { return priority_; }
  JobLimiter* limiter() const { return limiter_; }
  bool refuse_when_full() const { return refuse_when_full_; }

 private:
  Executor* executor_ = nullptr;
  JobLimiter* limiter_ = nullptr;
  Priority priority_ = Priority::kNormal;
  bool refuse_when_full_ = false;
};

// The options of a job that its caller need not wait for: when the caller is stopped it leaves at once, and the result
// is dropped when it comes. So the callable must own all that it uses, and nothing of the caller's frame: it, its
// arguments and its result are allocated, and are destroyed on the pool's thread. For what can't be interrupted, such
// as a name lookup. The pool's end waits for it all the same, and says so. [J04]
class AbandonOnStop : public OffloadOptions {
 public:
  AbandonOnStop() {}
  explicit AbandonOnStop(const OffloadOptions& options) : OffloadOptions(options) {}

  AbandonOnStop& set_executor(Executor& executor) { return With([&] { OffloadOptions::set_executor(executor); }); }
  AbandonOnStop& set_priority(Priority priority) { return With([&] { OffloadOptions::set_priority(priority); }); }
  AbandonOnStop& set_limiter(JobLimiter& limiter) { return With([&] { OffloadOptions::set_limiter(limiter); }); }
  AbandonOnStop& set_refuse_when_full(bool refuse) {
    return With([&] { OffloadOptions::set_refuse_when_full(refuse); });
  }

 private:
  template <class Set>
  AbandonOnStop& With(Set set) {
    set();
    return *this;
  }
};

}  // namespace gyre

#endif  // GYRE_RUNTIME_OFFLOAD_OFFLOAD_OPTIONS_H_
