// Closing: what a Serve in a test waits for: any thread may say when; and a stop ends the wait at once.
#ifndef GYRE_TESTS_SUPPORT_CLOSING_H_
#define GYRE_TESTS_SUPPORT_CLOSING_H_

#include <mutex>
#include <optional>

#include "gyre/runtime/scope.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/stop_handle.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/time.h"
#include "gyre/runtime/with_scope.h"

namespace gyre::testing {

class Closing {
 public:
  void Close() {
    const std::lock_guard lock(mutex_);
    is_closed_ = true;
    if (stop_.has_value()) stop_->RequestStop();
  }

  Task<> Wait() {
    auto body = [this](Scope& scope) -> Task<> {
      if (Begin(scope)) co_await SleepFor(kForever);
    };
    co_await WithScope(body);
  }

 private:
  // False: it is closed already.
  bool Begin(Scope& scope) {
    const std::lock_guard lock(mutex_);
    if (!is_closed_) stop_ = scope.stop_handle();
    return !is_closed_;
  }

  std::mutex mutex_;
  bool is_closed_ = false;
  std::optional<StopHandle> stop_;
};

}  // namespace gyre::testing

#endif  // GYRE_TESTS_SUPPORT_CLOSING_H_
