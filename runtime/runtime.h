// Runtime: several loops, each on a thread of its own, as one.
//
//   gyre::Runtime runtime;                                             // one loop per usable CPU
//   absl::Status status = runtime.RunOnEveryLoop(Serve);               // Task<absl::Status> Serve()
//   int answer = runtime.Run([&]() -> gyre::Task<int> {                // on the first loop; the others serve RunOn meanwhile
//     co_return co_await gyre::RunOn(runtime.loop(1), Compute);
//   });
//
// Thread-safety: Run and RunOnEveryLoop from one thread at a time, which becomes the first loop's; loops() from any; loop(i)
//                from anything that runs within them.
// Lifetime:      loops are made and ended by each Run; several Runs may follow one another, and several runtimes may run in a
//                process at once. All its loops live until the last of them has ended.
// Cancellation:  when the root of Run has ended, what the other loops still do for it is stopped and waited for. In
//                RunOnEveryLoop the first error stops the callable on every other loop.
// Errors:        as gyre::Run. What a loop needs and can't have (descriptors, a thread) is a status, or StatusError, and no loop runs.
// Cost:          a thread for every loop but the first, and its descriptors.
//
// In a simulation (SimWorld::Loops) the loops take turns on the calling thread.
#ifndef GYRE_RUNTIME_RUNTIME_H_
#define GYRE_RUNTIME_RUNTIME_H_

#include <concepts>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/backend.h"
#include "gyre/runtime/bridge.h"
#include "gyre/runtime/check.h"
#include "gyre/runtime/errors.h"
#include "gyre/runtime/internal/loop_host.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/offload/pools.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/stop_handle.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/with_scope.h"

namespace gyre {

class RuntimeOptions {
 public:
  RuntimeOptions() {}

  // How many loops; 0, the default: one for each CPU that the affinity mask and the control group's quota allow.
  RuntimeOptions& set_loops(size_t loops) {
    loops_ = loops;
    return *this;
  }
  // Each loop's thread runs on one CPU of the affinity mask only; the thread that calls Run has its mask back afterwards. Off
  // by default.
  RuntimeOptions& set_pin_loops(bool pin) {
    pin_loops_ = pin;
    return *this;
  }
  // As RunOptions has them.
  RuntimeOptions& set_spin(Duration spin) {
    run_options_.set_spin(spin);
    return *this;
  }
  RuntimeOptions& set_backend(BackendKind kind) {
    run_options_.set_backend(kind);
    return *this;
  }
  RuntimeOptions& set_allow_environment(bool allow) {
    run_options_.set_allow_environment(allow);
    return *this;
  }
  // Of Offload and OffloadBlocking, for all the runtime's loops; kept until the runtime's end. A pool that is not used is not made.
  RuntimeOptions& set_pools(const PoolOptions& pools) {
    run_options_.set_pools(pools);
    return *this;
  }
  // Called on the loop where the error is: on several threads at once.
  RuntimeOptions& set_unhandled_error_hook(UnhandledErrorHook hook) {
    run_options_.set_unhandled_error_hook(std::move(hook));
    return *this;
  }

  // Instead of threads: SimWorld::Loops gives options with it.
  RuntimeOptions& set_host(internal::LoopHost& host) {
    host_ = &host;
    return *this;
  }

  size_t loops() const { return loops_; }
  bool pin_loops() const { return pin_loops_; }
  const RunOptions& run_options() const { return run_options_; }
  internal::LoopHost* host() const { return host_; }

 private:
  size_t loops_ = 0;
  bool pin_loops_ = false;
  RunOptions run_options_;
  internal::LoopHost* host_ = nullptr;
};

namespace internal {

// A thread for each loop but the first.
class ThreadHost final : public LoopHost {
 public:
  explicit ThreadHost(bool pins_loops) : pins_loops_(pins_loops) {}

  absl::StatusOr<std::unique_ptr<Backend>> OpenBackend(const RunOptions& options) override;
  absl::Status RunAll(std::vector<HostedLoop>& loops, const RunOptions& options) override;

 private:
  const bool pins_loops_;
};

// The callables of RunOnEveryLoop: the first failure, and the end of all. Thread-safe.
class EveryLoop {
 public:
  explicit EveryLoop(size_t loops) : left_(loops), ends_(loops) {}

  // Of a loop whose callable is about to start.
  void AddStop(StopHandle stop);
  // Of one that has ended, on its loop: the first failure stops the others; a further one goes to the hook.
  void Fail(std::exception_ptr failure) noexcept;
  void Arrive() noexcept;
  // Each loop waits for all, so that none refuses what another asks of it.
  Bridge<>& end(size_t loop) { return ends_[loop]; }

  // After all have ended.
  const std::exception_ptr& failure() const { return failure_; }

