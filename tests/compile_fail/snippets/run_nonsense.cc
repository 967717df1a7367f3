// must fail: Run takes an awaitable, a callable that gives one, or a callable that takes a Scope&
#include "gyre/runtime/run.h"

int main() { gyre::Run(42); }
