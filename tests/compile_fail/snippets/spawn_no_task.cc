// must fail: Spawnable
#include "gyre/runtime/scope.h"

void Caller(gyre::Scope& scope) {
  scope.Spawn([] { return 1; });
}
