// must fail: gyre: what a Broadcast carries is copied for each subscriber, and moves without throwing: use std::shared_ptr
// must fail: gyre: who looks at a Watch gets a copy: use std::shared_ptr
#include <memory>

#include "gyre/sync/broadcast.h"
#include "gyre/sync/watch.h"

gyre::Broadcast<std::unique_ptr<int>> broadcast(1);
gyre::Watch<std::unique_ptr<int>> watch(nullptr);
