// Random programs of structured concurrency, as data: what the model (scope_model.h) and gyre (scope_interpreter.h)
// both run.
//
// A program is a tree. Each node runs at most once and ends with a value, a bad status, an exception, or stopped.
// Scopes, spawned tasks and errors are known by the id of their node.
//
// Thread-safety: values.
#ifndef GYRE_TESTS_SUPPORT_SCOPE_PROGRAM_H_
#define GYRE_TESTS_SUPPORT_SCOPE_PROGRAM_H_

#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace gyre::testing {

enum class NodeKind : uint8_t {
  // Leaves.
  kSleep,      // `time`
  kYield,      //
  kReceive,    // waits for `time`; what has come is delivered, also if a stop comes on top (D5: bytes, an item)
  kStubborn,   // waits for `time`; a stop takes `other_time` to have its effect; `flag`: delivers all the same
  kThrow,      // an exception
  kFail,       // a bad status
  kStopScope,  // RequestStop on the scope `target`, which is around this node
  kStopTask,   // RequestStop through the handle of the task `target`, if that was spawned
  kJoin,       // Join of the task `target`, if that was spawned
  kMove,       // moves the deadline `target`, which is around this node, to `time` from now; `flag`: to never
  kAsk,        // notes the deadline that holds here
  // All parts in order; a bad status ends it. `flag`: by Try.
  kSequence,
  kScope,      // WithScope; part 0 is the body. `flag`: a body that returns void
  kSupervise,  // the same with an on_error; with `flag` it throws
  kSpawn,      // part 0 as a child of the scope `target`, which is around this node
  kStart,      // the same with Start: the caller goes on when the child has run part 0; then it runs part 1
  // Several parts at once.
  kAll,
  kAllOutcomes,
  kAny,
  kAnyOk,
  // Around part 0.
  kTimeout,    // `time`; `flag`: can be moved
  kMoveOn,     // the same
  kShield,     // `time` is the limit; kNoLimit
  kCleanup,    // part 1 is the clean-up, `time` its grace
  kAsOutcome,  // its end is noted, and the value goes on
  kCatch,      // exceptions and bad statuses end here
};

inline constexpr int64_t kNoLimit = INT64_MAX;

struct Node {
  NodeKind kind = NodeKind::kSequence;
  int id = 0;
  int target = 0;  // the id of a scope or of a spawn
  bool flag = false;
  int64_t time = 0;  // ns
  int64_t other_time = 0;
  std::vector<Node> parts;
};

enum class Times : uint8_t {
  kDistinct,  // two timers hardly ever expire together
  kEqual,     // ... often
};

// The same seed gives the same program. Its root is a scope.
Node MakeProgram(uint64_t seed, Times times);

// The ids of all nodes are below this.
int IdLimit(const Node& program);

// One line for each node.
std::string ToText(const Node& program);

// What a run of a program saw.
struct Event {
  int64_t time;  // ns since the start
  int node;      // 0: the unhandled-error hook
  std::string text;
  auto operator<=>(const Event&) const = default;
};
using EventLog = std::vector<Event>;

std::string ToText(const EventLog& log);

// A smaller program for which `fails` holds too: parts are taken out, replaced by theirs, and times made short, one by
// one, as long as that is possible.
Node Shrink(Node program, const std::function<bool(const Node&)>& fails);

}  // namespace gyre::testing

#endif  // GYRE_TESTS_SUPPORT_SCOPE_PROGRAM_H_
