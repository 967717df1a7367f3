// must fail on clang: ignoring return value
// must fail on gcc: ignoring returned value
#include <chrono>

#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"

gyre::Task<> Caller() {
  gyre::SleepFor(std::chrono::seconds(1));
  co_return;
}
