// What the tests of the compiler share: a ledger of living objects, objects that enter themselves there by address, and
// a bare coroutine type that is destroyed at each of its suspension points in turn.
//
// The objects own no memory, so a compiler that destroys one twice does no harm, and is seen.
#ifndef GYRE_TESTS_COMPILER_PROBE_H_
#define GYRE_TESTS_COMPILER_PROBE_H_

#include <coroutine>
#include <exception>
#include <string>
#include <utility>
#include <vector>

namespace gyre {

// Which objects are alive, by address; and what went wrong.
class Ledger {
 public:
  static Ledger& Get() {
    static Ledger ledger;
    return ledger;
  }
  void Reset() { *this = Ledger(); }
  void ForgetOrder() { order_.clear(); }
  void OnBuilt(const void* object) { live_.push_back(object); }
  void OnDestroyed(const void* object, char name) {
    order_ += name;
    if (std::erase(live_, object) != 1) ++wrong_destructions_;
  }
  // Destructions of what was not alive there, and objects never destroyed.
  int Faults() const { return wrong_destructions_ + static_cast<int>(live_.size()); }
  const std::string& order() const { return order_; }

 private:
  std::vector<const void*> live_;
  std::string order_;
  int wrong_destructions_ = 0;
};

class Counted {
 public:
  explicit Counted(char name = '?') : name_(name) { Ledger::Get().OnBuilt(this); }
  Counted(const Counted& other) : Counted(other.name_) {}
  Counted& operator=(const Counted&) = default;
  ~Counted() { Ledger::Get().OnDestroyed(this, name_); }
  int value() const { return 1; }

 private:
  char name_;
};

// A bare coroutine: gyre::Task would refuse some of these idioms. Lazy, owns its frame, awaited once.
class Coroutine {
 public:
  struct promise_type {
    struct FinalAwaiter {
      FinalAwaiter() {}
      bool await_ready() noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> frame) noexcept {
        return frame.promise().awaiting;
      }
      void await_resume() noexcept {}
    };
    Coroutine get_return_object() { return Coroutine(std::coroutine_handle<promise_type>::from_promise(*this)); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    FinalAwaiter final_suspend() noexcept { return FinalAwaiter(); }
    void return_value(int value) { result = value; }
    void unhandled_exception() { error = std::current_exception(); }

    int result = 0;
    std::exception_ptr error;
    std::coroutine_handle<> awaiting = std::noop_coroutine();
  };

  class Awaiter {
   public:
    explicit Awaiter(std::coroutine_handle<promise_type> frame) : frame_(frame) {}
    bool await_ready() { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) {
      frame_.promise().awaiting = awaiting;
      return frame_;
    }
    int await_resume() {
      if (frame_.promise().error) std::rethrow_exception(frame_.promise().error);
      return frame_.promise().result;
    }

   private:
    std::coroutine_handle<promise_type> frame_;
  };

  Coroutine(Coroutine&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  ~Coroutine() {
    if (frame_) frame_.destroy();
  }
  Awaiter operator co_await() && { return Awaiter(frame_); }
  std::coroutine_handle<promise_type> frame() const { return frame_; }

 private:
  explicit Coroutine(std::coroutine_handle<promise_type> frame) : frame_(frame) {}
  std::coroutine_handle<promise_type> frame_;
};

// Suspends once, then gives a value.
inline std::coroutine_handle<> paused;

template <class T>
class PauseAwaiter {
 public:
  explicit PauseAwaiter(T value) : value_(std::move(value)) {}
  bool await_ready() { return false; }
  void await_suspend(std::coroutine_handle<> awaiting) { paused = awaiting; }
  T await_resume() { return std::move(value_); }

 private:
  T value_;
};

inline PauseAwaiter<int> Pause() { return PauseAwaiter<int>(1); }
template <class T>
PauseAwaiter<T> PauseAndGive(T value) {
  return PauseAwaiter<T>(std::move(value));
}

// Destroys a fresh run of `idiom` after 0, 1, 2 ... resumptions, until one reaches its end.
inline int CountFaults(Coroutine (*idiom)()) {
  int faults = 0;
  for (int resumptions = 0;; ++resumptions) {
    Ledger::Get().Reset();
    bool is_done = false;
    {
      Coroutine run = idiom();
      paused = run.frame();
      for (int i = 0; i < resumptions && !run.frame().done(); ++i) paused.resume();
      is_done = run.frame().done();
      if (is_done && run.frame().promise().error) ++faults;
    }
    faults += Ledger::Get().Faults();
    if (is_done) return faults;
  }
}

}  // namespace gyre

#endif  // GYRE_TESTS_COMPILER_PROBE_H_
