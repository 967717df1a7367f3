// WhenAny and WhenAnyOk: run several awaitables side by side until one has ended, or ended well.
//
//   auto race = co_await gyre::WhenAny(Fetch(a), Fetch(b));
//   if (race.index == 0) Use(std::get<0>(race.outcomes).value());
//
// WhenAny: the first to end wins, whatever its end. WhenAnyOk: the first to end with a value that is no bad status. The rest
// are stopped and waited for; each slot holds its own end, so a loser that had its effect all the same loses nothing. They
// start in argument order, and once one has won, those behind it are not started: their slots are stopped. [D18, E07]
//
// Cancellation: stopping the awaiting task stops every child, waits for all, and goes on upwards, unless one had won before.
//               Losers that refuse to stop are waited for without limit. [D19]
// Errors:       none are thrown: all are in the slots.
// Cost:         no allocation for the argument form beside the children's frames.
#ifndef GYRE_RUNTIME_WHEN_ANY_H_
#define GYRE_RUNTIME_WHEN_ANY_H_

#include <cstddef>
#include <tuple>
#include <utility>
#include <vector>

#include "gyre/runtime/when_all.h"

namespace gyre {

// What the argument forms give. `index` is the winner's; kNone if there was nothing to run, or, for WhenAnyOk, if none
// ended well.
template <class Outcomes>
class AnyResult {
 public:
  static constexpr size_t kNone = internal::BranchGroup::kNone;

  AnyResult(size_t winner, Outcomes&& ends) : index(winner), outcomes(std::move(ends)) {}
  bool has_winner() const { return index != kNone; }

  size_t index;
  Outcomes outcomes;  // std::tuple<Outcome<T>...> or std::vector<Outcome<T>>
};

namespace internal {

template <bool kOnlyOk>
class WhenAnyGroup : public BranchGroup {
 protected:
  WhenAnyGroup() : BranchGroup(Hears::kEverything) {}
  void OnBranchEnd(BranchBase&, size_t index, BranchEnd end) override {
    if (winner_ != kNone || (kOnlyOk && end != BranchEnd::kValue)) {
      was_stopped_ |= end == BranchEnd::kStopped;
      return;
    }
    if (end == BranchEnd::kStopped && IsParentStopped()) {  // that is no win
      was_stopped_ = true;
      return;
    }
    winner_ = index;
    Decide("another operation won");
  }
  bool PassesStopOn() const override { return winner_ == kNone && was_stopped_ && this->IsParentStopped(); }

  void ThrowFailure() {}
  template <class T>
  Outcome<T> TakeSlot(Branch<T>& branch) {
    return std::move(branch.outcome());
  }
  template <class Outcomes>
  AnyResult<Outcomes> Wrap(Outcomes&& outcomes) {
    return AnyResult<Outcomes>(winner_, std::move(outcomes));
  }

 private:
  size_t winner_ = kNone;
  bool was_stopped_ = false;
};

}  // namespace internal

template <internal::Branchable... As>
auto WhenAny(As&&... awaitables) {
  return internal::MakeTupleOperation<internal::WhenAnyGroup<false>>(std::forward<As>(awaitables)...);
}

template <class T>
auto WhenAny(std::vector<Task<T>> tasks) {
  return internal::RangeOperation<internal::WhenAnyGroup<false>, T>(std::move(tasks));
}

template <internal::Branchable... As>
auto WhenAnyOk(As&&... awaitables) {
  return internal::MakeTupleOperation<internal::WhenAnyGroup<true>>(std::forward<As>(awaitables)...);
}

template <class T>
auto WhenAnyOk(std::vector<Task<T>> tasks) {
  return internal::RangeOperation<internal::WhenAnyGroup<true>, T>(std::move(tasks));
}

}  // namespace gyre

#endif  // GYRE_RUNTIME_WHEN_ANY_H_
