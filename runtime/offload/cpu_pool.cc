// How a job finds a thread, and a thread a job.
//
// Three kinds of threads take jobs from the queue: the listener, a thread of gyre's that waits for jobs when there are none;
// drainers, which are calls made to the crew (oneTBB's workers) and end when the queue is empty; and spares, which stand in
// for threads that block. A crew's thread never waits for jobs: TBB needs it for nested parallelism.
//
// Calling a drainer wakes a worker of TBB's, 9 to 35 us for the caller. So a loop never does it: it wakes the listener; if that
// is busy and there is room for one more, the caller, a thread that does nothing else. A thread that takes a job while more wait
// calls the next drainer itself, before it starts.
//
// No job is forgotten, because everyone first says and then looks (all of it seq_cst):
//
//   submitter   pushes the job                     then looks for a spinning listener, a call under way, room for a drainer
//   listener    says that it works, or is parked   then looks at the queue
//   drainer     says that it has come, or goes     then looks at the queue
//   blocked     says so                            then looks at the queue
//
// A call may be late: TBB's workers are the process's, and may be busy elsewhere. So whoever finds threads blocked wakes a spare
// whatever has been called: the job of the blocked one may wait for this very job.
#include "gyre/runtime/offload/cpu_pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "gyre/runtime/blocking_section.h"
#include "gyre/runtime/check.h"
#include "gyre/runtime/internal/clock.h"
#include "gyre/runtime/internal/futex.h"
#include "gyre/runtime/internal/ticks.h"
#include "gyre/runtime/internal/usable_cpus.h"
#include "gyre/runtime/log.h"
#include "gyre/runtime/offload/internal/crew.h"
#include "gyre/runtime/offload/internal/injection_queue.h"

namespace gyre {
namespace {

#if defined(__SANITIZE_THREAD__)
#define GYRE_INTERNAL_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define GYRE_INTERNAL_TSAN 1
#endif
#endif
#ifdef GYRE_INTERNAL_TSAN
constexpr bool kUseTbb = false;  // it would see only half of what Debian's library does
#else
constexpr bool kUseTbb = true;
#endif

// What a drainer does before TBB's other work has its turn.
constexpr int kJobsInARow = 64;
constexpr uint64_t kTicksInARow = uint64_t{1} << 21;  // about a millisecond
constexpr size_t kSparesMax = 256;
constexpr Duration kSpinMax = std::chrono::hours(1);

using internal::InjectionQueue;

// The kernel lets a thread that wakes, such as a loop's, go before one that is scheduled as SCHED_BATCH. Undone at the end: a
// drainer's thread is TBB's, and will do other work.
class ScopedBatchScheduling {
 public:
  explicit ScopedBatchScheduling(bool is_wanted) : is_set_(is_wanted && sched_getscheduler(0) == SCHED_OTHER) {
    if (is_set_) Set(SCHED_BATCH);
  }
  ScopedBatchScheduling(const ScopedBatchScheduling&) = delete;
  ScopedBatchScheduling& operator=(const ScopedBatchScheduling&) = delete;
  ~ScopedBatchScheduling() {
    if (is_set_) Set(SCHED_OTHER);
  }

 private:
  static void Set(int policy) {
    sched_param param{};
    sched_setscheduler(0, policy, &param);
  }

  const bool is_set_;
};

void NameThread(const char* name) { pthread_setname_np(pthread_self(), name); }

}  // namespace

class CpuPool::Threads final : public internal::BlockingHost {
 public:
  Threads(CpuPool& pool, const CpuPoolOptions& options)
      : pool_(pool),
        spin_(std::min(options.spin(), kSpinMax)),
        batch_scheduling_(options.batch_scheduling()),
        crew_(MakeCrew(options)),
        drainers_max_(crew_->threads() - 1),
        queues_{InjectionQueue(CapacityOf(options)), InjectionQueue(CapacityOf(options)),
                InjectionQueue(CapacityOf(options))} {
    listener_thread_ = std::thread([this] { RunListener(); });
    if (drainers_max_ == 0) return;
    try {
      caller_thread_ = std::thread([this] { RunCaller(); });
    } catch (...) {
      End();
      throw;
    }
  }
  ~Threads() { End(); }

  int threads() const { return drainers_max_ + 1; }
  bool is_tbb() const { return crew_->is_tbb(); }

  void Submit(Job& job) noexcept {
    QueueOf(job).Push(job);
    Summon();
  }
  bool Revoke(Job& job) noexcept { return QueueOf(job).Revoke(job); }
  bool IsFull() const noexcept {
    for (const InjectionQueue& queue : queues_) {
      if (queue.IsFull()) return true;
    }
    return false;
  }

 private:
  enum Listener : uint32_t {
    kWorking,   // left by itself
    kSpinning,  // left by itself
    kParked,    // left by whoever wakes it
  };
  enum Caller : uint32_t {
    kAwake,   // left by itself
    kAsleep,  // left by whoever wakes it
  };

