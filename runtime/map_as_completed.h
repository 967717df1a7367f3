// MapAsCompleted: as MapConcurrent, but a body takes the results one by one, in the order in which they come.
//
//   co_await gyre::MapAsCompleted(urls, 5, fetch, [&](gyre::Completed<Page>& pages) -> gyre::Task<> {
//     while (auto page = co_await pages.Next()) {          // page->index, page->value; nothing after the last
//       if (IsWhatWeWant(page->value)) co_return;           // leaves early: the rest is stopped and waited for
//     }
//   });
//
// (gcc 12 wants the co_await outside the condition: `auto page = co_await pages.Next(); if (!page) break;`.)
//
// Thread-safety: the loop's thread only; one task at a time awaits Next.
// Lifetime:      range, fn and body: an lvalue is borrowed, an rvalue kept. The Completed lives as long as the body.
// Cancellation:  when the body ends, in whatever way, what still runs is stopped and waited for. Stopping the awaiting task
//                stops the body too, and so does a call that ends stopped by itself. A stopped Next takes nothing.
// Errors:        the first error of an fn (an exception, or a bad status) stops the rest and the body, and is the result. The
//                body gives void, a Status or a StatusOr, as the body of WithScope does; for an fn that gives a Status or
//                StatusOr it must be one of the latter two.
// Cost:          as MapConcurrent; calls that run and results that wait for Next are at most `limit` together.
#ifndef GYRE_RUNTIME_MAP_AS_COMPLETED_H_
#define GYRE_RUNTIME_MAP_AS_COMPLETED_H_

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <deque>
#include <functional>
#include <optional>
#include <ranges>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "gyre/runtime/internal/end_stopped.h"
#include "gyre/runtime/internal/gcc12_guard.h"
#include "gyre/runtime/internal/intrusive_list.h"
#include "gyre/runtime/internal/item_source.h"
#include "gyre/runtime/leaf.h"
#include "gyre/runtime/map_concurrent.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/with_scope.h"

namespace gyre {

// One result, and the place of its item in the range.
template <class T>
class CompletedItem {
 public:
  CompletedItem(size_t item_index, T item_value) : index(item_index), value(std::move(item_value)) {}

  size_t index;
  T value;
};

namespace internal {

// Stops a scope whose body has come to its end.
class StopOnExit {
 public:
  explicit StopOnExit(Scope& scope) : scope_(scope) {}
  StopOnExit(const StopOnExit&) = delete;
  StopOnExit& operator=(const StopOnExit&) = delete;
  ~StopOnExit() { scope_.RequestStop(StopReason::Static("the results are not needed any more")); }

 private:
  Scope& scope_;
};

// Tasks that wait until somebody says that it is worth looking again.
class CompletionWaiters {
 public:
  class [[nodiscard]] Waiter final : public Leaf, public RingHook<Waiter> {
   public:
    explicit Waiter(CompletionWaiters& waiters) : waiters_(waiters) {}
    template <class P>
    bool await_suspend(std::coroutine_handle<P> awaiting) {
      return Suspend(awaiting, [this] {
        waiters_.ring_.PushBack(*this);
        return false;
      });
    }
    void await_resume() const noexcept {}

   private:
    friend class CompletionWaiters;
    void OnStop() noexcept override {
      waiters_.ring_.Remove(*this);
      CompleteStopped();
    }
    CompletionWaiters& waiters_;
  };

  Waiter Wait() { return Waiter(*this); }
  void WakeOne() {
    if (Waiter* waiter = ring_.front()) {
      ring_.Remove(*waiter);
      waiter->Complete();
    }
  }

 private:
  IntrusiveRing<Waiter> ring_;
};

template <class T>
struct CompletionQueue {
  explicit CompletionQueue(size_t items_max) : limit(items_max) {}

  // A result that is on its way needs a place, too.
  bool has_place() const { return ready.size() + running < limit; }

  const size_t limit;
  size_t live_workers = 0;
  size_t running = 0;  // calls
  bool was_cut_short = false;
  std::deque<CompletedItem<T>> ready;
  CompletionWaiters consumers;
  CompletionWaiters producers;
};

// Counts a worker, also one that is stopped.
template <class T>
class WorkerCount {
 public:
  explicit WorkerCount(CompletionQueue<T>& queue) : queue_(queue) {}
  WorkerCount(const WorkerCount&) = delete;
  WorkerCount& operator=(const WorkerCount&) = delete;
  ~WorkerCount() {
    if (--queue_.live_workers == 0) queue_.consumers.WakeOne();
  }

