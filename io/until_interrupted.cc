#include "gyre/io/until_interrupted.h"

#include "gyre/runtime/stop_reason.h"

namespace gyre::internal {

Task<> StopAtSignal(std::reference_wrapper<SignalWatcher> signals, std::reference_wrapper<Scope> scope) {
  const int number = co_await signals.get().Next();
  {
    const SignalWatcher given_back = std::move(signals.get());
  }
  scope.get().RequestStop(StopReason::Static(number == SIGINT ? "interrupted by SIGINT" : "interrupted by SIGTERM"));
}

}  // namespace gyre::internal
