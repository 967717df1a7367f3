// Tasks that wait at a signal, in a known order: what the tests of signals are made of.
#ifndef GYRE_TESTS_SYNC_WAITS_H_
#define GYRE_TESTS_SYNC_WAITS_H_

#include <cstddef>
#include <string>

#include "gtest/gtest.h"
#include "gyre/runtime/is_unwinding.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/sleep.h"
#include "gyre/sync/internal/form.h"

namespace gyre::testing {

using Forms = ::testing::Types<gyre::internal::OneLoop, gyre::internal::ManyLoops>;

// Notes "a" when it goes on, "!a" when it is stopped.
class Notes {
 public:
  Notes(std::string& log, char who) : log_(log), who_(who) {}
  ~Notes() {
    if (IsUnwinding()) log_ += '!';
    log_ += who_;
  }

 private:
  std::string& log_;
  const char who_;
};

// Spawns a task that calls `wait()` and awaits what that gives, and returns once one more waits than before.
template <class Signal, class Wait>
Task<TaskHandle<>> Arrive(Scope& scope, Signal& signal, std::string& log, char who, Wait wait) {
  const size_t waiting = signal.waiting();
  auto visit = [&log, who, wait]() -> Task<> {
    const Notes notes(log, who);
    co_await wait();
  };
  TaskHandle<> task = scope.Spawn(visit);
  while (signal.waiting() == waiting) co_await Yield();
  co_return task;
}

inline Task<> Noted(std::string& log, size_t count) {
  while (log.size() < count) co_await Yield();
}

}  // namespace gyre::testing

#endif  // GYRE_TESTS_SYNC_WAITS_H_