  size_t CapacityOf(const CpuPoolOptions& options) const {
    return options.queue_capacity() > 0 ? options.queue_capacity() : size_t{256} * static_cast<size_t>(threads());
  }
  std::unique_ptr<internal::Crew> MakeCrew(const CpuPoolOptions& options) {
    const int threads = options.threads() > 0 ? options.threads() : internal::UsableCpus();
    auto drain = [this] { Drain(); };
    if (!kUseTbb) return internal::MakeThreadCrew(threads, drain);
    return internal::MakeTbbCrew(threads, options.owns_tbb(), drain);
  }
  InjectionQueue& QueueOf(const Job& job) { return queues_[static_cast<size_t>(job.priority())]; }

  bool LooksEmpty() const noexcept {
    for (const InjectionQueue& queue : queues_) {
      if (!queue.LooksEmpty()) return false;
    }
    return true;
  }

  // The job to start next, or null. `starts` counts, for each thread, up to the turn of the lowest priority.
  Job* Pop(int& starts) noexcept {
    if (++starts >= kStartsForLowest) {
      starts = 0;
      for (int i = kPriorities - 1; i > 0; --i) {
        if (Job* job = queues_[i].Pop()) return job;
      }
    }
    for (InjectionQueue& queue : queues_) {
      if (Job* job = queue.Pop()) return job;
    }
    return nullptr;
  }

  // --- finding a thread for what was pushed

  void Summon() noexcept {
    switch (listener_.load()) {
      case kSpinning:
        return;
      case kParked:
        if (WakeListener()) return;
        break;  // somebody else did; it may be working by now
      case kWorking:
        break;
    }
    if (blocked_.load() > 0) [[unlikely]] WakeSpare();
    if (called_.load() > 0) return;
    if (drainers_.load() < drainers_max_) {
      if (caller_.load() == kAsleep && caller_.exchange(kAwake) == kAsleep) internal::FutexWakeOne(caller_);
    }
  }

  bool WakeListener() noexcept {
    uint32_t expected = kParked;
    if (!listener_.compare_exchange_strong(expected, kSpinning)) return false;
    internal::FutexWakeOne(listener_);
    return true;
  }

  // A thread of the pool has a job, and more wait.
  void Reinforce() noexcept {
    if (blocked_.load() > 0) [[unlikely]] WakeSpare();
    if (called_.load() > 0 || !EnterAsDrainer()) return;
    if (!CallDrainer()) LeaveAsDrainer();
  }

  bool EnterAsDrainer() noexcept {
    int before = drainers_.load();
    while (before < drainers_max_) {
      if (drainers_.compare_exchange_weak(before, before + 1)) return true;
    }
    return false;
  }
  void LeaveAsDrainer() noexcept { drainers_.fetch_sub(1); }

  // By one who has entered for it.
  bool CallDrainer() noexcept {
    called_.fetch_add(1);
    if (crew_->Call()) return true;
    called_.fetch_sub(1);
    return false;
  }

  // --- the crew's threads

  void Drain() noexcept {
    const internal::ScopedBlockingHost host(this);
    const ScopedBatchScheduling batch(batch_scheduling_);
    called_.fetch_sub(1);
    DrainInTurn();
  }

  void DrainInTurn() noexcept {
    int starts = 0;
    int left = kJobsInARow;
    const uint64_t start = internal::ReadTicks();
    for (;;) {
      Job* job = Pop(starts);
      if (job == nullptr) {
        LeaveAsDrainer();
        if (LooksEmpty() || !EnterAsDrainer()) return;
        continue;
      }
      if (!LooksEmpty()) Reinforce();
      pool_.RunJob(*job);
      if (--left > 0 && internal::ReadTicks() - start < kTicksInARow) continue;
      if (CallDrainer()) return;  // behind what else the crew has to do
      left = kJobsInARow;
    }
  }

  // --- the listener

  void RunListener() {
    NameThread("gyre-cpu");
    const internal::ScopedBlockingHost host(this);
    const ScopedBatchScheduling batch(batch_scheduling_);
    crew_->RunAsListener([this] { Listen(); });
  }

  void Listen() noexcept {
    int starts = 0;
    for (;;) {
      if (Job* job = Pop(starts)) {
        listener_.store(kWorking);
        if (!LooksEmpty()) Reinforce();
        pool_.RunJob(*job);
        continue;
      }
      listener_.store(kSpinning);
      if (SpinForJob()) continue;
      listener_.store(kParked);
      if (!LooksEmpty()) {
        listener_.store(kSpinning);
        continue;
      }
      if (is_ending_.load()) return;
      while (listener_.load() == kParked) internal::FutexWait(listener_, kParked);
    }
  }

