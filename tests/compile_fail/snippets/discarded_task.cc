// must fail: a Task does nothing until it is awaited or spawned
#include "gyre/runtime/task.h"

gyre::Task<> Work() { co_return; }

gyre::Task<> Caller() {
  Work();
  co_return;
}
