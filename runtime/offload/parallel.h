// ParallelFor, ParallelReduce and ParallelSort: oneTBB's algorithms, awaited from a coroutine.
//
//   co_await gyre::ParallelFor(0, image.rows(), [&](int row) { Filter(image, row); });
//   double sum = co_await gyre::ParallelReduce(size_t{0}, values.size(), 0.0,
//       [&](size_t first, size_t last, double sum) { return std::accumulate(&values[first], &values[last], sum); },
//       std::plus<>());
//   co_await gyre::ParallelSort(names.begin(), names.end());
//
// The loop hands over one job, which spreads over the threads of the runtime's CpuPool. A callable that is an lvalue is
// referred to, not copied, as one does with what is awaited in place.
//
// Thread-safety: awaited on a loop; the callables run on several threads at once, and must bear that.
// Lifetime:      what the callables refer to in the awaiting frame stays until all have returned, stopped or not.
// Cancellation:  before it has started: taken back. Later no further piece is begun; the await ends stopped when those
//                under way have returned, with the work half done. A result that was there before the stop is delivered. (A
//                callable that cancels oneTBB's context by itself ends the await in the same way: don't.)
// Errors:        the first exception of a callable ends the whole, and is thrown here, also after a stop. (Of a sort's
//                comparison only before one.) The rest as Offload.
// Cost:          one job. On an executor without oneTBB, in simulation and under the thread sanitizer, it runs in one
//                thread, in order; there a sort that has begun is not stopped.
// Source:        oneTBB: parallel_for, parallel_reduce, parallel_sort, with their automatic partitioning.
#ifndef GYRE_RUNTIME_OFFLOAD_PARALLEL_H_
#define GYRE_RUNTIME_OFFLOAD_PARALLEL_H_

#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>
#include <tbb/parallel_reduce.h>
#include <tbb/parallel_sort.h>
#include <tbb/task_group.h>  // task_group_context

#include <algorithm>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <iterator>
#include <mutex>
#include <type_traits>
#include <utility>

#include "gyre/runtime/blocking_section.h"
#include "gyre/runtime/offload/executor.h"
#include "gyre/runtime/offload/internal/offload_awaiter.h"
#include "gyre/runtime/offload/offload_options.h"
#include "gyre/runtime/outcome.h"

namespace gyre {
namespace internal {

// The stop of a parallel algorithm. Movable until it is used.
class ParallelStop {
 public:
  ParallelStop() = default;
  ParallelStop(ParallelStop&&) noexcept {}

  void Request() noexcept {
    is_requested_.store(true, std::memory_order_relaxed);
    context_.cancel_group_execution();
  }
  bool requested() const noexcept { return is_requested_.load(std::memory_order_relaxed); }
  // True: something may have been left undone.
  bool cut_short() noexcept { return context_.is_group_execution_cancelled(); }
  tbb::task_group_context& context() { return context_; }

 private:
  std::atomic<bool> is_requested_{false};  // relaxed: it carries no data
  tbb::task_group_context context_{tbb::task_group_context::isolated};
};

// What the callables of an algorithm throw: its own handling loses what comes after a stop. It also makes blocking in a callable
// known to the pool, whichever of TBB's threads that runs on.
class ParallelCalls {
 public:
  explicit ParallelCalls(tbb::task_group_context& context) : context_(context), host_(tls_blocking_host) {}
  ParallelCalls(const ParallelCalls&) = delete;
  ParallelCalls& operator=(const ParallelCalls&) = delete;

  template <class F>
  void operator()(F&& call) noexcept {
    const ScopedBlockingHost host(host_);
    try {
      std::forward<F>(call)();
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (first_error_ == nullptr) first_error_ = std::current_exception();
      context_.cancel_group_execution();
    }
  }
  // When all have returned.
  void RethrowFirst() const {
    if (first_error_ != nullptr) std::rethrow_exception(first_error_);
  }