 private:
  std::mutex mutex_;
  size_t left_;
  std::vector<StopHandle> stops_;
  std::exception_ptr failure_;
  std::vector<Bridge<>> ends_;
};

template <class F>
auto CallOnLoop(F& f, size_t index) {
  if constexpr (std::invocable<F&, size_t>) {
    return std::invoke(f, index);
  } else {
    return std::invoke(f);
  }
}

// A callable of RunOnEveryLoop as the root of loop `index`.
template <class F>
Task<> RunAsOneOfMany(EveryLoop& group, size_t index, F& f) {
  auto body = [&group, index, &f](Scope& scope) -> Task<absl::Status> {
    group.AddStop(scope.stop_handle());
    auto task = CallOnLoop(f, index);
    if constexpr (std::is_void_v<typename decltype(task)::value_type>) {
      co_await std::move(task);
      co_return absl::OkStatus();
    } else {
      co_return co_await std::move(task);
    }
  };
  try {
    const Outcome<absl::Status> outcome = co_await AsOutcome(WithScope(body));
    if (outcome.has_exception()) {
      group.Fail(outcome.exception());
    } else if (absl::Status status = outcome.status(); !status.ok()) {
      group.Fail(std::make_exception_ptr(StatusFailure(std::move(status))));
    }
  } catch (const std::bad_alloc&) {
    group.Fail(std::current_exception());
  }
  group.Arrive();
  co_await group.end(index).Wait();
}

}  // namespace internal

class Runtime {
 public:
  explicit Runtime(RuntimeOptions options = RuntimeOptions());
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;
  ~Runtime();

  size_t loops() const { return loops_; }
  // From within a Run of this runtime.
  Loop& loop(size_t index) {
    GYRE_CHECK(index < hosts_.size(), "Runtime::loop: there is no loop of this number, or the runtime does not run");
    return hosts_[index]->loop;
  }

  // From within a Run of this runtime, on any thread.
  RuntimeMetrics metrics() const;

  // Runs `root` on the first loop, on this thread, and gives its result. What gyre::Run takes.
  template <class Root>
  decltype(auto) Run(Root&& root) {
    using FirstTask = internal::RootTask<std::decay_t<Root>>;
    using T = typename FirstTask::T;
    FirstTask first(std::forward<Root>(root));
    std::vector<Bridge<>> ends(loops_);
    auto make_other = [&ends](size_t index) { return [&ends, index] { return WaitFor(ends[index]); }; };
    std::deque<internal::RootTask<decltype(make_other(0))>> others;
    for (size_t i = 1; i < loops_; ++i) others.emplace_back(make_other(i));
    auto root_of = [&](size_t index) -> internal::RootBase& {
      if (index == 0) return first;
      return others[index - 1];
    };
    // Without memory for so much as WaitFor, a loop just ends: what is sent to it then is kUnavailable.
    auto on_end = [&](size_t index) {
      for (size_t i = 1; index == 0 && i < loops_; ++i) ends[i].Complete();
    };
    const absl::Status status = RunLoops(root_of, on_end);
    if (!status.ok()) {
      if constexpr (internal::kIsStatusLike<T>) return T(status);
      throw StatusError(status);
    }
    return first.Result();
  }

  // Calls `f(number of the loop)`, or `f()`, a Task<> or Task<absl::Status>, on every loop, each with its own copy of `f`;
  // returns when all have ended.
  // The first error, in time, is returned or thrown, and stops the others.
  template <class F>
  absl::Status RunOnEveryLoop(F f) {
    internal::EveryLoop group(loops_);
    std::vector<F> callables(loops_, f);
    auto make_root = [&group, &callables](size_t index) {
      return [&group, &callables, index] { return internal::RunAsOneOfMany(group, index, callables[index]); };
    };
    std::deque<internal::RootTask<decltype(make_root(0))>> roots;
    for (size_t i = 0; i < loops_; ++i) roots.emplace_back(make_root(i));
    auto root_of = [&roots](size_t index) -> internal::RootBase& { return roots[index]; };
    auto on_end = [&roots, &group](size_t index) {
      try {
        roots[index].Result();
      } catch (...) {  // there was no memory for it
        group.Fail(std::current_exception());
        group.Arrive();
      }
    };
    const absl::Status status = RunLoops(root_of, on_end);
    if (!status.ok() || group.failure() == nullptr) return status;
    try {
      std::rethrow_exception(group.failure());
    } catch (const internal::StatusFailure& failure) {
      return failure.status();
    }
  }

 private:
  struct Host {
    Host(std::unique_ptr<Backend> its_backend, internal::Pools& pools) : backend(std::move(its_backend)), loop(*backend) {
      loop.SetExecutors(pools);
    }
    std::unique_ptr<Backend> backend;
    Loop loop;
  };

  static Task<> WaitFor(Bridge<>& end) { co_await end.Wait(); }

  // Makes the loops, and runs the root of each to its end. If they can't be made, or started, a status says why, and nothing
  // has run.
  absl::Status RunLoops(const std::function<internal::RootBase&(size_t)>& root_of,
                        const std::function<void(size_t)>& on_end);
  absl::Status OpenLoops();

  const RuntimeOptions options_;
  const size_t loops_;
  internal::ThreadHost threads_;
  internal::LoopHost& host_;
  internal::Pools pools_;
  std::vector<std::unique_ptr<Host>> hosts_;  // while it runs
  bool is_running_ = false;
};

}  // namespace gyre

#endif  // GYRE_RUNTIME_RUNTIME_H_
