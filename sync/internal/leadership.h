// Leadership: of all that come while something is not done, one does it and the others wait; where that one fails or is
// stopped, the next takes over. What Once, Lazy and SingleFlight share.
//
//   internal::Lead<Form> lead = co_await leadership.Enter();
//   if (lead.is_leader()) {
//     co_await Do();
//     lead.Finish();                                    // all that wait go on; without it, the next leads when this dies
//   }
//
// Cancellation:  a stopped Enter has taken nothing: a lead that had been handed over goes to the next.
#ifndef GYRE_SYNC_INTERNAL_LEADERSHIP_H_
#define GYRE_SYNC_INTERNAL_LEADERSHIP_H_

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "gyre/runtime/check.h"
#include "gyre/sync/internal/form.h"

namespace gyre::internal {

template <class Form>
class Leadership;

template <class Form>
class [[nodiscard]] Lead {
 public:
  Lead(Lead&& other) noexcept : leadership_(std::exchange(other.leadership_, nullptr)) {}
  Lead& operator=(Lead&&) = delete;
  ~Lead() {
    if (leadership_ != nullptr) leadership_->PassOn();
  }

  // Otherwise it is done.
  bool is_leader() const { return leadership_ != nullptr; }
  void Finish() { std::exchange(leadership_, nullptr)->Finish(); }

 private:
  friend Leadership<Form>;
  explicit Lead(Leadership<Form>* leadership) : leadership_(leadership) {}

  Leadership<Form>* leadership_;
};

template <class Form>
class Leadership {
 public:
  // `what` is done in reports: "a Once".
  explicit Leadership(const char* what) : what_(what) {}
  Leadership(const Leadership&) = delete;
  Leadership& operator=(const Leadership&) = delete;
  ~Leadership() {
    GYRE_CHECK(waiters_.empty(), "a Once, Lazy or SingleFlight was destroyed while a task waits for it");
    GYRE_CHECK(state_ != State::kLed, "a Once, Lazy or SingleFlight was destroyed while it runs");
  }

  // co_await: a Lead.
  auto Enter() { return WaitOperation<EnterWaiter, Leadership>(*this); }
  bool is_done() const {
    Section<Form> section(form_);
    return state_ == State::kDone;
  }
  size_t waiting() const {
    Section<Form> section(form_);
    return waiters_.size();
  }

 private:
  friend Lead<Form>;
  enum class State : uint8_t { kIdle, kLed, kDone };

  class [[nodiscard]] EnterWaiter final : public Waiter<Form> {
   public:
    explicit EnterWaiter(Leadership& leadership) : leadership_(leadership) {}

    template <class P>
    bool await_suspend(std::coroutine_handle<P> awaiting) {
      return this->Suspend(awaiting, [this] { return leadership_.EnterOrQueue(*this); });
    }
    Lead<Form> await_resume() const { return Lead<Form>(leads_ ? &leadership_ : nullptr); }

   private:
    friend Leadership;
    void OnStop() noexcept override {
      if (leadership_.Withdraw(*this)) this->CompleteStopped();
    }
    bool Undo() noexcept override {
      if (leads_) leadership_.PassOn();
      return true;
    }
    std::string WaitsFor() const override { return leadership_.what_ + std::string(" that another task is at"); }

    Leadership& leadership_;
    bool leads_ = false;
  };

  void CheckHome() { form_.CheckHome(what_, !waiters_.empty(), state_ == State::kLed); }
  bool EnterOrQueue(EnterWaiter& waiter) {
    Section<Form> section(form_);
    CheckHome();
    if (state_ == State::kLed) {
      waiters_.PushBack(waiter);
      return false;
    }
    if (state_ == State::kIdle) Give(waiter);
    return true;
  }
  void Give(EnterWaiter& waiter) {
    state_ = State::kLed;
    waiter.leads_ = true;
  }
  void PassOn() {
    Section<Form> section(form_);
    CheckHome();
    state_ = State::kIdle;
    Waiter<Form>* const next = waiters_.PopFront();
    if (next == nullptr) return;
    Give(static_cast<EnterWaiter&>(*next));
    section.Wake(*next);
  }
  void Finish() {
    Section<Form> section(form_);
    CheckHome();
    state_ = State::kDone;
    while (Waiter<Form>* const waiter = waiters_.PopFront()) section.Wake(*waiter);
  }
  bool Withdraw(EnterWaiter& waiter) {
    Section<Form> section(form_);
    return waiters_.Withdraw(waiter);
  }

  [[no_unique_address]] mutable Form form_;
  const char* const what_;
  State state_ = State::kIdle;
  WaitQueue<Form> waiters_;
};

}  // namespace gyre::internal

#endif  // GYRE_SYNC_INTERNAL_LEADERSHIP_H_
