// RwLock, SharedRwLock: many readers at once, or one writer.
//
//   gyre::ReadGuard reading = co_await table_lock.ReadLock();
//   ...
//   gyre::WriteGuard writing = co_await table_lock.WriteLock();
//   gyre::ReadGuard still_mine = std::move(writing).Downgrade();    // other readers may come in, no writer in between
//
// Fair: one queue, in order of arrival. A reader that comes while a writer waits goes behind it, so neither kind
// starves; readers that follow one another in the queue get in together. There is no upgrade: two readers that want one
// wait for each other.
//
// Thread-safety: RwLock: one loop. SharedRwLock: any thread; who waits resumes on its own loop.
// Lifetime:      outlives its guards and waiters; to destroy it before is a check failure.
//                A Shared form outlives the waits that it has ended, too, until they resume (checked with GYRE_DEBUG_CHECKS).
// Cancellation:  a stopped lock has taken nothing: one that had been handed over goes to the next.
// Cost:          nothing is allocated.
#ifndef GYRE_SYNC_RW_LOCK_H_
#define GYRE_SYNC_RW_LOCK_H_

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "gyre/runtime/check.h"
#include "gyre/sync/internal/form.h"

namespace gyre {
namespace internal {

enum class RwMode : uint8_t { kRead, kWrite };

}  // namespace internal

template <class Form>
class BasicRwLock;

// A lock of either kind. Unlocks when it dies; moved from, it is empty.
//
// Thread-safety: that of its RwLock; the object itself belongs to one thread at a time.
template <class Form, internal::RwMode kMode>
class [[nodiscard]] BasicRwGuard {
 public:
  BasicRwGuard() = default;
  BasicRwGuard(BasicRwGuard&& other) noexcept : lock_(std::exchange(other.lock_, nullptr)) {}
  BasicRwGuard& operator=(BasicRwGuard&& other) noexcept {
    if (this == &other) return *this;
    Unlock();
    lock_ = std::exchange(other.lock_, nullptr);
    return *this;
  }
  ~BasicRwGuard() { Unlock(); }

  bool is_locked() const { return lock_ != nullptr; }

  // Unlocks now. Of an empty one: nothing.
  void Unlock() {
    if (lock_ != nullptr) std::exchange(lock_, nullptr)->Unlock(kMode);
  }
  // Turns the writer into a reader, without letting go in between. This guard is empty then.
  BasicRwGuard<Form, internal::RwMode::kRead> Downgrade() &&
    requires(kMode == internal::RwMode::kWrite)
  {
    GYRE_CHECK(lock_ != nullptr, "WriteGuard::Downgrade: the guard is empty");
    lock_->Downgrade();
    return BasicRwGuard<Form, internal::RwMode::kRead>(std::exchange(lock_, nullptr));
  }

 private:
  friend BasicRwLock<Form>;
  template <class, internal::RwMode>
  friend class BasicRwGuard;
  explicit BasicRwGuard(BasicRwLock<Form>* lock) : lock_(lock) {}

  BasicRwLock<Form>* lock_ = nullptr;
};

template <class Form>
class BasicRwLock {
 public:
  using ReadGuard = BasicRwGuard<Form, internal::RwMode::kRead>;
  using WriteGuard = BasicRwGuard<Form, internal::RwMode::kWrite>;

  BasicRwLock() = default;
  BasicRwLock(const BasicRwLock&) = delete;
  BasicRwLock& operator=(const BasicRwLock&) = delete;
  ~BasicRwLock() {
    GYRE_CHECK(waiters_.empty(), "a RwLock was destroyed while a task waits for it");
    GYRE_CHECK(!is_locked(), "a RwLock was destroyed while it is locked");
  }

  // co_await: a guard.
  auto ReadLock() { return internal::WaitOperation<LockWaiter<internal::RwMode::kRead>, BasicRwLock>(*this); }
  auto WriteLock() { return internal::WaitOperation<LockWaiter<internal::RwMode::kWrite>, BasicRwLock>(*this); }
  // Empty where the lock would wait.
  std::optional<ReadGuard> TryReadLock() { return Try<ReadGuard>(internal::RwMode::kRead); }
  std::optional<WriteGuard> TryWriteLock() { return Try<WriteGuard>(internal::RwMode::kWrite); }

