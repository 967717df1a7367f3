// WhenAll and WhenAllOutcomes: run several awaitables side by side, wait for all, and give their results in argument order.
//
//   auto [a, b] = co_await gyre::WhenAll(A(), B());                   // a tuple; void becomes std::monostate
//   std::vector<int> all = co_await gyre::WhenAll(std::move(tasks));  // from a vector<Task<int>>
//   auto [x, y] = co_await gyre::WhenAllOutcomes(A(), B());           // a tuple of Outcomes: nothing is thrown, none stopped
//
// They start in argument order, at once; of none, the result is empty and there is no suspension.
//
// Cancellation: stopping the awaiting task stops every child, waits for all, and goes on upwards, unless all had ended well
//               (WhenAll: or one with an error): then that is delivered, and the next await reports the stop.
// Errors:       WhenAll: the first failure (an exception, or a bad status) stops the siblings, and all are waited for. An
//               exception is rethrown. A bad status stays in its slot, and stopped siblings hold kCancelled in theirs; if a
//               slot's type can't hold that, the first status is thrown as StatusError. Further exceptions go to the
//               unhandled-error hook. [D2, D18]
//               WhenAllOutcomes: each slot holds its own end.
// Cost:         no allocation for the argument form beside the children's frames.
#ifndef GYRE_RUNTIME_WHEN_ALL_H_
#define GYRE_RUNTIME_WHEN_ALL_H_

#include <concepts>
#include <coroutine>
#include <exception>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "gyre/runtime/internal/branch.h"
#include "gyre/runtime/outcome.h"
#include "gyre/runtime/task.h"

namespace gyre {
namespace internal {

template <class T>
using Slot = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

class WhenAllGroup : public BranchGroup {
 protected:
  WhenAllGroup() : BranchGroup(Hears::kFailures) {}
  void OnBranchEnd(BranchBase& branch, size_t index, BranchEnd end) override;
  bool PassesStopOn() const override { return was_stopped_ && failure_ == nullptr; }

  // Throws the first failure, unless it is a status that has its place in a slot.
  void ThrowFailure();
  // Throws the reason why a slot has no value.
  [[noreturn]] void ThrowMissing();

  // The slot's value, after ThrowFailure.
  template <class T>
  Slot<T> TakeSlot(Branch<T>& branch) {
    Outcome<T>& outcome = branch.outcome();
    if (!outcome.has_value()) [[unlikely]] {
      if constexpr (kIsStatusLike<T>) {
        if (outcome.stopped()) return absl::CancelledError("stopped because another operation failed");
        return outcome.status();  // an exception that came after the first failure, and the hook has it
      } else {
        ThrowMissing();
      }
    }
    if constexpr (std::is_void_v<T>) {
      return std::monostate();
    } else {
      return std::move(outcome).value();
    }
  }
  template <class Results>
  Results Wrap(Results&& results) {
    return std::move(results);
  }

 private:
  bool was_stopped_ = false;
  bool is_status_ = false;
  std::exception_ptr failure_;
};

class OutcomesGroup : public BranchGroup {
 protected:
  OutcomesGroup() : BranchGroup(Hears::kFailures) {}
  void OnBranchEnd(BranchBase&, size_t, BranchEnd end) override {
    if (end == BranchEnd::kStopped) was_stopped_ = true;
  }
  bool PassesStopOn() const override { return was_stopped_ && IsParentStopped(); }

  template <class T>
  Outcome<T> TakeSlot(Branch<T>& branch) {
    return std::move(branch.outcome());
  }
  void ThrowFailure() {}
  template <class Results>
  Results Wrap(Results&& results) {
    return std::move(results);
  }

 private:
  bool was_stopped_ = false;
};

template <class Group, class... Ts>
class [[nodiscard]] TupleAwaiter final : public Group {
 public:
  explicit TupleAwaiter(std::tuple<Task<Ts>...>&& tasks)
      : branches_(std::apply([](auto&&... task) { return Branches(std::move(task)...); }, std::move(tasks))) {}
  TupleAwaiter(const TupleAwaiter&) = delete;
  TupleAwaiter& operator=(const TupleAwaiter&) = delete;

