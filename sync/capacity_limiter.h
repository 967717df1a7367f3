// CapacityLimiter, SharedCapacityLimiter: a semaphore of one token for each borrower, whose size can change while it is
// in use.
//
//   gyre::CapacityLimiter connections(100);
//   gyre::LimiterToken token = co_await connections.AcquireFor(&session);   // one for each session, no second
//   ...
//   connections.set_total(50);                                              // no new ones until 51 have come back
//
// A borrower is an address that stands for whoever the token is for: a session, a tenant, a request. It need not be the
// one that waits, and is never read. Acquire() is for nobody in particular.
//
// Fair: tokens go to whoever has waited longest, and nobody overtakes, also not TryAcquire.
//
// Thread-safety: CapacityLimiter: one loop. SharedCapacityLimiter: any thread; who waits resumes on its own loop.
// Lifetime:      outlives its tokens and waiters; to destroy it before is a check failure.
//                A Shared form outlives the waits that it has ended, too, until they resume (checked with GYRE_DEBUG_CHECKS).
// Cancellation:  a stopped Acquire has taken nothing: a token that had been handed over goes to the next. No trace of
//                its borrower remains.
// Errors:        to acquire for a borrower that has a token, or waits for one, is a check failure, also of TryAcquireFor
//                where there is no token: ask Knows().
// Cost:          a borrower is an entry of a hash set; without one, nothing is allocated.
#ifndef GYRE_SYNC_CAPACITY_LIMITER_H_
#define GYRE_SYNC_CAPACITY_LIMITER_H_

#include <coroutine>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "gyre/runtime/check.h"
#include "gyre/sync/internal/form.h"

namespace gyre {

template <class Form>
class BasicCapacityLimiter;

// Gives the token back when it dies; moved from, it is empty.
//
// Thread-safety: that of its limiter; the object itself belongs to one thread at a time.
template <class Form>
class [[nodiscard]] BasicLimiterToken {
 public:
  BasicLimiterToken() = default;
  BasicLimiterToken(BasicLimiterToken&& other) noexcept
      : limiter_(std::exchange(other.limiter_, nullptr)), borrower_(std::exchange(other.borrower_, nullptr)) {}
  BasicLimiterToken& operator=(BasicLimiterToken&& other) noexcept {
    if (this == &other) return *this;
    Release();
    limiter_ = std::exchange(other.limiter_, nullptr);
    borrower_ = std::exchange(other.borrower_, nullptr);
    return *this;
  }
  ~BasicLimiterToken() { Release(); }

  bool is_held() const { return limiter_ != nullptr; }
  const void* borrower() const { return borrower_; }

  // Gives it back now. Of an empty one: nothing.
  void Release() {
    if (limiter_ != nullptr) std::exchange(limiter_, nullptr)->PutBack(std::exchange(borrower_, nullptr));
  }

 private:
  friend BasicCapacityLimiter<Form>;
  BasicLimiterToken(BasicCapacityLimiter<Form>* limiter, const void* borrower) : limiter_(limiter), borrower_(borrower) {}

  BasicCapacityLimiter<Form>* limiter_ = nullptr;
  const void* borrower_ = nullptr;
};

template <class Form>
class BasicCapacityLimiter {
 public:
  using Token = BasicLimiterToken<Form>;

  explicit BasicCapacityLimiter(size_t total) : total_(total) {}
  BasicCapacityLimiter(const BasicCapacityLimiter&) = delete;
  BasicCapacityLimiter& operator=(const BasicCapacityLimiter&) = delete;
  ~BasicCapacityLimiter() {
    GYRE_CHECK(waiters_.empty(), "a CapacityLimiter was destroyed while a task waits for it");
    GYRE_CHECK(borrowed_ == 0, "a CapacityLimiter was destroyed while a token of it is held");
  }

  // co_await: a LimiterToken.
  auto Acquire() { return AcquireOperation(*this, nullptr); }
  auto AcquireFor(const void* borrower) { return AcquireOperation(*this, borrower); }
  // Empty where Acquire would wait.
  std::optional<Token> TryAcquire() { return TryAcquireFor(nullptr); }
  std::optional<Token> TryAcquireFor(const void* borrower);

