// Semaphore, SharedSemaphore: let a limited number of tasks through.
//
//   gyre::Semaphore five(5);
//   {
//     gyre::Permit permit = co_await five.Acquire();
//     co_await Fetch(url);
//   }                                                   // given back here, also when stopped
//
// Fair: units go to whoever has waited longest, and nobody overtakes, also not TryAcquire, and not one that asks for fewer.
// A release hands the units over at once: they are never free while somebody could have them.
//
// Thread-safety: Semaphore: one loop. SharedSemaphore: any thread; who waits resumes on its own loop.
// Lifetime:      outlives its permits and waiters; to destroy it before is a check failure.
//                A Shared form outlives the waits that it has ended, too, until they resume (checked with GYRE_DEBUG_CHECKS).
// Cancellation:  a stopped Acquire has taken nothing: units that had been handed over go to the next.
// Errors:        once closed, Acquire throws StatusError (kUnavailable), to those who wait too; TryAcquire gives none. To ask
//                a bounded one for more than it can ever have, to release above the bound, to merge permits of two
//                semaphores: check failures.
// Units:         Acquire(n) takes n units together, or waits; 0 are always there.
// Cost:          taken and given back while free, some 70 instructions; 105 of a SharedSemaphore, which takes its lock
//                twice. Nothing is allocated.
#ifndef GYRE_SYNC_SEMAPHORE_H_
#define GYRE_SYNC_SEMAPHORE_H_

#include <coroutine>
#include <cstddef>
#include <limits>
#include <optional>
#include <source_location>
#include <string>
#include <utility>

#include "gyre/runtime/check.h"
#include "gyre/sync/internal/form.h"
#include "gyre/sync/internal/holder.h"

namespace gyre {

template <class Form>
class BasicSemaphore;

// Units that have been taken. Gives them back when it dies; moved from, it is empty.
//
// Thread-safety: that of its semaphore, also to move it; the object itself belongs to one thread at a time.
template <class Form>
class [[nodiscard]] BasicPermit : private internal::Holding<> {
 public:
  BasicPermit() = default;
  BasicPermit(BasicPermit&& other) noexcept { TakeOver(other); }
  BasicPermit& operator=(BasicPermit&& other) noexcept {
    if (this == &other) return *this;
    Release();
    TakeOver(other);
    return *this;
  }
  ~BasicPermit() { Release(); }

  size_t units() const { return units_; }

  // Gives them back now.
  void Release() {
    if (units_ == 0) return;
    EndHolding();
    semaphore_->PutBack(std::exchange(units_, 0));
  }
  // Takes `units` of these into a permit of their own.
  BasicPermit Split(size_t units) {
    GYRE_CHECK(units <= units_, "Permit::Split: it has fewer units than that");
    if (units == units_) return std::move(*this);
    units_ -= units;
    return BasicPermit(semaphore_, units, holder());
  }
  // Takes over the units of `other`, which is empty then.
  void Merge(BasicPermit&& other) {
    if (&other == this || other.units_ == 0) return;
    GYRE_CHECK(units_ == 0 || semaphore_ == other.semaphore_, "Permit::Merge: these are permits of two semaphores");
    if (units_ == 0) return TakeOver(other);
    other.EndHolding();
    units_ += std::exchange(other.units_, 0);
  }
  // They never come back, unless by Semaphore::Release. Returns how many.
  size_t Forget() {
    if (units_ == 0) return 0;
    EndHolding();
    semaphore_->Forget(units_);
    return std::exchange(units_, 0);
  }

 private:
  friend BasicSemaphore<Form>;
  // Not inside a Section.
  BasicPermit(BasicSemaphore<Form>* semaphore, size_t units, const internal::Holder& holder)
      : semaphore_(semaphore), units_(units) {
    if constexpr (internal::kHolderTaskIsKnown) {
      if (units_ != 0) semaphore_->ChangeHoldings([&](auto& holdings) { holdings.Add(*this, holder); });
    }
  }
  // This is empty.
  void TakeOver(BasicPermit& other) noexcept {
    semaphore_ = std::exchange(other.semaphore_, nullptr);
    units_ = std::exchange(other.units_, 0);
    if constexpr (internal::kHolderTaskIsKnown) {
      if (units_ != 0) semaphore_->ChangeHoldings([&](auto& holdings) { holdings.Move(other, *this); });
    }
  }
  void EndHolding() noexcept {
    if constexpr (internal::kHolderTaskIsKnown) {
      semaphore_->ChangeHoldings([&](auto& holdings) { holdings.Remove(*this); });
    }
  }

  BasicSemaphore<Form>* semaphore_ = nullptr;
  size_t units_ = 0;
};

template <class Form>
class BasicSemaphore {
 public:
  using Permit = BasicPermit<Form>;

  // `bound`: how many units there may ever be, free and taken. Without one, Release may add any number.
  explicit BasicSemaphore(size_t units, size_t bound = kUnbounded) : free_(units), total_(units), bound_(bound) {
    GYRE_CHECK(units <= bound, "a Semaphore begins with no more units than its bound");
  }
  BasicSemaphore(const BasicSemaphore&) = delete;
  BasicSemaphore& operator=(const BasicSemaphore&) = delete;
  ~BasicSemaphore() {
    GYRE_CHECK(waiters_.empty(), "a Semaphore was destroyed while a task waits for it");
    GYRE_CHECK(free_ == total_, "a Semaphore was destroyed while a Permit of it is held");
  }