  bool SpinForJob() const noexcept {
    if (spin_ <= Duration::zero()) return false;
    const TimePoint end = internal::SteadyNow() + spin_;
    do {
      for (int i = 0; i < 16; ++i) {
        if (!LooksEmpty()) return true;
        internal::Pause();
      }
    } while (internal::SteadyNow() < end);
    return false;
  }

  // --- the caller

  void RunCaller() noexcept {
    NameThread("gyre-cpu-call");
    for (;;) {
      if (listener_.load() == kWorking && !LooksEmpty()) Reinforce();
      caller_.store(kAsleep);
      if (is_ending_.load()) return;
      if (listener_.load() == kWorking && called_.load() == 0 && drainers_.load() < drainers_max_ && !LooksEmpty()) {
        caller_.store(kAwake);
        continue;
      }
      while (caller_.load() == kAsleep) internal::FutexWait(caller_, kAsleep);
    }
  }

  // --- threads that block, and those that stand in for them

  void OnBlock() noexcept override {
    blocked_.fetch_add(1);
    const std::lock_guard lock(spares_mutex_);
    if (static_cast<int>(spares_.size()) < blocked_.load()) AddSpare();
    spare_wanted_.notify_one();
  }
  void OnUnblock() noexcept override { blocked_.fetch_sub(1); }

  void AddSpare() noexcept {
    if (is_ending_.load()) return;
    if (spares_.size() >= kSparesMax) {
      if (!std::exchange(has_complained_, true)) {
        internal::Log("gyre: 256 jobs of a CpuPool block at once; it starts no further threads for the others");
      }
      return;
    }
    try {
      spares_.emplace_back([this] { RunSpare(); });
    } catch (const std::exception&) {
      if (!std::exchange(has_complained_, true)) {
        internal::Log("gyre: no thread can be had to stand in for a blocked one of a CpuPool; its jobs may wait for it");
      }
    }
  }

  void WakeSpare() noexcept {
    const std::lock_guard lock(spares_mutex_);
    spare_wanted_.notify_one();
  }

  void RunSpare() noexcept {
    NameThread("gyre-cpu-spare");
    const internal::ScopedBlockingHost host(this);
    const ScopedBatchScheduling batch(batch_scheduling_);
    int starts = 0;
    std::unique_lock lock(spares_mutex_);
    for (;;) {
      spare_wanted_.wait(lock, [this] { return is_ending_.load() || (MaySpareWork() && !LooksEmpty()); });
      if (is_ending_.load()) return;
      ++spares_working_;
      while (spares_working_ <= blocked_.load()) {
        lock.unlock();
        Job* job = Pop(starts);
        if (job != nullptr) {
          if (!LooksEmpty()) Reinforce();
          pool_.RunJob(*job);
        }
        lock.lock();
        if (job == nullptr) break;
      }
      --spares_working_;
    }
  }
  bool MaySpareWork() const { return spares_working_ < blocked_.load(); }

  // --- the end

  void End() noexcept {
    is_ending_.store(true);
    WakeListener();
    if (listener_thread_.joinable()) listener_thread_.join();
    if (caller_.exchange(kAwake) == kAsleep) internal::FutexWakeOne(caller_);
    if (caller_thread_.joinable()) caller_thread_.join();
    std::vector<std::thread> spares;
    {
      const std::lock_guard lock(spares_mutex_);
      spare_wanted_.notify_all();
      spares.swap(spares_);
    }
    for (std::thread& spare : spares) spare.join();
    crew_->Finish();
  }

  CpuPool& pool_;
  const Duration spin_;
  const bool batch_scheduling_;
  std::unique_ptr<internal::Crew> crew_;
  const int drainers_max_;
  InjectionQueue queues_[kPriorities];

  // seq_cst, all of these: see above.
  std::atomic<uint32_t> listener_{kSpinning};
  std::atomic<uint32_t> caller_{kAwake};
  std::atomic<int> drainers_{0};  // called, or at work
  std::atomic<int> called_{0};    // called, and not come yet
  std::atomic<int> blocked_{0};
  std::atomic<bool> is_ending_{false};

  std::mutex spares_mutex_;
  std::condition_variable spare_wanted_;
  std::vector<std::thread> spares_;
  int spares_working_ = 0;
  bool has_complained_ = false;

  std::thread listener_thread_;
  std::thread caller_thread_;
};

CpuPool::CpuPool(const CpuPoolOptions& options) : threads_(std::make_unique<Threads>(*this, options)) {}

CpuPool::~CpuPool() { ReportAbandoned(); }

int CpuPool::threads() const { return threads_->threads(); }
absl::Status CpuPool::Submit(Job& job) noexcept {
  MarkQueued(job);
  threads_->Submit(job);
  return absl::OkStatus();
}
bool CpuPool::Revoke(Job& job) noexcept { return threads_->Revoke(job); }
bool CpuPool::IsFull() const noexcept { return threads_->IsFull(); }
bool CpuPool::has_tbb_workers() const noexcept { return threads_->is_tbb(); }

}  // namespace gyre