  // More: those who wait get them at once. Fewer: those that are held come back in their own time.
  void set_total(size_t total);

  // Of now: a SharedCapacityLimiter may be otherwise a moment later.
  size_t total() const { return Read([this] { return total_; }); }
  size_t borrowed() const { return Read([this] { return borrowed_; }); }
  size_t available() const { return Read([this] { return borrowed_ < total_ ? total_ - borrowed_ : 0; }); }
  size_t waiting() const { return Read([this] { return waiters_.size(); }); }
  // It has a token, or waits for one.
  bool Knows(const void* borrower) const { return Read([&] { return borrowers_.contains(borrower); }); }

 private:
  using Section = internal::Section<Form>;
  friend Token;

  class [[nodiscard]] AcquireWaiter final : public internal::Waiter<Form> {
   public:
    AcquireWaiter(BasicCapacityLimiter& limiter, const void* borrower) : limiter_(limiter), borrower_(borrower) {}

    template <class P>
    [[gnu::always_inline]] bool await_suspend(std::coroutine_handle<P> awaiting) {
      return this->Suspend(awaiting, [this] { return limiter_.TakeOrQueue(*this); });
    }
    Token await_resume() const { return Token(&limiter_, borrower_); }

   private:
    friend BasicCapacityLimiter;
    void OnStop() noexcept override {
      if (limiter_.Withdraw(*this)) this->CompleteStopped();
    }
    bool Undo() noexcept override {
      limiter_.PutBack(borrower_);
      return true;
    }
    std::string WaitsFor() const override { return limiter_.Describe(); }

    BasicCapacityLimiter& limiter_;
    const void* const borrower_;
  };

  class [[nodiscard]] AcquireOperation {
   public:
    AcquireOperation(BasicCapacityLimiter& limiter, const void* borrower) : limiter_(limiter), borrower_(borrower) {}
    AcquireWaiter operator co_await() && { return AcquireWaiter(limiter_, borrower_); }

   private:
    BasicCapacityLimiter& limiter_;
    const void* const borrower_;
  };

  template <class F>
  auto Read(F read) const {
    Section section(form_);
    return read();
  }
  void CheckHome() { form_.CheckHome("a CapacityLimiter", !waiters_.empty(), borrowed_ != 0); }
  // Before anything needs memory, and whether or not there is a token.
  void CheckIsNew(const void* borrower) const {
    GYRE_CHECK(borrower == nullptr || !borrowers_.contains(borrower),
               "CapacityLimiter::AcquireFor: this borrower has a token already, or waits for one");
  }
  void Enter(const void* borrower);
  void Leave(const void* borrower) {
    if (borrower != nullptr) borrowers_.erase(borrower);
  }
  bool TakeOrQueue(AcquireWaiter& waiter);
  void PutBack(const void* borrower);
  void HandOut(Section& section);
  bool Withdraw(AcquireWaiter& waiter);
  // For who waits.
  std::string Describe() const;

  [[no_unique_address]] mutable Form form_;
  size_t total_;
  size_t borrowed_ = 0;  // held, or handed over to one that has not resumed yet; above total_ after it has shrunk
  absl::flat_hash_set<const void*> borrowers_;  // of tokens, and of waiters
  internal::WaitQueue<Form> waiters_;
};

extern template class BasicCapacityLimiter<internal::OneLoop>;
extern template class BasicCapacityLimiter<internal::ManyLoops>;

using CapacityLimiter = BasicCapacityLimiter<internal::OneLoop>;
using LimiterToken = BasicLimiterToken<internal::OneLoop>;
using SharedCapacityLimiter = BasicCapacityLimiter<internal::ManyLoops>;
using SharedLimiterToken = BasicLimiterToken<internal::ManyLoops>;

}  // namespace gyre

#endif  // GYRE_SYNC_CAPACITY_LIMITER_H_
