// Small tasks and leaves that tests of scopes and combinators are made of.
//
// Thread-safety: one loop's thread.
#ifndef GYRE_TESTS_SUPPORT_TASKS_H_
#define GYRE_TESTS_SUPPORT_TASKS_H_

#include <coroutine>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "gyre/runtime/is_unwinding.h"
#include "gyre/runtime/leaf.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"
#include "gyre/tests/support/gate.h"

namespace gyre::testing {

inline TimePoint Now() { return Loop::Current().Now(); }

inline Task<> Turns(int count) {
  for (int i = 0; i < count; ++i) co_await Yield();
}

inline Task<int> Give(int value) { co_return value; }

inline Task<int> GiveAfter(Duration wait, int value) {
  co_await SleepFor(wait);
  co_return value;
}

inline Task<int> Throw(int turns, std::string text) {
  co_await Turns(turns);
  throw std::runtime_error(text);
}

inline Task<> WaitAt(Gate& gate) { co_await gate.Wait(); }

// Appends "NAMEstopped " to `log` when it is destroyed by a stop.
class NotesStop {
 public:
  NotesStop(std::string& log, std::string name) : log_(log), name_(std::move(name)) {}
  NotesStop(const NotesStop&) = delete;
  NotesStop& operator=(const NotesStop&) = delete;
  ~NotesStop() {
    if (IsUnwinding()) log_ += name_ + "stopped ";
  }

 private:
  std::string& log_;
  std::string name_;
};

// Waits at `gate`, and notes how that ended: "NAMEpassed " or "NAMEstopped ".
inline Task<int> Watch(Gate& gate, std::string& log, std::string name = "") {
  const NotesStop end(log, name);
  co_await gate.Wait();
  log += name + "passed ";
  co_return 1;
}

// Waits `wait` whatever happens, as a job on another thread would, and counts how often it is asked to stop.
class [[nodiscard]] StubbornWait final : public Leaf {
 public:
  StubbornWait(Duration wait, int& stops) : wait_(wait), stops_(stops) {}
  template <class P>
  bool await_suspend(std::coroutine_handle<P> awaiting) {
    return Suspend(awaiting, [this] {
      (void)loop().CallLater(wait_, [this] { Complete(); });
      return false;
    });
  }
  void await_resume() const {}

 private:
  void OnStop() noexcept override { ++stops_; }
  bool Undo() noexcept override { return false; }  // it had its effect

  const Duration wait_;
  int& stops_;
};

inline Task<int> GiveStubbornly(Duration wait, int& stops, int value) {
  co_await StubbornWait(wait, stops);
  co_return value;
}

// Ends as stopped, though its scope is not.
class [[nodiscard]] EndsStopped final : public Leaf {
 public:
  EndsStopped() {}
  template <class P>
  bool await_suspend(std::coroutine_handle<P> awaiting) {
    return Suspend(awaiting, [this] {
      CompleteStopped();
      return false;
    });
  }
  void await_resume() const {}

 private:
  void OnStop() noexcept override {}  // it never waits
};

inline Task<int> EndStoppedByItself() {
  co_await EndsStopped();
  co_return 0;
}

// A result that is neither default-constructible nor assignable nor copyable.
class Fixed {
 public:
  explicit Fixed(int number) : number(number) {}
  Fixed(Fixed&&) = default;
  const int number;
};

inline Task<Fixed> GiveFixed(int number) {
  co_await Yield();
  co_return Fixed(number);
}
inline Task<std::unique_ptr<int>> GiveUnique(int number) {
  co_await Yield();
  co_return std::make_unique<int>(number);
}
inline Task<int&> Refer(int& number) {
  co_await Yield();
  co_return number;
}
inline Task<int&&> Move(int& number) {
  co_await Yield();
  co_return std::move(number);
}

}  // namespace gyre::testing

#endif  // GYRE_TESTS_SUPPORT_TASKS_H_
