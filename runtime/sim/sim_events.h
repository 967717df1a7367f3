// SimEvents: a simulated world's clock, and what will happen in it.
//
// Events come in order of (time, insertion), so that those of one connection, scheduled in order, stay in order. Each
// one delivered is mixed into the trace hash: two runs with equal hashes took the same course.
//
// Thread-safety: none; the simulation's thread.
// Lifetime:      a handler that has been removed gets no more events, its pending ones are skipped.
// Cost:          O(log n) for each event.
#ifndef GYRE_RUNTIME_SIM_SIM_EVENTS_H_
#define GYRE_RUNTIME_SIM_SIM_EVENTS_H_

#include <chrono>
#include <cstdint>
#include <queue>
#include <vector>

#include "gyre/runtime/time.h"

namespace gyre::internal {

// What `kind` and the numbers mean is the handler's business.
struct SimEvent {
  TimePoint when;
  uint64_t sequence;
  uint32_t handler;
  uint32_t kind;
  uint64_t to;
  uint64_t from;
  uint64_t count;
};

class SimEventHandler {
 public:
  virtual void OnSimEvent(const SimEvent& event) = 0;

 protected:
  ~SimEventHandler() = default;
};

class TraceHash {
 public:
  void Mix(uint64_t value) {
    hash_ = (hash_ ^ value) * 0x9E3779B97F4A7C15;
    hash_ ^= hash_ >> 29;
  }
  uint64_t value() const { return hash_; }

 private:
  uint64_t hash_ = 0x6779726573696D21;
};

class SimEvents {
 public:
  // Not the epoch, which means "at once" to a backend.
  static constexpr TimePoint kStart{std::chrono::hours(1)};

  SimEvents() = default;
  SimEvents(const SimEvents&) = delete;
  SimEvents& operator=(const SimEvents&) = delete;

  TimePoint now() const { return now_; }
  const TraceHash& trace() const { return trace_; }
  // For what happens without an event: which loop has a turn.
  void Note(uint64_t choice) { trace_.Mix(choice); }

  uint32_t AddHandler(SimEventHandler& handler);
  void RemoveHandler(uint32_t handler) { handlers_[handler] = nullptr; }

  void Schedule(TimePoint when, uint32_t handler, uint32_t kind, uint64_t to, uint64_t from = 0, uint64_t count = 0);

  // When the first event is due; kNever if there is none.
  TimePoint next() const { return pending_.empty() ? kNever : pending_.top().when; }

  // Delivers the first event if its time has come.
  bool DeliverOne();

  // Time never goes backwards.
  void AdvanceTo(TimePoint when) {
    if (when > now_) now_ = when;
  }

 private:
  struct IsLater {
    bool operator()(const SimEvent& a, const SimEvent& b) const {
      return a.when != b.when ? a.when > b.when : a.sequence > b.sequence;
    }
  };

  TimePoint now_ = kStart;
  uint64_t last_sequence_ = 0;
  TraceHash trace_;
  std::vector<SimEventHandler*> handlers_;
  std::priority_queue<SimEvent, std::vector<SimEvent>, IsLater> pending_;
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_SIM_SIM_EVENTS_H_
