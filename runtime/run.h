// Run: runs one task to its end on a loop of this thread, and gives its result.
//
//   int main() { return gyre::Run(Main()); }                                    // Task<int>
//   absl::Status status = gyre::Run([](gyre::Scope& scope) -> gyre::Task<absl::Status> { ... });
//
// Takes any awaitable (`gyre::Run(gyre::WhenAll(A(), B()))`), a callable that gives a Task, or a body for WithScope.
//
// Thread-safety: any thread without a running loop; several threads may each run their own.
// Lifetime:      the loop lives until Run returns. What is still posted or timed then is destroyed without running. When the root
//                has ended and calls from other loops (see run_on.h) are being stopped, it still runs meanwhile.
// Cancellation:  a stopped root gives kCancelled, or throws gyre::Stopped if its type can't hold a status.
// Errors:        an exception of the root is rethrown. A backend that can't start gives its status, or throws StatusError.
//                A bad value in GYRE_BACKEND (where the options allow it) is such an error.
// Cost:          a backend and a loop are made and torn down: a few system calls.
#ifndef GYRE_RUNTIME_RUN_H_
#define GYRE_RUNTIME_RUN_H_

#include <concepts>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gyre/runtime/backend.h"
#include "gyre/runtime/internal/finish.h"
#include "gyre/runtime/internal/scope_core.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/offload/pools.h"
#include "gyre/runtime/stop_handle.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/with_scope.h"

namespace gyre {

enum class BackendKind {
  kAuto,  // the best that works here
  kEpoll,
  kIoUring,
};

// "auto", "epoll" or "io_uring"; kInvalidArgument names these otherwise.
absl::StatusOr<BackendKind> ParseBackendKind(std::string_view name);

// What a loop had left when its root ended.
class RunReport {
 public:
  RunReport() {}
  size_t dropped_callbacks = 0;    // CallSoon and Post that had not run
  size_t dropped_timers = 0;       // CallLater and Alarms that had not fired
  size_t closed_descriptors = 0;   // sockets whose handles outlived the loop
  std::string_view backend;        // its name: "epoll"
};

class RunOptions {
 public:
  RunOptions() {}

  RunOptions& set_backend(BackendKind kind) {
    backend_ = kind;
    return *this;
  }
  // Lets the environment variable GYRE_BACKEND choose instead. Off by default: an embedded library asks nobody.
  RunOptions& set_allow_environment(bool allow) {
    allow_environment_ = allow;
    return *this;
  }
  RunOptions& set_unhandled_error_hook(UnhandledErrorHook hook) {
    hook_ = std::move(hook);
    return *this;
  }
  // Filled before Run returns or throws; must live that long.
  RunOptions& set_report(RunReport* report) {
    report_ = report;
    return *this;
  }
  // How long the loop looks for work, at most, before it sleeps; it does so less where that finds nothing. Off by default: it
  // spends a CPU to save a message or a packet the 5 to 50 us of waking a thread.
  RunOptions& set_spin(Duration spin) {
    spin_ = spin;
    return *this;
  }
  // Of Offload and OffloadBlocking. A pool that is not used is not made.
  RunOptions& set_pools(const PoolOptions& pools) {
    pools_ = pools;
    return *this;
  }
  // Called with the loop before it starts. The counters of its backend may be read from any thread until Run returns.
  RunOptions& set_on_start(std::function<void(Loop&)> on_start) {
    on_start_ = std::move(on_start);
    return *this;
  }

  BackendKind backend() const { return backend_; }
  bool allow_environment() const { return allow_environment_; }
  const UnhandledErrorHook& unhandled_error_hook() const { return hook_; }
  RunReport* report() const { return report_; }
  Duration spin() const { return spin_; }
  const PoolOptions& pools() const { return pools_; }
  const std::function<void(Loop&)>& on_start() const { return on_start_; }

 private:
  BackendKind backend_ = BackendKind::kAuto;
  bool allow_environment_ = false;
  UnhandledErrorHook hook_;
  RunReport* report_ = nullptr;
  Duration spin_ = Duration::zero();
  PoolOptions pools_;
  std::function<void(Loop&)> on_start_;
};

namespace internal {

absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(const RunOptions& options);

// The boundary above a loop's first frame.
class RootBase : public Boundary {
 public:
  // Runs `loop` until the root has ended.
  void RunOn(Loop& loop, const RunOptions& options);

  // The same in parts: whoever has called Start runs the loop until is_done(), and then calls Report. `stop`: filled, if not null.
  void Start(Loop& loop, const RunOptions& options, StopHandle* stop);
  const bool& is_done() const { return is_done_; }
  void Report(const RunOptions& options) const;

