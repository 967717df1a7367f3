// MapConcurrent: calls fn(item) for each item of a range, at most `limit` at once, and gives the results in the range's order.
//
//   auto fetch = [&](const Url& url) -> gyre::Task<Page> { ... };
//   std::vector<Page> pages = co_await gyre::MapConcurrent(urls, 5, fetch);
//
// `fn` gives a Task<T>. The result is std::vector<T>; void for Task<>; absl::Status for Task<absl::Status>; and
// absl::StatusOr<std::vector<T>> for Task<absl::StatusOr<T>>. For the results in order of completion: map_as_completed.h.
//
// Thread-safety: the loop's thread only.
// Lifetime:      an lvalue range or fn is borrowed, an rvalue kept. Each item is passed as the range's iterator gives it.
// Cancellation:  stopping the awaiting task stops what runs, starts no more, waits, and goes on upwards. So does a call
//                that ends stopped by itself.
// Errors:        the first error (an exception, or a bad status) stops the rest, which is waited for, and is the result;
//                further errors go to the unhandled-error hook. A limit of 0 is a check failure.
// Cost:          min(limit, items) spawned tasks, and a frame for each call; items and results are not queued.
#ifndef GYRE_RUNTIME_MAP_CONCURRENT_H_
#define GYRE_RUNTIME_MAP_CONCURRENT_H_

#include <concepts>
#include <cstddef>
#include <functional>
#include <optional>
#include <ranges>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gyre/runtime/check.h"
#include "gyre/runtime/internal/end_stopped.h"
#include "gyre/runtime/internal/gcc12_guard.h"
#include "gyre/runtime/internal/item_source.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/with_scope.h"

namespace gyre {
namespace internal {

// From what fn's task gives to what is kept of it, and what the whole gives.
template <class T>
struct MapTraits {
  using Kept = T;
  using Result = std::vector<T>;
  using Join = void;
};
template <>
struct MapTraits<void> {
  using Kept = void;
  using Result = void;
  using Join = void;
};
template <>
struct MapTraits<absl::Status> {
  using Kept = void;
  using Result = absl::Status;
  using Join = absl::Status;
};
template <class T>
struct MapTraits<absl::StatusOr<T>> {
  using Kept = T;
  using Result = absl::StatusOr<std::vector<T>>;
  using Join = absl::Status;
};

// The results by index, growing as items turn up.
template <class T>
class IndexedResults {
 public:
  void Put(size_t index, T value) {
    if (values_.size() <= index) values_.resize(index + 1);
    values_[index].emplace(std::move(value));
  }
  std::vector<T> TakeAll() {
    std::vector<T> all;
    all.reserve(values_.size());
    for (std::optional<T>& value : values_) all.push_back(std::move(*value));
    return all;
  }

 private:
  std::vector<std::optional<T>> values_;
};

// One of the tasks that share the work: takes the next item as long as there is one.
template <class Source, class F, class Keep>
Task<typename MapTraits<ItemResult<Source, F>>::Join> MapWorker(Scope& scope, Source& source, F& fn, Keep& keep,
                                                                bool& was_cut_short) {
  using T = ItemResult<Source, F>;
  while (!source.empty()) {
    if (scope.StopRequested()) co_await EndStopped();
    const OpenCall call(scope, was_cut_short);
    const size_t index = source.index();
    auto&& item = source.Take();
    if constexpr (std::is_void_v<T>) {
      co_await std::invoke(fn, std::forward<decltype(item)>(item));
    } else if constexpr (std::is_same_v<T, absl::Status>) {
      absl::Status status = co_await std::invoke(fn, std::forward<decltype(item)>(item));
      if (!status.ok()) co_return status;
    } else if constexpr (kIsStatusOr<T>) {
      T result = co_await std::invoke(fn, std::forward<decltype(item)>(item));
      if (!result.ok()) co_return std::move(result).status();
      keep(index, *std::move(result));
    } else {
      keep(index, co_await std::invoke(fn, std::forward<decltype(item)>(item)));
    }
    static_cast<void>(index);
  }
  if constexpr (kIsStatusLike<T>) co_return absl::OkStatus();
}

template <class Range, class F>
Task<typename MapTraits<ItemResult<ItemSource<Range>, F>>::Result> RunMap(Range range, size_t limit, F fn) {
  using Source = ItemSource<Range>;
  using Traits = MapTraits<ItemResult<Source, F>>;
  using Kept = typename Traits::Kept;
  static_assert(!std::is_reference_v<Kept>, "gyre: MapConcurrent keeps results in a vector: return a pointer");
  Source source(range);
  bool was_cut_short = false;
  IndexedResults<std::conditional_t<std::is_void_v<Kept>, bool, Kept>> results;
  auto keep = [&results](size_t index, auto&& value) { results.Put(index, std::forward<decltype(value)>(value)); };
  auto body = [&](Scope& scope) -> Task<typename Traits::Join> {
    for (size_t i = 0; i < limit && source.MayNeedWorker(i); ++i) {
      scope.Spawn(MapWorker<Source, std::remove_reference_t<F>, decltype(keep)>, std::ref(scope), std::ref(source),
                  std::ref(fn), std::ref(keep), std::ref(was_cut_short));
    }
    if constexpr (kIsStatusLike<typename Traits::Join>) {
      co_return absl::OkStatus();
    } else {
      co_return;
    }
  };
  if constexpr (std::is_void_v<typename Traits::Join>) {
    co_await WithScope(body);
    if (was_cut_short) co_await EndStopped();
    if constexpr (!std::is_void_v<Kept>) co_return results.TakeAll();
  } else {
    absl::Status status = co_await WithScope(body);
    if (status.ok() && was_cut_short) co_await EndStopped();
    if constexpr (std::is_void_v<Kept>) {
      co_return status;
    } else {
      if (!status.ok()) co_return status;
      co_return results.TakeAll();
    }
  }
}

}  // namespace internal

template <std::ranges::input_range Range, internal::ItemCallable<Range> F>
auto MapConcurrent(Range&& range, size_t limit, F&& fn) {
  GYRE_INTERNAL_REQUIRE_SAFE_CALLABLE(F);
  GYRE_CHECK(limit > 0, "MapConcurrent needs a limit of at least 1");
  return internal::RunMap<Range, F>(std::forward<Range>(range), limit, std::forward<F>(fn));
}

}  // namespace gyre

#endif  // GYRE_RUNTIME_MAP_CONCURRENT_H_