  // Of now: a SharedRwLock may be otherwise a moment later.
  size_t readers() const {
    Section section(form_);
    return readers_;
  }
  bool has_writer() const {
    Section section(form_);
    return has_writer_;
  }
  size_t waiting() const {
    Section section(form_);
    return waiters_.size();
  }

 private:
  using Section = internal::Section<Form>;
  template <class, internal::RwMode>
  friend class BasicRwGuard;

  class LockWaiterBase : public internal::Waiter<Form> {
   protected:
    LockWaiterBase(BasicRwLock& lock, internal::RwMode mode) : lock_(lock), mode_(mode) {}
    ~LockWaiterBase() = default;

    friend BasicRwLock;
    BasicRwLock& lock_;
    const internal::RwMode mode_;

   private:
    void OnStop() noexcept override {
      if (lock_.Withdraw(*this)) this->CompleteStopped();
    }
    bool Undo() noexcept override {
      lock_.Unlock(mode_);
      return true;
    }
    std::string WaitsFor() const override { return lock_.Describe(); }
  };

  template <internal::RwMode kMode>
  class [[nodiscard]] LockWaiter final : public LockWaiterBase {
   public:
    explicit LockWaiter(BasicRwLock& lock) : LockWaiterBase(lock, kMode) {}

    template <class P>
    [[gnu::always_inline]] bool await_suspend(std::coroutine_handle<P> awaiting) {
      return this->Suspend(awaiting, [this] { return this->lock_.TakeOrQueue(*this); });
    }
    BasicRwGuard<Form, kMode> await_resume() const { return BasicRwGuard<Form, kMode>(&this->lock_); }
  };

  bool is_locked() const { return readers_ != 0 || has_writer_; }
  void CheckHome() { form_.CheckHome("a RwLock", !waiters_.empty(), is_locked()); }

  bool IsFree(internal::RwMode mode) const {
    return mode == internal::RwMode::kRead ? !has_writer_ : !is_locked();
  }
  void Take(internal::RwMode mode) {
    if (mode == internal::RwMode::kRead) {
      ++readers_;
    } else {
      has_writer_ = true;
    }
  }
  template <class Guard>
  std::optional<Guard> Try(internal::RwMode mode) {
    Section section(form_);
    CheckHome();
    if (!IsFree(mode) || !waiters_.empty()) return std::nullopt;
    Take(mode);
    return Guard(this);
  }
  bool TakeOrQueue(LockWaiterBase& waiter) {
    Section section(form_);
    CheckHome();
    if (!IsFree(waiter.mode_) || !waiters_.empty()) [[unlikely]] {
      waiters_.PushBack(waiter);
      return false;
    }
    Take(waiter.mode_);
    return true;
  }
  void Unlock(internal::RwMode mode);
  void Downgrade();
  void HandOut(Section& section);
  bool Withdraw(LockWaiterBase& waiter);
  // For who waits.
  std::string Describe() const;

  [[no_unique_address]] mutable Form form_;
  size_t readers_ = 0;  // these two: held, or handed over to one that has not resumed yet
  bool has_writer_ = false;
  internal::WaitQueue<Form> waiters_;
};

extern template class BasicRwLock<internal::OneLoop>;
extern template class BasicRwLock<internal::ManyLoops>;

using RwLock = BasicRwLock<internal::OneLoop>;
using ReadGuard = RwLock::ReadGuard;
using WriteGuard = RwLock::WriteGuard;
using SharedRwLock = BasicRwLock<internal::ManyLoops>;
using SharedReadGuard = SharedRwLock::ReadGuard;
using SharedWriteGuard = SharedRwLock::WriteGuard;

}  // namespace gyre

#endif  // GYRE_SYNC_RW_LOCK_H_
