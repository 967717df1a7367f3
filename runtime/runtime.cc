#include "gyre/runtime/runtime.h"

#include <pthread.h>
#include <sched.h>

#include <condition_variable>
#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <thread>

#include "absl/cleanup/cleanup.h"
#include "gyre/runtime/internal/usable_cpus.h"

namespace gyre {
namespace internal {
namespace {

// Binds the calling thread to one CPU, for as long as this lives.
class PinnedThread {
 public:
  explicit PinnedThread(int cpu) {
    is_pinned_ = pthread_getaffinity_np(pthread_self(), sizeof(before_), &before_) == 0;
    if (!is_pinned_) return;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<size_t>(cpu), &one);
    is_pinned_ = pthread_setaffinity_np(pthread_self(), sizeof(one), &one) == 0;
  }
  PinnedThread(const PinnedThread&) = delete;
  PinnedThread& operator=(const PinnedThread&) = delete;
  ~PinnedThread() {
    if (is_pinned_) pthread_setaffinity_np(pthread_self(), sizeof(before_), &before_);
  }

 private:
  cpu_set_t before_;
  bool is_pinned_;
};

// Lets threads begin all together, or not at all.
class StartingLine {
 public:
  // True: run. False: return without.
  bool Wait() {
    std::unique_lock lock(mutex_);
    decided_.wait(lock, [this] { return goes_.has_value(); });
    return *goes_;
  }
  void Decide(bool goes) {
    const std::lock_guard lock(mutex_);
    if (!goes_.has_value()) goes_ = goes;
    decided_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable decided_;
  std::optional<bool> goes_;
};

void NameThread(size_t loop) {
  const std::string name = "gyre-" + std::to_string(loop);
  pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
}

}  // namespace

void EveryLoop::AddStop(StopHandle stop) {
  std::unique_lock lock(mutex_);
  if (failure_ == nullptr) {
    stops_.push_back(std::move(stop));
    return;
  }
  lock.unlock();
  stop.RequestStop();
}

void EveryLoop::Fail(std::exception_ptr failure) noexcept {
  std::vector<StopHandle> stops;
  bool is_first;
  {
    const std::lock_guard lock(mutex_);
    is_first = failure_ == nullptr;
    if (is_first) {
      failure_ = failure;
      stops.swap(stops_);
    }
  }
  for (const StopHandle& stop : stops) stop.RequestStop();
  // The others end with kCancelled because of the first.
  if (is_first || absl::IsCancelled(StatusFromException(failure))) return;
  Loop* loop = Loop::TryCurrent();
  if (loop == nullptr) return;  // there was no memory for its root: the first failure will have been of that kind, too
  UnhandledError error;
  error.exception = std::move(failure);
  loop->ReportUnhandledError(error);
}

void EveryLoop::Arrive() noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (--left_ > 0) return;
  }
  for (Bridge<>& end : ends_) end.Complete();
}

absl::StatusOr<std::unique_ptr<Backend>> ThreadHost::OpenBackend(const RunOptions& options) {
  return MakeBackend(options);
}

absl::Status ThreadHost::RunAll(std::vector<HostedLoop>& loops, const RunOptions& options) {
  const std::vector<int> cpus = pins_loops_ ? AffinityCpus() : std::vector<int>();
  auto run = [&](size_t index) {
    std::optional<PinnedThread> pinned;
    if (!cpus.empty()) pinned.emplace(cpus[index % cpus.size()]);
    loops[index].root->RunOn(*loops[index].loop, options);
    loops[index].on_end();
  };
  StartingLine line;
  std::vector<std::thread> threads;
  const absl::Cleanup join = [&] {
    line.Decide(false);  // unless it was decided before
    for (std::thread& thread : threads) thread.join();
  };
  threads.reserve(loops.size() - 1);
  for (size_t i = 1; i < loops.size(); ++i) {
    try {
      threads.emplace_back([&, i] {
        if (!line.Wait()) return;
        NameThread(i);
        run(i);
      });
    } catch (const std::system_error& error) {
      return StatusFromErrno(error.code().value(), "start a thread for loop " + std::to_string(i));
    }
  }
  line.Decide(true);
  run(0);
  return absl::OkStatus();
}

}  // namespace internal

Runtime::Runtime(RuntimeOptions options)
    : options_(std::move(options)),
      loops_(options_.loops() != 0 ? options_.loops() : static_cast<size_t>(internal::UsableCpus())),
      threads_(options_.pin_loops()),
      host_(options_.host() != nullptr ? *options_.host() : threads_),
      pools_(options_.run_options().pools()) {}

Runtime::~Runtime() { GYRE_CHECK(!is_running_, "a Runtime was destroyed while it runs"); }

RuntimeMetrics Runtime::metrics() const {
  RuntimeMetrics metrics;
  for (const std::unique_ptr<Host>& host : hosts_) metrics.loops.push_back(host->loop.metrics());
  metrics.cpu = pools_.cpu_metrics();
  metrics.blocking = pools_.blocking_metrics();
  return metrics;
}

absl::Status Runtime::OpenLoops() {
  for (size_t i = 0; i < loops_; ++i) {
    absl::StatusOr<std::unique_ptr<Backend>> backend = host_.OpenBackend(options_.run_options());
    if (!backend.ok()) return backend.status();
    hosts_.push_back(std::make_unique<Host>(*std::move(backend), pools_));
    hosts_.back()->loop.SetNumber(i);
  }
  return absl::OkStatus();
}

absl::Status Runtime::RunLoops(const std::function<internal::RootBase&(size_t)>& root_of,
                               const std::function<void(size_t)>& on_end) {
  GYRE_CHECK(!std::exchange(is_running_, true), "a Runtime was asked to run while it runs already");
  GYRE_CHECK(Loop::TryCurrent() == nullptr, "Runtime::Run was called on a thread whose loop is running");
  absl::Status status;
  try {
    status = OpenLoops();
    std::vector<internal::HostedLoop> loops;
    for (size_t i = 0; i < hosts_.size(); ++i) loops.push_back({&loop(i), &root_of(i), [&on_end, i] { on_end(i); }});
    if (status.ok()) status = host_.RunAll(loops, options_.run_options());
  } catch (const std::bad_alloc&) {
    status = absl::ResourceExhaustedError("no memory to start a runtime's loops");
  }
  hosts_.clear();
  is_running_ = false;
  return status;
}

}  // namespace gyre