 private:
  tbb::task_group_context& context_;
  BlockingHost* const host_;
  std::mutex mutex_;
  std::exception_ptr first_error_;
};

// Steps of an algorithm in one thread, between which it looks for a stop.
inline constexpr size_t kSerialSteps = 1024;

// A parallel algorithm as a Work: Body has T, RunParallel(context), and RunSerial(stop, is_whole), which says by `is_whole`
// that it did not come to its end.
template <class Body>
class ParallelWork {
 public:
  using T = typename Body::T;

  template <class... Parts>
  explicit ParallelWork(std::in_place_t, Parts&&... parts) : body_(std::forward<Parts>(parts)...) {}

  void Run(Outcome<T>& outcome, const Executor& executor) noexcept {
    bool is_whole = true;
    SetOutcome(outcome, [&]() -> T {
      if (executor.has_tbb_workers()) return body_.RunParallel(stop_.context());
      return body_.RunSerial(stop_, is_whole);
    });
    if (outcome.has_exception()) return;
    if (executor.has_tbb_workers()) is_whole = !stop_.cut_short();
    if (!is_whole) ReplaceOutcome(outcome, [] { return Outcome<T>(); });
  }
  void RequestStop() noexcept { stop_.Request(); }

 private:
  Body body_;
  ParallelStop stop_;
};

template <class Index, class F>
class ForBody {
 public:
  using T = void;

  template <class G>
  ForBody(Index first, Index last, G&& f) : first_(first), last_(last), f_(std::forward<G>(f)) {}

  void RunParallel(tbb::task_group_context& context) {
    if (!(first_ < last_)) return;
    ParallelCalls calls(context);
    auto run = [this, &calls](const tbb::blocked_range<Index>& range) {
      calls([&] {
        auto& f = f_;
        const Index end = range.end();
        for (Index i = range.begin(); i != end; ++i) std::invoke(f, i);
      });
    };
    tbb::parallel_for(tbb::blocked_range<Index>(first_, last_), run, context);
    calls.RethrowFirst();
  }
  void RunSerial(const ParallelStop& stop, bool& is_whole) {
    for (Index i = first_; i < last_; ++i) {
      if (stop.requested()) {
        is_whole = false;
        return;
      }
      std::invoke(f_, i);
    }
  }

 private:
  Index first_;
  Index last_;
  F f_;
};

template <class Index, class Value, class F, class Combine>
class ReduceBody {
 public:
  using T = Value;

  template <class G, class H>
  ReduceBody(Index first, Index last, Value&& identity, G&& f, H&& combine)
      : first_(first),
        last_(last),
        identity_(std::move(identity)),
        f_(std::forward<G>(f)),
        combine_(std::forward<H>(combine)) {}

  Value RunParallel(tbb::task_group_context& context) {
    if (!(first_ < last_)) return identity_;
    ParallelCalls calls(context);
    auto run = [this, &calls](const tbb::blocked_range<Index>& range, Value so_far) -> Value {
      calls([&] { so_far = std::invoke(f_, range.begin(), range.end(), std::move(so_far)); });
      return so_far;
    };
    auto combine = [this, &calls](Value left, Value right) -> Value {
      calls([&] { left = std::invoke(combine_, std::move(left), std::move(right)); });
      return left;
    };
    Value result = tbb::parallel_reduce(tbb::blocked_range<Index>(first_, last_), identity_, run, combine, context);
    calls.RethrowFirst();
    return result;
  }
  Value RunSerial(const ParallelStop& stop, bool& is_whole) {
    Value so_far = identity_;
    for (Index i = first_; i < last_;) {
      if (stop.requested()) {
        is_whole = false;
        break;
      }
      const auto left = static_cast<size_t>(last_ - i);
      const Index end = static_cast<Index>(i + static_cast<Index>(std::min(left, kSerialSteps)));
      so_far = std::invoke(f_, i, end, std::move(so_far));
      i = end;
    }
    return so_far;
  }

 private:
  Index first_;
  Index last_;
  Value identity_;
  F f_;
  Combine combine_;
};

template <class Iterator, class Less>
class SortBody {
 public:
  using T = void;

