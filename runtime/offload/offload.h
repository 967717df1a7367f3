// Offload and OffloadBlocking: run a callable on another thread, and await its result here.
//
//   Digest digest = co_await gyre::Offload(Hash, std::move(data));                    // CPU-bound: on the runtime's CpuPool
//   absl::Status status = co_await gyre::OffloadBlocking(Fsync, file);                // it waits: on its BlockingPool
//   Image image = co_await gyre::Offload(gyre::OffloadOptions().set_priority(gyre::Priority::kLow), Render, page);
//   Plan plan = co_await gyre::Offload([&](std::stop_token token) { return Search(board, token); });
//
// `f(args...)` is called once, on a thread of the pool, or `f(token, args...)` if it takes that; arguments reach it as rvalues (use
// std::ref for references). It may not touch what belongs to a loop; Loop::Post and BlockOn lead back to one. For jobs under 5 us
// a call on the loop is cheaper.
//
// Thread-safety: awaited on a loop; `f` runs elsewhere, alone.
// Lifetime:      `f`, `args` and the result live in the awaiting frame, and are destroyed on the loop. What `f` refers to there
//                stays until it has ended, stopped or not (but see AbandonOnStop).
// Cancellation:  a job that has not started is taken back, and the await ends at once. One that runs gets the token's stop, and
//                is waited for; its result is then delivered. [D10] In simulation a job takes no time, so none is met running.
// Errors:        what `f` throws is thrown here. std::system_error if the pool can't have its threads. If a thread can't be had
//                later, or the queue is full and the options refuse to wait: kResourceExhausted, as the result or, where that
//                can't hold a status, thrown as StatusError.
// Cost:          no allocation, but for the stop source of a callable that takes a token. See docs/benchmarks.md.
#ifndef GYRE_RUNTIME_OFFLOAD_OFFLOAD_H_
#define GYRE_RUNTIME_OFFLOAD_OFFLOAD_H_

#include <concepts>
#include <functional>
#include <stop_token>
#include <tuple>
#include <type_traits>
#include <utility>

#include "gyre/runtime/offload/executor.h"
#include "gyre/runtime/offload/internal/offload_awaiter.h"
#include "gyre/runtime/offload/offload_options.h"
#include "gyre/runtime/outcome.h"
#include "gyre/runtime/task.h"

namespace gyre {
namespace internal {

// clang-format off: it takes the reference for an operator.
template <class F, class... Args>
concept TakesStopToken = std::invocable<std::decay_t<F>&, std::stop_token, std::decay_t<Args>...>;
template <class F, class... Args>
concept OffloadCallable = TakesStopToken<F, Args...> || std::invocable<std::decay_t<F>&, std::decay_t<Args>...>;
// clang-format on

// The stop of a job whose callable asks for it; nothing for others.
template <bool kTakesToken>
class JobStop {
 public:
  void RequestStop() noexcept { source_.request_stop(); }
  auto token() const { return std::tuple<std::stop_token>(source_.get_token()); }

 private:
  std::stop_source source_;
};
template <>
class JobStop<false> {
 public:
  void RequestStop() noexcept {}
  auto token() const { return std::tuple<>(); }
};

template <bool kTakesToken, class F, class... Args>
struct CallResult : std::invoke_result<F&, Args...> {};
template <class F, class... Args>
struct CallResult<true, F, Args...> : std::invoke_result<F&, std::stop_token, Args...> {};

// `f(args...)` as work for an OffloadAwaiter.
template <class F, class... Args>
class CallWork {
  static constexpr bool kTakesToken = TakesStopToken<F, Args...>;

 public:
  using T = typename CallResult<kTakesToken, F, Args...>::type;
  static_assert(
      !kIsTask<std::remove_cvref_t<T>> && !Awaitable<T>,
      "gyre: an offloaded callable runs on a plain thread, where nothing can be awaited: use RunOn for coroutines");

  template <class G, class... As>
  explicit CallWork(G&& f, As&&... args) : f_(std::forward<G>(f)), args_(std::forward<As>(args)...) {}

  void Run(Outcome<T>& outcome, const Executor&) noexcept {
    SetOutcome(outcome, [this]() -> T {
      return std::apply([this](auto&&... args) -> T { return std::invoke(f_, std::move(args)...); },
                        std::tuple_cat(stop_.token(), ToReferences(args_)));
    });
  }
  void RequestStop() noexcept { stop_.RequestStop(); }

 private:
  static auto ToReferences(std::tuple<Args...>& args) {
    return std::apply([](Args&... each) { return std::tuple<Args&...>(each...); }, args);
  }

  F f_;
  [[no_unique_address]] std::tuple<Args...> args_;
  [[no_unique_address]] JobStop<kTakesToken> stop_;
};

// How the job is kept: see offload_awaiter.h.
template <class Options>
struct KeptBy {
  template <class Work>
  using Operation = OffloadOperation<Work, FrameJob>;
};
template <>
struct KeptBy<AbandonOnStop> {
  template <class Work>
  using Operation = OffloadOperation<Work, LoneJobHandle>;
};

template <class Options, class F, class... Args>
using CallOperation = typename KeptBy<Options>::template Operation<CallWork<std::decay_t<F>, std::decay_t<Args>...>>;

}  // namespace internal

// `options`: OffloadOptions or AbandonOnStop.
template <std::derived_from<OffloadOptions> Options, class F, class... Args>
  requires internal::OffloadCallable<F, Args...>
auto Offload(const Options& options, F&& f, Args&&... args) {
  return internal::CallOperation<Options, F, Args...>(options, internal::PoolKind::kCpu, std::forward<F>(f),
                                                      std::forward<Args>(args)...);
}
template <class F, class... Args>
  requires internal::OffloadCallable<F, Args...>
auto Offload(F&& f, Args&&... args) {
  return Offload(OffloadOptions(), std::forward<F>(f), std::forward<Args>(args)...);
}
// On a pool of the program's own.
template <class F, class... Args>
  requires internal::OffloadCallable<F, Args...>
auto Offload(Executor& executor, F&& f, Args&&... args) {
  return Offload(OffloadOptions().set_executor(executor), std::forward<F>(f), std::forward<Args>(args)...);
}

template <std::derived_from<OffloadOptions> Options, class F, class... Args>
  requires internal::OffloadCallable<F, Args...>
auto OffloadBlocking(const Options& options, F&& f, Args&&... args) {
  return internal::CallOperation<Options, F, Args...>(options, internal::PoolKind::kBlocking, std::forward<F>(f),
                                                      std::forward<Args>(args)...);
}
template <class F, class... Args>
  requires internal::OffloadCallable<F, Args...>
auto OffloadBlocking(F&& f, Args&&... args) {
  return OffloadBlocking(OffloadOptions(), std::forward<F>(f), std::forward<Args>(args)...);
}

}  // namespace gyre

#endif  // GYRE_RUNTIME_OFFLOAD_OFFLOAD_H_