  // co_await: a Permit.
  auto Acquire(size_t units = 1, std::source_location where = std::source_location::current()) {
    GYRE_CHECK(units <= bound_, "Semaphore::Acquire: there are never that many units");
    return AcquireOperation(*this, units, where);
  }
  // Empty where Acquire would wait, or the semaphore is closed.
  std::optional<Permit> TryAcquire(size_t units = 1, std::source_location where = std::source_location::current()) {
    if (!TryTake(units)) return std::nullopt;
    return Permit(this, units, internal::Holder(where));
  }
  // Adds units that no permit gives back: new ones, or forgotten ones.
  void Release(size_t units = 1);
  // Nobody gets through any more. Permits go on, and are given back as ever. Idempotent.
  void Close();

  // Of now: in a SharedSemaphore a moment later it may be otherwise.
  size_t available() const { return Read([this] { return free_; }); }
  size_t taken() const { return Read([this] { return total_ - free_; }); }
  size_t waiting() const { return Read([this] { return waiters_.size(); }); }
  bool is_closed() const { return Read([this] { return is_closed_; }); }

  static constexpr size_t kUnbounded = std::numeric_limits<size_t>::max();

 private:
  using Section = internal::Section<Form>;
  friend Permit;

  class [[nodiscard]] AcquireWaiter final : public internal::Waiter<Form> {
   public:
    AcquireWaiter(BasicSemaphore& semaphore, size_t units, std::source_location where)
        : semaphore_(semaphore), units_(units), holder_(where) {}

    template <class P>
    [[gnu::always_inline]] bool await_suspend(std::coroutine_handle<P> awaiting) {
      return this->Suspend(awaiting, [this] { return semaphore_.TakeOrQueue(*this); });
    }
    Permit await_resume() const {
      if (is_refused_) [[unlikely]] ThrowClosed();
      return Permit(&semaphore_, units_, holder_);
    }

   private:
    friend BasicSemaphore;
    void OnStop() noexcept override {
      if (semaphore_.Withdraw(*this)) this->CompleteStopped();
    }
    bool Undo() noexcept override {
      if (!is_refused_) semaphore_.PutBack(units_);
      return true;
    }
    std::string WaitsFor() const override { return semaphore_.Describe(units_); }

    BasicSemaphore& semaphore_;
    const size_t units_;
    const internal::Holder holder_;  // to be
    bool is_refused_ = false;  // the semaphore is closed; one of one loop may be gone
  };

  class [[nodiscard]] AcquireOperation {
   public:
    AcquireOperation(BasicSemaphore& semaphore, size_t units, std::source_location where)
        : semaphore_(semaphore), units_(units), where_(where) {}
    AcquireWaiter operator co_await() && { return AcquireWaiter(semaphore_, units_, where_); }

   private:
    BasicSemaphore& semaphore_;
    const size_t units_;
    const std::source_location where_;
  };

  [[noreturn]] static void ThrowClosed();

  template <class F>
  auto Read(F read) const {
    Section section(form_);
    return read();
  }
  void CheckHome() { form_.CheckHome("a Semaphore", !waiters_.empty(), free_ != total_); }

  bool CanTake(size_t units) const { return units <= free_ && (waiters_.empty() || units == 0) && !is_closed_; }
  bool TryTake(size_t units) {
    Section section(form_);
    CheckHome();
    if (!CanTake(units)) return false;
    free_ -= units;
    return true;
  }
  template <class F>
  void ChangeHoldings(F change) noexcept {
    Section section(form_);
    CheckHome();
    change(holdings_);
  }
  bool TakeOrQueue(AcquireWaiter& waiter) {
    Section section(form_);
    CheckHome();
    if (!CanTake(waiter.units_)) [[unlikely]] return IsAnsweredAtOnce(waiter);
    free_ -= waiter.units_;
    return true;
  }
  void PutBack(size_t units) {
    Section section(form_);
    CheckHome();
    free_ += units;
    if (!waiters_.empty()) HandOut(section);
  }
  bool IsAnsweredAtOnce(AcquireWaiter& waiter);
  void HandOut(Section& section);
  bool Withdraw(AcquireWaiter& waiter);
  void Forget(size_t units);
  // For who waits for `units`.
  std::string Describe(size_t units) const;

  [[no_unique_address]] mutable Form form_;
  size_t free_;
  size_t total_;  // and those that are held, or handed over to one that has not resumed yet
  const size_t bound_;
  bool is_closed_ = false;
  internal::WaitQueue<Form> waiters_;
  [[no_unique_address]] internal::Holdings<> holdings_;
};

extern template class BasicSemaphore<internal::OneLoop>;
extern template class BasicSemaphore<internal::ManyLoops>;

using Semaphore = BasicSemaphore<internal::OneLoop>;
using Permit = BasicPermit<internal::OneLoop>;
using SharedSemaphore = BasicSemaphore<internal::ManyLoops>;
using SharedPermit = BasicPermit<internal::ManyLoops>;

}  // namespace gyre

#endif  // GYRE_SYNC_SEMAPHORE_H_
