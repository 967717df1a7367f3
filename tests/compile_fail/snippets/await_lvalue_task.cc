// must fail: a Task is awaited once
#include "gyre/runtime/task.h"

gyre::Task<int> Caller(gyre::Task<int> task) {
  const int first = co_await task;
  co_return first;
}
