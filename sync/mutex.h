// Mutex, SharedMutex: one task at a time.
//
//   gyre::Mutex mutex;
//   {
//     gyre::MutexGuard guard = co_await mutex.Lock();
//     co_await Append(record);
//   }                                                   // unlocked here, also when stopped
//
// What one loop's tasks share needs no Mutex between two awaits: only where something must stay as it is across one. A
// SharedMutex is a mutex for tasks of several loops (no std::shared_mutex: that is RwLock); who waits for it holds up
// no loop.
//
// Fair: it goes to whoever has waited longest, and nobody overtakes, also not TryLock. An unlock hands it over at once.
// Whoever has the guard holds the lock, so no stranger can unlock it, and a task that ends has unlocked what it had.
// Not recursive: to lock it again with the guard in hand waits for oneself, which a simulation reports.
//
// Thread-safety: Mutex: one loop. SharedMutex: any thread; who waits resumes on its own loop.
// Lifetime:      outlives its guards and waiters; to destroy it before is a check failure that says where it was
//                locked.
//                A Shared form outlives the waits that it has ended, too, until they resume (checked with GYRE_DEBUG_CHECKS).
// Cancellation:  a stopped Lock has taken nothing: a lock that had been handed over goes to the next.
// Cost:          free, as a Semaphore; nothing is allocated.
#ifndef GYRE_SYNC_MUTEX_H_
#define GYRE_SYNC_MUTEX_H_

#include <coroutine>
#include <cstddef>
#include <optional>
#include <source_location>
#include <string>
#include <utility>

#include "gyre/runtime/check.h"
#include "gyre/sync/internal/form.h"
#include "gyre/sync/internal/holder.h"

namespace gyre {

template <class Form>
class BasicMutex;
template <class Form>
class BasicCondition;

// The lock. Unlocks when it dies; moved from, it is empty.
//
// Thread-safety: that of its mutex; the object itself belongs to one thread at a time.
template <class Form>
class [[nodiscard]] BasicMutexGuard {
 public:
  BasicMutexGuard() = default;
  BasicMutexGuard(BasicMutexGuard&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
  BasicMutexGuard& operator=(BasicMutexGuard&& other) noexcept {
    if (this == &other) return *this;
    Unlock();
    mutex_ = std::exchange(other.mutex_, nullptr);
    return *this;
  }
  ~BasicMutexGuard() { Unlock(); }

  bool is_locked() const { return mutex_ != nullptr; }

  // Unlocks now. Of an empty one: nothing.
  void Unlock() {
    if (mutex_ != nullptr) std::exchange(mutex_, nullptr)->Unlock();
  }

 private:
  friend BasicMutex<Form>;
  friend BasicCondition<Form>;
  explicit BasicMutexGuard(BasicMutex<Form>* mutex) : mutex_(mutex) {}

  BasicMutex<Form>* mutex_ = nullptr;
};

template <class Form>
class BasicMutex {
 public:
  using Guard = BasicMutexGuard<Form>;

  BasicMutex() = default;
  BasicMutex(const BasicMutex&) = delete;
  BasicMutex& operator=(const BasicMutex&) = delete;
  ~BasicMutex() {
    GYRE_CHECK(waiters_.empty(), "a Mutex was destroyed while a task waits for it");
    if (is_locked_) [[unlikely]] FailDestroyedLocked();
  }

  // co_await: a MutexGuard.
  auto Lock(std::source_location where = std::source_location::current()) { return LockOperation(*this, where); }
  // Empty where Lock would wait.
  std::optional<Guard> TryLock(std::source_location where = std::source_location::current()) {
    Section section(form_);
    CheckHome();
    if (is_locked_) return std::nullopt;
    Take(internal::Holder(where));
    return Guard(this);
  }

  // Of now: of a SharedMutex a moment later it may be otherwise.
  bool is_locked() const { return Read([this] { return is_locked_; }); }
  size_t waiting() const { return Read([this] { return waiters_.size(); }); }
  // Where the one that holds it now asked for it: line() is 0 if nobody does. For reports.
  std::source_location holder() const {
    return Read([this] { return is_locked_ ? holder_.where() : std::source_location(); });
  }

 private:
  using Section = internal::Section<Form>;
  friend Guard;
  friend BasicCondition<Form>;

  // Who waits for the lock: a Lock, or the Wait of a Condition that has come to its end.
  class LockWaiterBase : public internal::Waiter<Form> {
   protected:
    explicit LockWaiterBase(std::source_location where) : holder_(where) {}
    ~LockWaiterBase() = default;

   private:
    friend BasicMutex;
    const internal::Holder holder_;  // to be
  };

  class [[nodiscard]] LockWaiter final : public LockWaiterBase {
   public:
    LockWaiter(BasicMutex& mutex, std::source_location where) : LockWaiterBase(where), mutex_(mutex) {}

    template <class P>
    [[gnu::always_inline]] bool await_suspend(std::coroutine_handle<P> awaiting) {
      return this->Suspend(awaiting, [this] { return mutex_.TakeOrQueue(*this); });
    }
    Guard await_resume() const { return Guard(&mutex_); }

   private:
    void OnStop() noexcept override {
      if (mutex_.Withdraw(*this)) this->CompleteStopped();
    }
    bool Undo() noexcept override {
      mutex_.Unlock();
      return true;
    }
    std::string WaitsFor() const override { return mutex_.Describe(); }

    BasicMutex& mutex_;
  };

  class [[nodiscard]] LockOperation {
   public:
    LockOperation(BasicMutex& mutex, std::source_location where) : mutex_(mutex), where_(where) {}
    LockWaiter operator co_await() && { return LockWaiter(mutex_, where_); }

   private:
    BasicMutex& mutex_;
    const std::source_location where_;
  };

  template <class F>
  auto Read(F read) const {
    Section section(form_);
    return read();
  }
  void CheckHome() { form_.CheckHome("a Mutex", !waiters_.empty(), is_locked_); }

  void Take(const internal::Holder& holder) {
    is_locked_ = true;
    holder_ = holder;
  }
  bool TakeOrQueue(LockWaiterBase& waiter) {
    Section section(form_);
    CheckHome();
    if (is_locked_) [[unlikely]] {
      waiters_.PushBack(waiter);
      return false;
    }
    Take(waiter.holder_);
    return true;
  }
  void Unlock() {
    Section section(form_);
    CheckHome();
    PassOn(section);
  }
  // From the one that holds it to the next, or to nobody.
  void PassOn(Section& section) {
    is_locked_ = false;
    if (!waiters_.empty()) HandOver(section);
  }
  void HandOver(Section& section);
  bool Withdraw(LockWaiter& waiter);
  [[noreturn]] void FailDestroyedLocked() const;
  // For who waits.
  std::string Describe() const;

  [[no_unique_address]] mutable Form form_;
  bool is_locked_ = false;  // held, or handed over to one that has not resumed yet
  internal::Holder holder_;
  internal::WaitQueue<Form> waiters_;
};

extern template class BasicMutex<internal::OneLoop>;
extern template class BasicMutex<internal::ManyLoops>;

using Mutex = BasicMutex<internal::OneLoop>;
using MutexGuard = BasicMutexGuard<internal::OneLoop>;
using SharedMutex = BasicMutex<internal::ManyLoops>;
using SharedMutexGuard = BasicMutexGuard<internal::ManyLoops>;

}  // namespace gyre

#endif  // GYRE_SYNC_MUTEX_H_
