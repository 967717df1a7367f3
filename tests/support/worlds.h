// InEveryWorld and InSimulation: run a test's root task where its claim must hold: on epoll, in a calm simulation, and in
// simulations that shuffle what is ready. `root` is called once for each, so all its state belongs inside.
#ifndef GYRE_TESTS_SUPPORT_WORLDS_H_
#define GYRE_TESTS_SUPPORT_WORLDS_H_

#include <cstdint>
#include <exception>
#include <functional>
#include <string>
#include <vector>

#include "gyre/runtime/errors.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/task.h"

namespace gyre::testing {

inline constexpr uint64_t kWorldSeeds = 12;

// One type for every test's root: a test that brought its own would have the runtime's templates compiled for itself.
using WorldRoot = std::function<Task<>()>;

// In virtual time. Calm worlds keep the order of the ready queue.
void InCalmSimulation(const WorldRoot& root);
void InSimulation(const WorldRoot& root);
void OnEpoll(const WorldRoot& root);
// For claims that need no time to pass, or very little.
void InEveryWorld(const WorldRoot& root);

// What the unhandled-error hook was told, as text.
class HookLog {
 public:
  RunOptions Options() {
    return RunOptions().set_unhandled_error_hook([this](const UnhandledError& error) { errors.push_back(error); });
  }
  // Collects from the loop that runs.
  void Attach() {
    Loop::Current().SetUnhandledErrorHook([this](const UnhandledError& error) { errors.push_back(error); });
  }
  std::vector<std::string> Texts() const {
    std::vector<std::string> texts;
    for (const UnhandledError& error : errors) texts.push_back(What(error.exception));
    return texts;
  }
  static std::string What(const std::exception_ptr& exception) {
    if (exception == nullptr) return "none";
    try {
      std::rethrow_exception(exception);
    } catch (const std::exception& error) {
      return error.what();
    } catch (...) {
      return "an unknown exception";
    }
  }

  std::vector<UnhandledError> errors;
};

}  // namespace gyre::testing

#endif  // GYRE_TESTS_SUPPORT_WORLDS_H_
