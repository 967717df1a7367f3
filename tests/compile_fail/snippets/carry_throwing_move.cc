// must fail: gyre: what a Channel carries must move without throwing, or it could get lost half-way: use std::unique_ptr
// must fail: gyre: what a Oneshot carries must move without throwing: use std::unique_ptr
// must fail: gyre: what a PriorityQueue holds must move without throwing: use std::unique_ptr
// must fail: gyre: what a Broadcast carries is copied for each subscriber, and moves without throwing: use std::shared_ptr
#include "gyre/sync/broadcast.h"
#include "gyre/sync/channel.h"
#include "gyre/sync/oneshot.h"
#include "gyre/sync/priority_queue.h"

struct Fragile {
  Fragile() = default;
  Fragile(const Fragile&) {}
  Fragile(Fragile&&) {}  // may throw
  Fragile& operator=(const Fragile&) = default;
};
struct ByNothing {
  bool operator()(const Fragile&, const Fragile&) const { return false; }
};

gyre::Channel<Fragile> channel(1);
gyre::Oneshot<Fragile> oneshot;
gyre::PriorityQueue<Fragile, ByNothing> queue;
gyre::Broadcast<Fragile> broadcast(1);
