#include "gyre/tests/support/scope_program.h"

#include <algorithm>
#include <array>
#include <utility>

#include "gyre/runtime/internal/rng.h"

namespace gyre::testing {
namespace {

const char* NameOf(NodeKind kind) {
  static constexpr std::array kNames = {
      "sleep", "yield",  "receive",  "stubborn", "throw",     "fail",    "stop scope", "stop task", "join",
      "move",  "ask",    "sequence", "scope",    "supervise", "spawn",   "start",      "all",       "all outcomes",
      "any",   "any ok", "timeout",  "move on",  "shield",    "cleanup", "as outcome", "catch",
  };
  return kNames[static_cast<size_t>(kind)];
}

class Generator {
 public:
  Generator(uint64_t seed, Times times)
      : rng_(seed), times_(times), budget_(4 + static_cast<int>(rng_.Below(kNodesMax - 4))) {}

  Node Program() { return Scope(NodeKind::kScope, 0); }

 private:
  static constexpr int kDepthMax = 12;
  static constexpr int kNodesMax = 45;  // about; more would spend the budget of one resumption

  // What is around the node in hand and can be named by it.
  struct Around {
    int id;
    bool is_scope;
  };

  struct Weight {
    NodeKind kind;
    uint64_t weight;
  };
  static constexpr std::array<Weight, 11> kLeaves = {{{NodeKind::kSleep, 40},
                                                      {NodeKind::kYield, 8},
                                                      {NodeKind::kReceive, 8},
                                                      {NodeKind::kStubborn, 7},
                                                      {NodeKind::kThrow, 8},
                                                      {NodeKind::kFail, 6},
                                                      {NodeKind::kStopScope, 10},
                                                      {NodeKind::kStopTask, 10},
                                                      {NodeKind::kJoin, 8},
                                                      {NodeKind::kMove, 6},
                                                      {NodeKind::kAsk, 3}}};
  static constexpr std::array<Weight, 15> kCompounds = {{{NodeKind::kSequence, 4},
                                                         {NodeKind::kScope, 14},
                                                         {NodeKind::kSupervise, 7},
                                                         {NodeKind::kSpawn, 30},
                                                         {NodeKind::kStart, 8},
                                                         {NodeKind::kAll, 6},
                                                         {NodeKind::kAllOutcomes, 5},
                                                         {NodeKind::kAny, 6},
                                                         {NodeKind::kAnyOk, 5},
                                                         {NodeKind::kTimeout, 9},
                                                         {NodeKind::kMoveOn, 5},
                                                         {NodeKind::kShield, 8},
                                                         {NodeKind::kCleanup, 8},
                                                         {NodeKind::kAsOutcome, 10},
                                                         {NodeKind::kCatch, 5}}};

  template <size_t kSize>
  NodeKind Pick(const std::array<Weight, kSize>& weights) {
    uint64_t sum = 0;
    for (const Weight& each : weights) sum += each.weight;
    uint64_t left = rng_.Below(sum);
    for (const Weight& each : weights) {
      if (left < each.weight) return each.kind;
      left -= each.weight;
    }
    return weights[0].kind;
  }

