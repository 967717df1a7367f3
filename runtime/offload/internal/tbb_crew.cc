// oneTBB's threads as a crew: one arena, in which the listener has the reserved slot.
#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <new>
#include <optional>
#include <utility>

#include "gyre/runtime/offload/internal/crew.h"

namespace gyre::internal {
namespace {

class TbbCrew final : public Crew {
 public:
  TbbCrew(int threads, bool owns_tbb, std::function<void()> drain) : drain_(std::move(drain)) {
    if (owns_tbb) limit_.emplace(tbb::global_control::max_allowed_parallelism, static_cast<size_t>(threads));
    threads_ = std::min(threads, LimitOfProcess());
    arena_.initialize(threads_, /*reserved_for_masters=*/1);
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
  // Isolated: a job of the listener's that waits in a parallel algorithm must not begin another job on top of it. (TBB's own
  // workers don't.)
  void RunAsListener(const std::function<void()>& listen) override {
    arena_.execute([&listen] { tbb::this_task_arena::isolate(listen); });
  }
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
};

}  // namespace

std::unique_ptr<Crew> MakeTbbCrew(int threads, bool owns_tbb, std::function<void()> drain) {
  return std::make_unique<TbbCrew>(threads, owns_tbb, std::move(drain));
}

}  // namespace gyre::internal
