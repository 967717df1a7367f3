// oneTBB's threads as a crew: one arena, in which the listener has the reserved slot.
//
// TBB's threads come and go between arenas, so what is set on one of them when it enters is undone when it leaves.
#include <sched.h>
#include <tbb/global_control.h>
#include <tbb/task_arena.h>
#include <tbb/task_scheduler_observer.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <new>
#include <optional>
#include <utility>

#include "gyre/runtime/offload/internal/crew.h"

namespace gyre::internal {
namespace {

// Marks the workers in the arena as batch threads: the kernel then lets a thread that wakes, such as a loop's, go
// first.
class BatchScheduling final : public tbb::task_scheduler_observer {
 public:
  explicit BatchScheduling(tbb::task_arena& arena) : tbb::task_scheduler_observer(arena) { observe(true); }
  ~BatchScheduling() override { observe(false); }

  void on_scheduler_entry(bool is_worker) override {
    if (is_worker && sched_getscheduler(0) == SCHED_OTHER) Set(SCHED_BATCH);
  }
  void on_scheduler_exit(bool is_worker) override {
    if (is_worker && sched_getscheduler(0) == SCHED_BATCH) Set(SCHED_OTHER);
  }

 private:
  static void Set(int policy) {
    sched_param param{};
    sched_setscheduler(0, policy, &param);
  }
};

class TbbCrew final : public Crew {
 public:
  TbbCrew(int threads, bool owns_tbb, bool batch_scheduling, std::function<void()> drain) : drain_(std::move(drain)) {
    if (owns_tbb) limit_.emplace(tbb::global_control::max_allowed_parallelism, static_cast<size_t>(threads));
    threads_ = std::min(threads, LimitOfProcess());
    arena_.initialize(threads_, /*reserved_for_masters=*/1);
    if (batch_scheduling) batch_.emplace(arena_);
  }

  bool Call() noexcept override {
    {
      const std::lock_guard lock(mutex_);
      ++calls_;
    }
    try {
      arena_.enqueue([this] {
        drain_();
        EndCall();
      });
      return true;
    } catch (const std::bad_alloc&) {
      EndCall();
      return false;
    }
  }
  void Finish() noexcept override {
    std::unique_lock lock(mutex_);
    none_left_.wait(lock, [this] { return calls_ == 0; });
  }
  void RunAsListener(const std::function<void()>& listen) override { arena_.execute(listen); }
  bool is_tbb() const override { return true; }
  int threads() const override { return threads_; }

 private:
  // TBB complains on stderr where more is asked for.
  static int LimitOfProcess() {
    return static_cast<int>(tbb::global_control::active_value(tbb::global_control::max_allowed_parallelism));
  }

  // Under the lock, so that the destructor can't leave before this is through with the condition variable.
  void EndCall() noexcept {
    const std::lock_guard lock(mutex_);
    if (--calls_ == 0) none_left_.notify_all();
  }

  std::optional<tbb::global_control> limit_;
  int threads_;
  const std::function<void()> drain_;
  std::mutex mutex_;
  std::condition_variable none_left_;
  int calls_ = 0;
  tbb::task_arena arena_;
  std::optional<BatchScheduling> batch_;
};

}  // namespace

std::unique_ptr<Crew> MakeTbbCrew(int threads, bool owns_tbb, bool batch_scheduling, std::function<void()> drain) {
  return std::make_unique<TbbCrew>(threads, owns_tbb, batch_scheduling, std::move(drain));
}

}  // namespace gyre::internal
