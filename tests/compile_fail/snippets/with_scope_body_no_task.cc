// must fail: ScopeBody
#include "gyre/runtime/with_scope.h"

gyre::Task<> Caller() {
  auto body = [](gyre::Scope&) { return 1; };
  co_await gyre::WithScope(body);
}
