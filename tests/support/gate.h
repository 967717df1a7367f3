// Gate: an event with a list of waiters, written as a user would write one: from the public names of leaf.h alone. Tests use
// it to decide who goes on when.
//
// Thread-safety: one loop's thread.
#ifndef GYRE_TESTS_SUPPORT_GATE_H_
#define GYRE_TESTS_SUPPORT_GATE_H_

#include <coroutine>
#include <cstddef>
#include <list>

#include "gyre/runtime/leaf.h"

namespace gyre::testing {

class Gate {
 public:
  Gate() = default;
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  class [[nodiscard]] Waiter final : public Leaf {
   public:
    explicit Waiter(Gate& gate) : gate_(gate) {}
    template <class P>
    bool await_suspend(std::coroutine_handle<P> awaiting) {
      return Suspend(awaiting, [this] {
        ++gate_.asked_;
        if (gate_.is_open_) return true;
        gate_.waiters_.push_back(this);
        return false;
      });
    }
    void await_resume() const {}

   private:
    friend class Gate;
    void OnStop() noexcept override {
      gate_.waiters_.remove(this);
      CompleteStopped();
    }

    Gate& gate_;
  };

  class [[nodiscard]] WaitOperation {
   public:
    explicit WaitOperation(Gate& gate) : gate_(gate) {}
    Waiter operator co_await() && { return Waiter(gate_); }

   private:
    Gate& gate_;
  };

  WaitOperation Wait() { return WaitOperation(*this); }

  // Lets all waiters go on, in order of arrival, and everyone who comes later.
  void Open() {
    is_open_ = true;
    LetAllPass();
  }
  // Lets the present waiters go on, and stays as it is.
  void LetAllPass() {
    while (!waiters_.empty()) LetOnePass();
  }
  void LetOnePass() {
    Waiter* const first = waiters_.front();
    waiters_.pop_front();
    first->Complete();
  }
  // As LetOnePass, for the run-next slot.
  void LetOnePassNext() {
    Waiter* const first = waiters_.front();
    waiters_.pop_front();
    first->CompleteNext();
  }

  bool is_open() const { return is_open_; }
  size_t waiting() const { return waiters_.size(); }
  // How often a wait was begun: not by those that found their scope stopped.
  size_t asked() const { return asked_; }

 private:
  bool is_open_ = false;
  size_t asked_ = 0;
  std::list<Waiter*> waiters_;
};

}  // namespace gyre::testing

#endif  // GYRE_TESTS_SUPPORT_GATE_H_
