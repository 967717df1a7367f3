// Permits: a semaphore for one loop, written as a user would write one: from the public names of leaf.h alone.
//
// Thread-safety: one loop's thread.
// Cancellation:  a stopped Acquire leaves the queue; one whose permit had been handed over already passes it on.
#ifndef GYRE_TESTS_SUPPORT_PERMITS_H_
#define GYRE_TESTS_SUPPORT_PERMITS_H_

#include <coroutine>
#include <cstddef>
#include <list>
#include <utility>

#include "gyre/runtime/leaf.h"

namespace gyre::testing {

class Permits {
 public:
  explicit Permits(size_t count) : free_(count) {}
  Permits(const Permits&) = delete;
  Permits& operator=(const Permits&) = delete;

  // Gives its permit back when it dies.
  class Permit {
   public:
    explicit Permit(Permits& from) : from_(&from) {}
    Permit(Permit&& other) noexcept : from_(std::exchange(other.from_, nullptr)) {}
    Permit& operator=(Permit&&) = delete;
    ~Permit() {
      if (from_ != nullptr) from_->Release();
    }

   private:
    Permits* from_;
  };

  class [[nodiscard]] Waiter final : public Leaf {
   public:
    explicit Waiter(Permits& permits) : permits_(permits) {}
    template <class P>
    bool await_suspend(std::coroutine_handle<P> awaiting) {
      return Suspend(awaiting, [this] { return permits_.TakeOrQueue(*this); });
    }
    Permit await_resume() const { return Permit(permits_); }

   private:
    friend class Permits;
    void OnStop() noexcept override {
      permits_.waiters_.remove(this);
      CompleteStopped();
    }
    bool Undo() noexcept override {
      permits_.Release();
      return true;
    }

    Permits& permits_;
  };

  class [[nodiscard]] AcquireOperation {
   public:
    explicit AcquireOperation(Permits& permits) : permits_(permits) {}
    Waiter operator co_await() && { return Waiter(permits_); }

   private:
    Permits& permits_;
  };

  AcquireOperation Acquire() { return AcquireOperation(*this); }

  size_t free() const { return free_; }
  size_t waiting() const { return waiters_.size(); }

 private:
  bool TakeOrQueue(Waiter& waiter) {
    if (free_ > 0 && waiters_.empty()) {
      --free_;
      return true;
    }
    waiters_.push_back(&waiter);
    return false;
  }
  // To the first that waits, or back into the box.
  void Release() {
    if (waiters_.empty()) {
      ++free_;
      return;
    }
    Waiter* const first = waiters_.front();
    waiters_.pop_front();
    first->Complete();
  }

  size_t free_;
  std::list<Waiter*> waiters_;
};

}  // namespace gyre::testing

#endif  // GYRE_TESTS_SUPPORT_PERMITS_H_
