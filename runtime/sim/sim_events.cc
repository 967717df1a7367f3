#include "gyre/runtime/sim/sim_events.h"

namespace gyre::internal {

uint32_t SimEvents::AddHandler(SimEventHandler& handler) {
  handlers_.push_back(&handler);
  return static_cast<uint32_t>(handlers_.size() - 1);
}

void SimEvents::Schedule(TimePoint when, uint32_t handler, uint32_t kind, uint64_t to, uint64_t from, uint64_t count) {
  pending_.push(SimEvent{when, ++last_sequence_, handler, kind, to, from, count});
}

bool SimEvents::DeliverOne() {
  if (next() > now_) return false;
  const SimEvent event = pending_.top();
  pending_.pop();
  SimEventHandler* const handler = handlers_[event.handler];
  if (handler == nullptr) return true;
  trace_.Mix(static_cast<uint64_t>(event.when.time_since_epoch().count()));
  trace_.Mix(event.kind);
  trace_.Mix(event.to);
  trace_.Mix(event.count);
  handler->OnSimEvent(event);
  return true;
}

}  // namespace gyre::internal
