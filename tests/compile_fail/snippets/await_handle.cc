// must fail: gyre: to wait for a spawned task, co_await handle.Join()
#include "gyre/runtime/scope.h"

gyre::Task<> Caller(gyre::TaskHandle<> handle) { co_await handle; }
