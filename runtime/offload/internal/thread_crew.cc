// A crew of plain threads. Where oneTBB can't be used: under the thread sanitizer, which does not see into Debian's
// library.
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "gyre/runtime/offload/internal/crew.h"

namespace gyre::internal {
namespace {

class ThreadCrew final : public Crew {
 public:
  ThreadCrew(int threads, std::function<void()> drain) : drain_(std::move(drain)) {
    try {
      for (int i = 1; i < threads; ++i) threads_.emplace_back([this] { Work(); });
    } catch (...) {
      Finish();
      throw;
    }
  }

  ~ThreadCrew() override { Finish(); }

  bool Call() noexcept override {
    const std::lock_guard lock(mutex_);
    ++calls_;
    called_.notify_one();
    return true;
  }
  void Finish() noexcept override {
    {
      const std::lock_guard lock(mutex_);
      is_ending_ = true;
      called_.notify_all();
    }
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  void RunAsListener(const std::function<void()>& listen) override { listen(); }
  bool is_tbb() const override { return false; }
  int threads() const override { return static_cast<int>(threads_.size()) + 1; }

 private:
  void Work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      called_.wait(lock, [this] { return calls_ > 0 || is_ending_; });
      if (calls_ == 0) return;
      --calls_;
      lock.unlock();
      drain_();
      lock.lock();
    }
  }

  const std::function<void()> drain_;
  std::mutex mutex_;
  std::condition_variable called_;
  int calls_ = 0;
  bool is_ending_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace

std::unique_ptr<Crew> MakeThreadCrew(int threads, std::function<void()> drain) {
  return std::make_unique<ThreadCrew>(threads, std::move(drain));
}

}  // namespace gyre::internal