  template <class L>
  SortBody(Iterator first, Iterator last, L&& less) : first_(first), last_(last), less_(std::forward<L>(less)) {}

  // TBB's sort takes no context, but its own is bound to that of the task which calls it.
  void RunParallel(tbb::task_group_context& context) {
    tbb::parallel_for(
        0, 1, [this](int) { tbb::parallel_sort(first_, last_, std::ref(less_)); }, context);
  }
  void RunSerial(const ParallelStop&, bool&) { std::sort(first_, last_, std::ref(less_)); }

 private:
  Iterator first_;
  Iterator last_;
  Less less_;
};

template <class Body>
using ParallelOperation = OffloadOperation<ParallelWork<Body>, FrameJob>;

// What an algorithm over `first` to `last` counts with.
template <class First, class Last>
using IndexOf = std::common_type_t<First, Last>;

}  // namespace internal

// `f(i)` for each i in [first, last), which are converted to their common type.
template <std::same_as<OffloadOptions> Options, std::integral First, std::integral Last, class F>
  requires std::invocable<F&, internal::IndexOf<First, Last>>
auto ParallelFor(const Options& options, First first, Last last, F&& f) {
  using Index = internal::IndexOf<First, Last>;
  return internal::ParallelOperation<internal::ForBody<Index, F>>(options, internal::PoolKind::kCpu, std::in_place,
                                                                  static_cast<Index>(first), static_cast<Index>(last),
                                                                  std::forward<F>(f));
}
template <std::integral First, std::integral Last, class F>
  requires std::invocable<F&, internal::IndexOf<First, Last>>
auto ParallelFor(First first, Last last, F&& f) {
  return ParallelFor(OffloadOptions(), first, last, std::forward<F>(f));
}

// Combines what `f(begin, end, so_far)` gives for pieces of [first, last), each begun with `identity` or with the result
// for the piece before it: `combine` must be associative, and `identity` its neutral element.
template <std::same_as<OffloadOptions> Options, std::integral First, std::integral Last, class Value, class F,
          class Combine>
  requires std::invocable<F&, internal::IndexOf<First, Last>, internal::IndexOf<First, Last>, Value> &&
           std::invocable<Combine&, Value, Value>
auto ParallelReduce(const Options& options, First first, Last last, Value identity, F&& f, Combine&& combine) {
  using Index = internal::IndexOf<First, Last>;
  return internal::ParallelOperation<internal::ReduceBody<Index, Value, F, Combine>>(
      options, internal::PoolKind::kCpu, std::in_place, static_cast<Index>(first), static_cast<Index>(last),
      std::move(identity), std::forward<F>(f), std::forward<Combine>(combine));
}
template <std::integral First, std::integral Last, class Value, class F, class Combine>
  requires std::invocable<F&, internal::IndexOf<First, Last>, internal::IndexOf<First, Last>, Value> &&
           std::invocable<Combine&, Value, Value>
auto ParallelReduce(First first, Last last, Value identity, F&& f, Combine&& combine) {
  return ParallelReduce(OffloadOptions(), first, last, std::move(identity), std::forward<F>(f),
                        std::forward<Combine>(combine));
}

// Not stable. Stopped or failed half-way it leaves the elements in some order.
template <std::same_as<OffloadOptions> Options, std::random_access_iterator Iterator, class Less = std::less<>>
auto ParallelSort(const Options& options, Iterator first, Iterator last, Less&& less = Less()) {
  return internal::ParallelOperation<internal::SortBody<Iterator, Less>>(
      options, internal::PoolKind::kCpu, std::in_place, first, last, std::forward<Less>(less));
}
template <std::random_access_iterator Iterator, class Less = std::less<>>
auto ParallelSort(Iterator first, Iterator last, Less&& less = Less()) {
  return ParallelSort(OffloadOptions(), first, last, std::forward<Less>(less));
}

}  // namespace gyre

#endif  // GYRE_RUNTIME_OFFLOAD_PARALLEL_H_
