// ItemSource: hands a range's items out one by one to several tasks of one loop; and what those tasks share.
#ifndef GYRE_RUNTIME_INTERNAL_ITEM_SOURCE_H_
#define GYRE_RUNTIME_INTERNAL_ITEM_SOURCE_H_

#include <concepts>
#include <cstddef>
#include <functional>
#include <ranges>
#include <type_traits>
#include <utility>

#include "gyre/runtime/is_unwinding.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/task.h"

namespace gyre::internal {

// Range: a reference for a borrowed one.
template <class Range>
class ItemSource {
 public:
  using Iterator = std::ranges::iterator_t<Range>;
  // An item of a range that can be walked once only is copied out, for the next step may overwrite it.
  using Item = std::conditional_t<std::ranges::forward_range<Range>, std::ranges::range_reference_t<Range>,
                                  std::ranges::range_value_t<Range>>;

  explicit ItemSource(std::remove_reference_t<Range>& range)
      : range_(range), next_(std::ranges::begin(range)), end_(std::ranges::end(range)) {}

  bool empty() const { return next_ == end_; }
  // Of the item that Take gives next.
  size_t index() const { return index_; }
  Item Take() {
    ++index_;
    if constexpr (std::ranges::forward_range<Range>) {
      Iterator here = next_;
      ++next_;
      return *here;
    } else {
      Item item(*next_);
      ++next_;
      return item;
    }
  }
  // Whether a worker of this number could find an item, as far as the range's size is known.
  bool MayNeedWorker(size_t number) const {
    if constexpr (std::ranges::sized_range<Range>) {
      return number < static_cast<size_t>(std::ranges::size(range_));
    } else {
      return number == 0 || !empty();
    }
  }

 private:
  std::remove_reference_t<Range>& range_;
  Iterator next_;
  std::ranges::sentinel_t<Range> end_;
  size_t index_ = 0;
};

// Around one call of fn: a call that ends stopped by itself stops the scope, for its result will be missing.
class OpenCall {
 public:
  OpenCall(Scope& scope, bool& was_cut_short) : scope_(scope), was_cut_short_(was_cut_short) {}
  OpenCall(const OpenCall&) = delete;
  OpenCall& operator=(const OpenCall&) = delete;
  ~OpenCall() {
    if (!IsUnwinding() || scope_.StopRequested()) return;
    was_cut_short_ = true;
    scope_.RequestStop(StopReason::Static("a call ended stopped"));
  }

 private:
  Scope& scope_;
  bool& was_cut_short_;
};

// fn(item) gives a Task.
template <class F, class Range>
concept ItemCallable = std::invocable<std::remove_reference_t<F>&, typename ItemSource<Range>::Item> &&
                       kIsTask<std::invoke_result_t<std::remove_reference_t<F>&, typename ItemSource<Range>::Item>>;

// What that task gives.
template <class Source, class F>
using ItemResult = typename std::invoke_result_t<std::remove_reference_t<F>&, typename Source::Item>::value_type;

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_ITEM_SOURCE_H_
