// must fail: co_await Try(...) needs a coroutine that returns Task<absl::Status> or Task<absl::StatusOr<T>>
#include "gyre/runtime/try.h"

gyre::Task<int> Caller() {
  co_await gyre::Try(absl::OkStatus());
  co_return 1;
}
