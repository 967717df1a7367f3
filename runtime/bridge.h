// Bridge<T>: a result that something foreign will bring: a thread, a C callback, another runtime.
//
//   gyre::Bridge<int> bridge;
//   StartForeign([&bridge](int result) { bridge.Complete(result); });   // on whatever thread
//   int result = co_await bridge.Wait();
//
// Thread-safety: Complete from any thread, once; the rest on the loop that waits.
// Lifetime:      must outlive the call of Complete; awaiting Wait in the same coroutine ensures that, because it does not end,
//                stopped or not, before Complete was called. Nothing of the bridge is touched once Wait can have ended.
// Cancellation:  a stop calls `on_stop` on the loop, so that the foreign work can be told; the wait goes on until Complete was
//                called, also in a scope that was stopped before. A value that comes in spite of the stop is delivered;
//                CompleteStopped says that there is none.
// Errors:        Complete with what a T can hold (what making it throws, Wait throws); for exceptions, FailWith. A second
//                completion is a check failure.
// Cost:          no allocation; a message, and a wake for a loop that sleeps.
#ifndef GYRE_RUNTIME_BRIDGE_H_
#define GYRE_RUNTIME_BRIDGE_H_

#include <atomic>
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <functional>
#include <type_traits>
#include <utility>

#include "gyre/runtime/check.h"
#include "gyre/runtime/internal/finish.h"
#include "gyre/runtime/leaf.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/outcome.h"

namespace gyre {

template <class T = void>
class Bridge {
  static_assert(!std::is_reference_v<T>, "gyre: a Bridge brings a value: use a pointer");

 public:
  Bridge() = default;
  // `on_stop`: called on the waiting loop when the wait is stopped, at most once. What it throws goes to the hook.
  explicit Bridge(std::function<void()> on_stop) : on_stop_(std::move(on_stop)) {}
  Bridge(const Bridge&) = delete;
  Bridge& operator=(const Bridge&) = delete;
  ~Bridge() {
    GYRE_CHECK(progress_.load(std::memory_order_relaxed) != Progress::kWaiting, "a Bridge was destroyed while it was awaited");
  }

  // The result, made from `args`; nothing for void.
  template <class... Args>
    requires std::constructible_from<internal::Stored<T>, Args...>
  void Complete(Args&&... args) {
    Claim();
    internal::ReplaceOutcome(outcome_, [&]() -> Outcome<T> {
      try {
        return Outcome<T>::FromValue(std::forward<Args>(args)...);
      } catch (...) {
        return Outcome<T>::FromException(std::current_exception());
      }
    });
    Publish();
  }
  // Wait throws `error`.
  void FailWith(std::exception_ptr error) {
    GYRE_CHECK(error != nullptr, "Bridge::FailWith needs an exception");
    Claim();
    internal::ReplaceOutcome(outcome_, std::move(error));
    Publish();
  }
  // Wait ends stopped.
  void CompleteStopped() {
    Claim();
    Publish();
  }

  // Once.
  auto Wait() { return WaitOperation(*this); }

 private:
  enum class Progress : uint8_t {
    kNothing,
    kWaiting,
    kDone,
  };

  class [[nodiscard]] WaitLeaf final : public Leaf {
   public:
    explicit WaitLeaf(Bridge& bridge) : bridge_(bridge) {}

    template <std::derived_from<internal::PromiseBase> P>
    bool await_suspend(std::coroutine_handle<P> awaiting) {
      return SuspendEvenIfStopped(awaiting, [this] {
        bridge_.waiter_ = this;
        Progress expected = Progress::kNothing;
        if (bridge_.progress_.compare_exchange_strong(expected, Progress::kWaiting, std::memory_order_acq_rel)) return false;
        GYRE_CHECK(expected == Progress::kDone, "a Bridge was awaited twice");
        if (!bridge_.outcome_.stopped()) return true;  // also where the scope is stopped: it was brought before
        Leaf::CompleteStopped();
        return false;
      });
    }
    T await_resume() { return std::move(bridge_.outcome_).value(); }
    void Resume() { CompleteFromAnyThread(); }

   private:
    void OnStop() noexcept override {
      if (bridge_.on_stop_) internal::InvokeGuarded(loop(), bridge_.on_stop_);
    }
    bool Undo() noexcept override { return bridge_.outcome_.stopped(); }
    void Run() override {
      if (is_waiting() && bridge_.outcome_.stopped()) return RunCompleted(/*is_stopped=*/true);
      Leaf::Run();
    }

    Bridge& bridge_;
  };

  class [[nodiscard]] WaitOperation {
   public:
    explicit WaitOperation(Bridge& bridge) : bridge_(bridge) {}
    auto operator co_await() && { return WaitLeaf(bridge_); }

   private:
    Bridge& bridge_;
  };

  void Claim() {
    GYRE_CHECK(!is_claimed_.exchange(true, std::memory_order_relaxed), "a Bridge was completed twice");
  }
  // After the exchange this object is touched only if somebody waits, and not after the push.
  void Publish() {
    if (progress_.exchange(Progress::kDone, std::memory_order_acq_rel) == Progress::kWaiting) waiter_->Resume();
  }

  const std::function<void()> on_stop_;
  Outcome<T> outcome_;         // stopped until completed
  WaitLeaf* waiter_ = nullptr;
  std::atomic<bool> is_claimed_{false};  // relaxed: only one may win, it moves no data
  // Publish:acq_rel   hands the outcome to the waiter, or finds the waiter that Wait has entered.
  // Wait:acq_rel      the other side of both.
  std::atomic<Progress> progress_{Progress::kNothing};
};

}  // namespace gyre

#endif  // GYRE_RUNTIME_BRIDGE_H_
