// must fail: the body of WithScope or Supervise returns Task<void>, Task<absl::Status> or Task<absl::StatusOr<T>>
#include "gyre/runtime/with_scope.h"

gyre::Task<> Caller() {
  auto body = [](gyre::Scope&) -> gyre::Task<int> { co_return 1; };
  co_await gyre::WithScope(body);
}