  bool await_ready() const noexcept { return sizeof...(Ts) == 0; }
  template <std::derived_from<PromiseBase> P>
  void await_suspend(std::coroutine_handle<P> awaiting) {
    std::apply([this](auto&... branch) { (this->Add(branch), ...); }, branches_.all);
    this->Open(awaiting.promise());
  }
  auto await_resume() {
    this->Close();
    this->ThrowFailure();
    return this->Wrap(std::apply(
        [this](auto&... branch) { return std::tuple<decltype(this->TakeSlot(branch))...>{this->TakeSlot(branch)...}; },
        branches_.all));
  }

 private:
  // Branches can't move, so they are made where they stay.
  struct Branches {
    explicit Branches(Task<Ts>&&... tasks) : all(std::move(tasks)...) {}
    std::tuple<Branch<Ts>...> all;
  };

  Branches branches_;
};

template <class Group, class T>
class [[nodiscard]] RangeAwaiter final : public Group {
 public:
  explicit RangeAwaiter(std::vector<Task<T>>&& tasks) : branches_(std::move(tasks)) {}
  RangeAwaiter(const RangeAwaiter&) = delete;
  RangeAwaiter& operator=(const RangeAwaiter&) = delete;

  bool await_ready() const noexcept { return branches_.size() == 0; }
  template <std::derived_from<PromiseBase> P>
  void await_suspend(std::coroutine_handle<P> awaiting) {
    for (Branch<T>& branch : branches_) this->Add(branch);
    this->Open(awaiting.promise());
  }
  auto await_resume() {
    this->Close();
    this->ThrowFailure();
    std::vector<decltype(this->TakeSlot(*branches_.begin()))> results;
    results.reserve(branches_.size());
    for (Branch<T>& branch : branches_) results.push_back(this->TakeSlot(branch));
    return this->Wrap(std::move(results));
  }

 private:
  BranchArray<T> branches_;
};

template <class Group, class... Ts>
class [[nodiscard]] TupleOperation {
 public:
  explicit TupleOperation(Task<Ts>... tasks) : tasks_(std::move(tasks)...) {}
  auto operator co_await() && { return TupleAwaiter<Group, Ts...>(std::move(tasks_)); }

 private:
  std::tuple<Task<Ts>...> tasks_;
};

template <class Group, class T>
class [[nodiscard]] RangeOperation {
 public:
  explicit RangeOperation(std::vector<Task<T>> tasks) : tasks_(std::move(tasks)) {}
  auto operator co_await() && { return RangeAwaiter<Group, T>(std::move(tasks_)); }

 private:
  std::vector<Task<T>> tasks_;
};

// What the functions of the combinators take.
template <class A>
concept Branchable = Awaitable<A> && !std::is_lvalue_reference_v<A>;

template <class Group, class... As>
auto MakeTupleOperation(As&&... awaitables) {
  return TupleOperation<Group, AwaitResult<As>...>(ToTask(std::forward<As>(awaitables))...);
}

}  // namespace internal

template <internal::Branchable... As>
auto WhenAll(As&&... awaitables) {
  return internal::MakeTupleOperation<internal::WhenAllGroup>(std::forward<As>(awaitables)...);
}

template <class T>
auto WhenAll(std::vector<Task<T>> tasks) {
  static_assert(!std::is_reference_v<T>, "gyre: a vector can't hold references: use the argument form of WhenAll");
  return internal::RangeOperation<internal::WhenAllGroup, T>(std::move(tasks));
}

template <internal::Branchable... As>
auto WhenAllOutcomes(As&&... awaitables) {
  return internal::MakeTupleOperation<internal::OutcomesGroup>(std::forward<As>(awaitables)...);
}

template <class T>
auto WhenAllOutcomes(std::vector<Task<T>> tasks) {
  return internal::RangeOperation<internal::OutcomesGroup, T>(std::move(tasks));
}

}  // namespace gyre

#endif  // GYRE_RUNTIME_WHEN_ALL_H_