 protected:
  RootBase() = default;
  ~RootBase() = default;

  // Makes the coroutine, on the loop.
  virtual PromiseBase* Begin() = 0;
  virtual void TakeOutcome(PromiseBase* frame) = 0;
  virtual void SetException(std::exception_ptr exception) = 0;
  // Stopped: destroys what the root keeps, while its loop still lives.
  virtual void DropRoot(SharedStopReason reason) noexcept = 0;

 private:
  void Run() override;
  void Drop() noexcept override {}
  void End() noexcept;
  std::coroutine_handle<> OnDone(PromiseBase& frame) noexcept override;
  void OnStopped() noexcept override;

  // Where the first frame runs.
  class Strand : public ScopeCore {
   public:
    explicit Strand(LoopCore& core) : ScopeCore(core, Kind::kRoot), root_(core.roots, *this) {}

   private:
    LoopRoot root_;
  };

  Loop* loop_ = nullptr;
  std::optional<Strand> scope_;
  PromiseBase* frame_ = nullptr;
  bool is_done_ = false;
};

template <class Root>
auto MakeRootTask(Root& root) {
  if constexpr (kIsTask<Root>) {
    return std::move(root);
  } else if constexpr (ScopeBody<Root>) {
    return ToTask(WithScope(root));
  } else if constexpr (std::invocable<Root&>) {
    return ToTask(std::invoke(root));
  } else {
    static_assert(Awaitable<Root>,
                  "gyre: Run takes an awaitable, a callable that gives one, or a callable that takes a Scope&");
    return ToTask(std::move(root));
  }
}

template <class Root>
class RootTask final : public RootBase {
 public:
  using T = typename decltype(MakeRootTask(std::declval<Root&>()))::value_type;

  template <class R>
  explicit RootTask(R&& root) : root_(std::forward<R>(root)) {}

  T Result() {
    if (outcome_.stopped()) {
      const std::string why = "the root task was stopped: " + outcome_.stop_reason().ToString();
      if constexpr (kIsStatusLike<T>) return absl::CancelledError(why);
      throw Stopped(why);
    }
    return std::move(outcome_).value();
  }
  // The exception, or the bad status, of a result that nobody takes; null if there is none.
  std::exception_ptr Failure() const {
    if (outcome_.has_exception()) return outcome_.exception();
    if (outcome_.stopped() || outcome_.ok()) return nullptr;
    return std::make_exception_ptr(StatusError(outcome_.status()));
  }

 private:
  PromiseBase* Begin() override {
    auto task = MakeRootTask(*root_);
    return TaskAccess::Release(task);
  }
  void TakeOutcome(PromiseBase* frame) override {
    ReplaceOutcome(outcome_, static_cast<Promise<T>*>(frame));
    root_.reset();
  }
  void SetException(std::exception_ptr exception) override {
    ReplaceOutcome(outcome_, std::move(exception));
    root_.reset();
  }
  void DropRoot(SharedStopReason reason) noexcept override {
    ReplaceOutcome(outcome_, [&reason] { return Outcome<T>::FromStop(std::move(reason)); });
    root_.reset();
  }

  std::optional<Root> root_;
  Outcome<T> outcome_;
};

// Run on a backend that the caller made: the simulation does.
template <class Root>
decltype(auto) RunOnBackend(Backend& backend, const RunOptions& options, Root&& root) {
  RootTask<std::decay_t<Root>> task(std::forward<Root>(root));
  {
    Pools pools(options.pools());
    Loop loop(backend);
    loop.SetExecutors(pools);
    task.RunOn(loop, options);
  }
  return task.Result();
}

}  // namespace internal

template <class Root>
decltype(auto) Run(const RunOptions& options, Root&& root) {
  using T = typename internal::RootTask<std::decay_t<Root>>::T;
  absl::StatusOr<std::unique_ptr<Backend>> backend = internal::MakeBackend(options);
  if (!backend.ok()) {
    if constexpr (internal::kIsStatusLike<T>) return T(backend.status());
    throw StatusError(backend.status());
  }
  return internal::RunOnBackend(**backend, options, std::forward<Root>(root));
}

template <class Root>
  requires(!std::same_as<std::decay_t<Root>, RunOptions>)
decltype(auto) Run(Root&& root) {
  return Run(RunOptions(), std::forward<Root>(root));
}

}  // namespace gyre

#endif  // GYRE_RUNTIME_RUN_H_
