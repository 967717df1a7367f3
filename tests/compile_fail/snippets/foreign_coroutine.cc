// must fail: PromiseBase
#include <coroutine>

#include "gyre/runtime/task.h"

struct Foreign {
  struct promise_type {
    Foreign get_return_object() { return Foreign(); }
    std::suspend_never initial_suspend() { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() {}
  };
};

gyre::Task<> Work() { co_return; }
Foreign Caller() { co_await Work(); }