 private:
  CompletionQueue<T>& queue_;
};

}  // namespace internal

template <class T>
class Completed {
 public:
  explicit Completed(internal::CompletionQueue<T>& queue) : queue_(queue) {}
  Completed(const Completed&) = delete;
  Completed& operator=(const Completed&) = delete;

  // The next result; nothing once all have come.
  Task<std::optional<CompletedItem<T>>> Next() {
    while (queue_.ready.empty() && queue_.live_workers > 0) co_await queue_.consumers.Wait();
    std::optional<CompletedItem<T>> item;
    if (queue_.ready.empty()) co_return item;
    item.emplace(std::move(queue_.ready.front()));
    queue_.ready.pop_front();
    queue_.producers.WakeOne();
    co_return item;
  }

 private:
  internal::CompletionQueue<T>& queue_;
};

namespace internal {

template <class Source, class F, class T>
Task<typename MapTraits<ItemResult<Source, F>>::Join> CompletingWorker(Scope& scope, Source& source, F& fn,
                                                                       CompletionQueue<T>& queue) {
  using R = ItemResult<Source, F>;
  const WorkerCount<T> count(queue);
  while (!source.empty()) {
    while (!queue.has_place()) co_await queue.producers.Wait();
    if (source.empty()) break;
    if (scope.StopRequested()) co_await EndStopped();
    const OpenCall call(scope, queue.was_cut_short);
    ++queue.running;
    const size_t index = source.index();
    auto&& item = source.Take();
    if constexpr (kIsStatusOr<R>) {
      R result = co_await std::invoke(fn, std::forward<decltype(item)>(item));
      if (!result.ok()) co_return std::move(result).status();
      queue.ready.emplace_back(index, *std::move(result));
    } else {
      queue.ready.emplace_back(index, co_await std::invoke(fn, std::forward<decltype(item)>(item)));
    }
    --queue.running;  // of one that fails or is stopped it does not matter: then all end
    queue.consumers.WakeOne();
  }
  if constexpr (kIsStatusLike<R>) co_return absl::OkStatus();
}

template <class Range, class F>
using CompletedValue = typename MapTraits<ItemResult<ItemSource<Range>, F>>::Kept;

template <class Range, class F, class Body>
using CompletedBodyTask = std::invoke_result_t<std::remove_reference_t<Body>&, Completed<CompletedValue<Range, F>>&>;

template <class Range, class F, class Body>
CompletedBodyTask<Range, F, Body> RunAsCompleted(Range range, size_t limit, F fn, Body body) {
  using Source = ItemSource<Range>;
  using T = CompletedValue<Range, F>;
  using R = typename CompletedBodyTask<Range, F, Body>::value_type;
  Source source(range);
  CompletionQueue<T> queue(limit);
  Completed<T> completed(queue);
  auto run = [&](Scope& scope) -> Task<R> {
    for (size_t i = 0; i < limit && source.MayNeedWorker(i); ++i) {
      ++queue.live_workers;
      scope.Spawn(CompletingWorker<Source, std::remove_reference_t<F>, T>, std::ref(scope), std::ref(source),
                  std::ref(fn), std::ref(queue));
    }
    const StopOnExit stop(scope);
    co_return co_await std::invoke(body, completed);
  };
  if constexpr (std::is_void_v<R>) {
    co_await WithScope(run);
    if (queue.was_cut_short) co_await EndStopped();
  } else {
    R result = co_await WithScope(run);
    if (queue.was_cut_short && (result.ok() || absl::IsCancelled(StatusOf(result)))) co_await EndStopped();
    co_return result;
  }
}

}  // namespace internal

template <std::ranges::input_range Range, internal::ItemCallable<Range> F, class Body>
auto MapAsCompleted(Range&& range, size_t limit, F&& fn, Body&& body) {
  GYRE_INTERNAL_REQUIRE_SAFE_CALLABLE(F);
  GYRE_INTERNAL_REQUIRE_SAFE_CALLABLE(Body);
  static_assert(!std::is_void_v<internal::CompletedValue<Range, F>>,
                "gyre: MapAsCompleted gives results; for an fn without one, use MapConcurrent");
  GYRE_CHECK(limit > 0, "MapAsCompleted needs a limit of at least 1");
  return internal::RunAsCompleted<Range, F, Body>(std::forward<Range>(range), limit, std::forward<F>(fn),
                                                  std::forward<Body>(body));
}

}  // namespace gyre

#endif  // GYRE_RUNTIME_MAP_AS_COMPLETED_H_
