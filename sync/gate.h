// Gate, SharedGate: lets work in until it is closed, and then waits for what is inside.
//
//   absl::StatusOr<gyre::GatePass> pass = gate.Enter();           // kUnavailable once it is closed
//   if (!pass.ok()) co_return pass.status();
//   ...                                                           // leaves when the pass dies, also when stopped
//
//   co_await gate.Drain();                                        // the owner: closes it, and waits until all have left
//
// For work that no one scope owns: calls from other objects, callbacks, other loops. A scope waits for its own tasks.
//
// Thread-safety: Gate: one loop. SharedGate: any thread; who waits resumes on its own loop.
// Lifetime:      outlives its passes and waiters; to destroy it before is a check failure.
//                A Shared form outlives the waits that it has ended, too, until they resume (checked with GYRE_DEBUG_CHECKS).
// Cancellation:  a Drain that is stopped leaves the gate closed, unless it was stopped before it began.
// Errors:        Enter gives kUnavailable once it is closed.
// Cost:          a counter up and down (SharedGate: and a lock, twice); nothing is allocated, but for a refusal.
#ifndef GYRE_SYNC_GATE_H_
#define GYRE_SYNC_GATE_H_

#include <coroutine>
#include <cstddef>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "gyre/runtime/check.h"
#include "gyre/sync/internal/form.h"

namespace gyre {

template <class Form>
class BasicGate;

// Whoever has it is inside. Leaves when it dies; moved from, it is empty.
//
// Thread-safety: that of its gate; the object itself belongs to one thread at a time.
template <class Form>
class [[nodiscard]] BasicGatePass {
 public:
  BasicGatePass() = default;
  BasicGatePass(BasicGatePass&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)) {}
  BasicGatePass& operator=(BasicGatePass&& other) noexcept {
    if (this == &other) return *this;
    Leave();
    gate_ = std::exchange(other.gate_, nullptr);
    return *this;
  }
  ~BasicGatePass() { Leave(); }

  bool is_inside() const { return gate_ != nullptr; }

  // Leaves now. Of an empty one: nothing.
  void Leave() {
    if (gate_ != nullptr) std::exchange(gate_, nullptr)->Leave();
  }

 private:
  friend BasicGate<Form>;
  explicit BasicGatePass(BasicGate<Form>* gate) : gate_(gate) {}

  BasicGate<Form>* gate_ = nullptr;
};

template <class Form>
class BasicGate {
 public:
  using Pass = BasicGatePass<Form>;

  BasicGate() = default;
  BasicGate(const BasicGate&) = delete;
  BasicGate& operator=(const BasicGate&) = delete;
  ~BasicGate() {
    GYRE_CHECK(waiters_.empty(), "a Gate was destroyed while a task drains it");
    GYRE_CHECK(inside_ == 0, "a Gate was destroyed while a pass of it is held: Drain it first");
  }

  absl::StatusOr<Pass> Enter() {
    Section section(form_);
    CheckHome();
    if (is_closed_) [[unlikely]] return Refused();
    ++inside_;
    return Pass(this);
  }
  // Lets nobody in any more. Idempotent.
  void Close();
  // Closes it when awaited, and waits until all have left. Any number may.
  auto Drain() { return internal::WaitOperation<DrainWaiter, BasicGate>(*this); }

  // Of now: a SharedGate may be otherwise a moment later.
  bool is_closed() const {
    Section section(form_);
    return is_closed_;
  }
  size_t inside() const {
    Section section(form_);
    return inside_;
  }

 private:
  using Section = internal::Section<Form>;
  friend Pass;

  class [[nodiscard]] DrainWaiter final : public internal::Waiter<Form> {
   public:
    explicit DrainWaiter(BasicGate& gate) : gate_(gate) {}

    template <class P>
    bool await_suspend(std::coroutine_handle<P> awaiting) {
      return this->Suspend(awaiting, [this] { return gate_.IsEmptyOrQueues(*this); });
    }
    void await_resume() const {}

   private:
    void OnStop() noexcept override {
      if (gate_.Withdraw(*this)) this->CompleteStopped();
    }
    std::string WaitsFor() const override { return "a Gate to be empty"; }

    BasicGate& gate_;
  };

  static absl::Status Refused();

  void CheckHome() { form_.CheckHome("a Gate", !waiters_.empty(), inside_ != 0); }
  void Leave() {
    Section section(form_);
    CheckHome();
    if (--inside_ == 0 && !waiters_.empty()) WakeAll(section);
  }
  bool IsEmptyOrQueues(DrainWaiter& waiter);
  void WakeAll(Section& section);
  bool Withdraw(DrainWaiter& waiter);

  [[no_unique_address]] mutable Form form_;
  size_t inside_ = 0;
  bool is_closed_ = false;
  internal::WaitQueue<Form> waiters_;  // who drains it
};

extern template class BasicGate<internal::OneLoop>;
extern template class BasicGate<internal::ManyLoops>;

using Gate = BasicGate<internal::OneLoop>;
using GatePass = BasicGatePass<internal::OneLoop>;
using SharedGate = BasicGate<internal::ManyLoops>;
using SharedGatePass = BasicGatePass<internal::ManyLoops>;

}  // namespace gyre

#endif  // GYRE_SYNC_GATE_H_