  Node New(NodeKind kind) {
    Node node;
    node.kind = kind;
    node.id = ++last_id_;
    --budget_;
    return node;
  }
  int64_t Time() {
    if (times_ == Times::kEqual) return static_cast<int64_t>(rng_.Below(5)) * 1'000'000;
    return 1 + static_cast<int64_t>(rng_.Below(1'000'000'000));
  }
  int64_t Limit() {
    if (rng_.Chance(1, 4)) return rng_.Chance(1, 2) ? 0 : kNoLimit;
    return Time();
  }
  int AnyOf(const std::vector<int>& ids) { return ids.empty() ? 0 : ids[rng_.Below(ids.size())]; }
  // Of the scopes or the deadlines around, mostly the innermost; 0: there is none.
  int AnyAround(bool is_scope) {
    std::vector<int> ids;
    for (const Around& around : around_) {
      if (around.is_scope == is_scope) ids.push_back(around.id);
    }
    return !ids.empty() && rng_.Chance(2, 3) ? ids.back() : AnyOf(ids);
  }

  Node Any(int depth) {
    if (budget_ <= 0 || depth >= kDepthMax || rng_.Chance(2, 5)) return Leaf(Pick(kLeaves));
    const NodeKind kind = Pick(kCompounds);
    if (kind == NodeKind::kSpawn || kind == NodeKind::kStart) return Spawn(kind, depth);
    if (kind == NodeKind::kScope || kind == NodeKind::kSupervise) return Scope(kind, depth);
    if (kind == NodeKind::kSequence) return Sequence(depth, 1 + rng_.Below(4));
    Node node = New(kind);
    node.time = kind == NodeKind::kShield || kind == NodeKind::kCleanup ? Limit() : Time();
    const bool is_deadline = kind == NodeKind::kTimeout || kind == NodeKind::kMoveOn;
    node.flag = is_deadline && rng_.Chance(1, 2);
    if (node.flag) around_.push_back(Around{node.id, /*is_scope=*/false});
    size_t parts = 1;
    if (NodeKind::kAll <= kind && kind <= NodeKind::kAnyOk) parts = rng_.Below(4);
    if (kind == NodeKind::kCleanup) parts = 2;
    for (size_t i = 0; i < parts; ++i) node.parts.push_back(Any(depth + 1));
    if (node.flag) around_.pop_back();
    return node;
  }

  Node Leaf(NodeKind kind) {
    Node node = New(kind);
    node.time = Time();
    node.other_time = Time();
    node.flag = rng_.Chance(1, 2);
    if (kind == NodeKind::kStopScope) node.target = AnyAround(/*is_scope=*/true);
    if (kind == NodeKind::kStopTask) node.target = AnyOf(begun_);
    // Only tasks that are complete before this node in the text: so nobody waits in a circle.
    if (kind == NodeKind::kJoin) node.target = AnyOf(complete_);
    if (kind == NodeKind::kMove) node.target = AnyAround(/*is_scope=*/false);
    if (kind == NodeKind::kMove && node.target == 0) node.kind = NodeKind::kSleep;
    return node;
  }

  Node Sequence(int depth, size_t parts) {
    Node node = New(NodeKind::kSequence);
    node.flag = rng_.Chance(1, 2);
    for (size_t i = 0; i < parts; ++i) node.parts.push_back(Any(depth + 1));
    return node;
  }

  Node Scope(NodeKind kind, int depth) {
    Node node = New(kind);
    node.flag = rng_.Chance(1, 4);
    around_.push_back(Around{node.id, /*is_scope=*/true});
    node.parts.push_back(Sequence(depth + 1, 1 + rng_.Below(depth == 0 ? 7 : 4)));
    around_.pop_back();
    return node;
  }

  // The child may outlive all that is inside its scope.
  Node Spawn(NodeKind kind, int depth) {
    Node node = New(kind);
    node.target = AnyAround(/*is_scope=*/true);
    if (kind == NodeKind::kSpawn) begun_.push_back(node.id);
    const std::vector<Around> around = around_;
    while (around_.back().id != node.target) around_.pop_back();
    node.parts.push_back(Any(depth + 1));
    if (kind == NodeKind::kStart) node.parts.push_back(Any(depth + 1));
    around_ = around;
    if (kind == NodeKind::kSpawn) complete_.push_back(node.id);
    return node;
  }

  internal::Rng rng_;
  const Times times_;
  int budget_;
  int last_id_ = 0;
  std::vector<Around> around_;  // from outside in
  std::vector<int> begun_;      // all spawns so far
  std::vector<int> complete_;   // ... whose child is generated
};

void Append(const Node& node, int depth, std::string& text) {
  text.append(static_cast<size_t>(2 * depth), ' ');
  text += std::to_string(node.id) + " " + NameOf(node.kind);
  if (node.target != 0) text += " (" + std::to_string(node.target) + ")";
  if (node.kind != NodeKind::kSequence) {
    if (node.time == kNoLimit) text += " no limit";
    if (node.time != 0 && node.time != kNoLimit) text += " " + std::to_string(node.time);
  }
  if (node.kind == NodeKind::kStubborn) text += " then " + std::to_string(node.other_time);
  if (node.flag) text += " *";
  text += "\n";
  for (const Node& part : node.parts) Append(part, depth + 1, text);
}

// --- shrinking

// A program is kept as it is but for one node, by its position in the text.
Node* Find(Node& node, int& position) {
  if (position-- == 0) return &node;
  for (Node& part : node.parts) {
    if (Node* found = Find(part, position)) return found;
  }
  return nullptr;
}

// Each node names only what is around it.
bool IsValid(const Node& node, std::vector<int> around) {
  const bool is_spawn = node.kind == NodeKind::kSpawn || node.kind == NodeKind::kStart;
  if (is_spawn || node.kind == NodeKind::kStopScope || node.kind == NodeKind::kMove) {
    const auto found = std::find(around.begin(), around.end(), node.target);
    if (found == around.end()) return false;
    if (is_spawn) around.erase(found + 1, around.end());
  }
  const bool is_scope = node.kind == NodeKind::kScope || node.kind == NodeKind::kSupervise;
  const bool is_deadline = node.kind == NodeKind::kTimeout || node.kind == NodeKind::kMoveOn;
  if (is_scope || (is_deadline && node.flag)) around.push_back(node.id);
  return std::all_of(node.parts.begin(), node.parts.end(), [&](const Node& part) { return IsValid(part, around); });
}

bool MayLosePart(NodeKind kind) {
  return kind == NodeKind::kSequence || (NodeKind::kAll <= kind && kind <= NodeKind::kAnyOk);
}

// Simpler forms of the node at hand.
std::vector<Node> Simpler(const Node& node) {
  std::vector<Node> forms;
  if (MayLosePart(node.kind)) {
    for (size_t i = 0; i < node.parts.size(); ++i) {
      forms.push_back(node);
      forms.back().parts.erase(forms.back().parts.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  for (const Node& part : node.parts) forms.push_back(part);
  if (!node.parts.empty() && node.kind != NodeKind::kScope) {
    forms.emplace_back();
    forms.back().id = node.id;
  }
  for (const int64_t time : {int64_t{0}, node.time % 1000, node.time / 2}) {
    if (node.time == kNoLimit || node.time <= time) continue;
    forms.push_back(node);
    forms.back().time = time;
  }
  if (node.other_time != 0) {
    forms.push_back(node);
    forms.back().other_time = 0;
  }
  if (node.flag) {
    forms.push_back(node);
    forms.back().flag = false;
  }
  return forms;
}

bool ShrinkOnce(Node& program, const std::function<bool(const Node&)>& fails) {
  for (int position = 0;; ++position) {
    int at = position;
    const Node* const node = Find(program, at);
    if (node == nullptr) return false;
    for (Node& form : Simpler(*node)) {
      Node candidate = program;
      at = position;
      *Find(candidate, at) = std::move(form);
      if (candidate.kind != NodeKind::kScope || !IsValid(candidate, {}) || !fails(candidate)) continue;
      program = std::move(candidate);
      return true;
    }
  }
}

}  // namespace

Node MakeProgram(uint64_t seed, Times times) { return Generator(seed, times).Program(); }

int IdLimit(const Node& program) {
  int limit = program.id + 1;
  for (const Node& part : program.parts) limit = std::max(limit, IdLimit(part));
  return limit;
}

std::string ToText(const Node& program) {
  std::string text;
  Append(program, 0, text);
  return text;
}

std::string ToText(const EventLog& log) {
  std::string text;
  for (const Event& event : log) {
    text += "at " + std::to_string(event.time) + " node " + std::to_string(event.node) + ": " + event.text + "\n";
  }
  return text;
}

Node Shrink(Node program, const std::function<bool(const Node&)>& fails) {
  while (ShrinkOnce(program, fails)) continue;
  return program;
}

}  // namespace gyre::testing
