// must fail: a spawned callable and its arguments must not be aligned to more than 64 bytes
#include "gyre/runtime/scope.h"

struct alignas(128) Wide {
  char bytes[128];
};

gyre::Task<> Use(Wide) { co_return; }

void Start(gyre::Scope& scope) { scope.Spawn(Use, Wide()); }
