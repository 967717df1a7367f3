// Long, but one thing: the rules need one another, as what they say of does. From the top: the loop, stops, waits, then
// one function or a few for each kind of node.
#include "gyre/tests/support/scope_model.h"

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gyre/runtime/internal/rng.h"

namespace gyre::testing {
namespace {

// How something has ended.
struct End {
  enum Kind : uint8_t { kValue, kStatus, kThrow, kStopped };
  Kind kind = kValue;
  std::string what;

  bool is_stopped() const { return kind == kStopped; }
  bool is_failure() const { return kind == kStatus || kind == kThrow; }
  std::string Text() const {
    static constexpr const char* kWords[] = {"value", "status ", "throw ", "stopped"};
    return kWords[kind] + what;
  }
};
End Value() { return End(); }
End Stopped() { return End{End::kStopped, ""}; }
End Status(std::string what) { return End{End::kStatus, std::move(what)}; }
End Throw(std::string what) { return End{End::kThrow, std::move(what)}; }

using Then = std::function<void(const End&)>;
using Callback = std::function<void()>;

// Where one thing at a time runs, and a stop can be asked for; or a group of such.
struct Strand {
  Strand* parent = nullptr;
  std::vector<Strand*> below;  // in order of arrival
  bool is_asked = false;       // to stop, here
  bool is_shield = false;      // stops from above stay out
  bool is_open = false;        // ... no longer
  bool is_told = false;        // ... one has come
  Callback on_told;            // of a shield
  Callback on_stop;            // of what waits here; gone once called, or when the wait has ended
  std::optional<int64_t> deadline;
  const std::string* task = nullptr;  // the name, if this is a spawned task
};

// One wait of a strand.
struct Leaf {
  Strand* strand;
  Then then;
  bool delivers;  // a result that has come is given even if a stop comes on top
};
using LeafPtr = std::shared_ptr<Leaf>;

struct ScopeState {
  const Node* node;
  Strand* owner;
  Then then;
  Strand* group;
  Strand* body;
  size_t live = 0;
  bool is_body_done = false;
  bool is_closed = false;
  bool was_child_stopped = false;
  End body_end;
  std::optional<End> failure;
};

struct StartState {
  ScopeState* scope;
  Strand* owner;
  Then then;
  bool is_handed_over = false;
};

struct TaskState {
  Strand* strand;
  std::string name;
  ScopeState* scope;            // null while it is being started
  StartState* start = nullptr;  // of one begun with Start
  bool is_starting = false;     // on behalf of a joiner
  bool has_ended = false;       // ... and was not told to anybody yet
  bool is_done = false;
  End end;
  std::vector<LeafPtr> joiners;
};

struct DeadlineState {
  Strand* inner;
  std::pair<int64_t, int64_t> timer;
  bool is_expired = false;
};

struct GroupState {
  const Node* node;
  Strand* owner;
  Then then;
  Strand* group;
  std::vector<End> slots;
  size_t running = 0;
  bool is_starting = false;
  bool is_decided = false;
  bool was_stopped = false;
  std::optional<size_t> winner;
  std::optional<End> failure;
  size_t next_part = 0;
};

struct Ready {
  Callback callback;
  TaskState* task = nullptr;  // that it starts
};

class Model {
 public:
  Model(const Node& program, uint64_t order, Mistake mistake)
      : program_(program),
        mistake_(mistake),
        scopes_(static_cast<size_t>(IdLimit(program))),
        tasks_(scopes_.size()),
        deadlines_(scopes_.size()) {
    if (order != 0) rng_.emplace(order);
  }

  EventLog Run() {
    Strand* const root = NewStrand(nullptr);
    Push([this, root] { Eval(program_, *root, [this](const End&) { is_over_ = true; }); });
    for (int turns = 0; !is_over_ && turns < kTurnsMax; ++turns) Turn();
    if (!is_over_) Note(0, "endless");
    return std::move(log_);
  }

 private:
  static constexpr int kTurnsMax = 100'000;

  bool Is(Mistake mistake) const { return mistake_ == mistake; }

  // --- the loop: what is ready, then timers, then time

  void Push(Callback callback, TaskState* task = nullptr) { ready_.push_back(Ready{std::move(callback), task}); }
  // Next after what runs now; the one that was to be next goes to the end.
  void PushNext(Callback callback) {
    if (next_) Push(std::move(next_));
    next_ = std::move(callback);
  }
  // When what runs now is suspended.
  void Soon(Callback callback) { soon_.push_back(std::move(callback)); }

  void Turn() {
    if (rng_.has_value()) {
      RunAnyReady();
    } else {
      RunReady();
    }
    if (is_over_) return;
    FireTimers();
    if (ready_.empty() && !next_ && !timers_.empty()) now_ = timers_.begin()->first.first;
  }

  void RunReady() {
    batch_ = std::exchange(ready_, {});
    int in_a_row = 0;
    while (!is_over_) {
      Callback callback = std::exchange(next_, nullptr);
      if (!callback || ++in_a_row > 3) {
        if (callback) Push(std::move(callback));
        in_a_row = 0;
        if (batch_.empty()) break;
        callback = std::move(batch_.front().callback);
        batch_.pop_front();
      }
      RunToSuspension(callback);
    }
  }
  // Some of what is ready, in any order.
  void RunAnyReady() {
    if (next_) Push(std::exchange(next_, nullptr));
    while (!ready_.empty() && !is_over_) {
      std::swap(ready_[rng_->Below(ready_.size())], ready_.back());
      const Callback callback = std::move(ready_.back().callback);
      ready_.pop_back();
      RunToSuspension(callback);
      if (next_) Push(std::exchange(next_, nullptr));
      if (rng_->Chance(1, 4)) break;
    }
  }
  void RunToSuspension(const Callback& callback) {
    callback();
    for (;;) {
      while (!soon_.empty()) {
        const Callback next = std::move(soon_.front());
        soon_.pop_front();
        next();
      }
      if (starting_.empty()) return;
      StartMore(*starting_.back());
    }
  }
  // Takes out what starts `task`, if it is what would run next.
  Callback TakeIfNext(const TaskState& task) {
    if (next_) return nullptr;
    const bool is_any_order = rng_.has_value();
    if (is_any_order && rng_->Chance(1, 2)) return nullptr;
    std::deque<Ready>& queue = batch_.empty() ? ready_ : batch_;
    auto found = queue.begin();
    while (is_any_order && found != queue.end() && found->task != &task) ++found;
    if (found == queue.end() || found->task != &task) return nullptr;
    const Callback callback = std::move(found->callback);
    queue.erase(found);
    return callback;
  }

  using TimerKey = std::pair<int64_t, int64_t>;  // time, order of insertion
  TimerKey After(int64_t wait, Callback callback) {
    ++timer_count_;
    const TimerKey key(now_ + wait, Is(Mistake::kLatestTimerFirst) ? -timer_count_ : timer_count_);
    timers_[key] = std::move(callback);
    return key;
  }
  void FireTimers() {
    std::vector<TimerKey> due;
    for (const auto& [key, callback] : timers_) {
      if (key.first <= now_) due.push_back(key);
    }
    for (const TimerKey& key : due) {
      const auto found = timers_.find(key);
      if (found == timers_.end()) continue;  // by one of the others
      const Callback callback = std::move(found->second);
      timers_.erase(found);
      RunToSuspension(callback);
    }
  }

  void Note(int node, std::string text) { log_.push_back(Event{now_, node, std::move(text)}); }
  void ReportUnhandled(const std::string& name, const std::string& what) { Note(0, name + ": " + what); }

  // --- stops

  Strand* NewStrand(Strand* parent) {
    Strand* const strand = &strands_.emplace_back();
    strand->parent = parent;
    if (parent != nullptr) parent->below.push_back(strand);
    return strand;
  }
  // A stop holds for everything below it but behind shields.
  static bool IsStopped(const Strand& strand) {
    for (const Strand* at = &strand; at != nullptr; at = at->parent) {
      if (at->is_asked) return true;
      if (at->is_shield && !at->is_open) return false;
    }
    return false;
  }
  void RequestStop(Strand& strand) {
    if (std::exchange(strand.is_asked, true)) return;
    Tell(strand);
  }
  // Whatever waits below hears once of the stop. Nothing is resumed.
  void Tell(Strand& strand) {
    if (!IsStopped(strand)) {  // a shield
      if (!std::exchange(strand.is_told, true)) strand.on_told();
      return;
    }
    if (const Callback on_stop = std::exchange(strand.on_stop, nullptr)) on_stop();
    for (Strand* below : strand.below) Tell(*below);
  }
  const std::string& NearestTask(const Strand& strand) {
    static const std::string kNone;
    for (const Strand* at = &strand; at != nullptr; at = at->parent) {
      if (at->task != nullptr) return *at->task;
    }
    return kNone;
  }

  // --- leaves

  // Null in a stopped strand: nothing is tried there.
  LeafPtr NewLeaf(Strand& strand, bool delivers, Then then) {
    if (IsStopped(strand) && !Is(Mistake::kStopIsAnEdge)) {
      Push([then] { then(Stopped()); });
      return nullptr;
    }
    return std::make_shared<Leaf>(Leaf{&strand, std::move(then), delivers});
  }
  static Callback Resume(const LeafPtr& leaf) {
    leaf->strand->on_stop = nullptr;
    return [leaf] { leaf->then(!leaf->delivers && IsStopped(*leaf->strand) ? Stopped() : Value()); };
  }
  void Complete(const LeafPtr& leaf) { Push(Resume(leaf)); }
  void CompleteStopped(const LeafPtr& leaf) {
    leaf->strand->on_stop = nullptr;
    Push([leaf] { leaf->then(Stopped()); });
  }

  void Sleep(const Node& node, Strand& strand, Then then) {
    const LeafPtr leaf = NewLeaf(strand, Is(Mistake::kSleepIsDelivered), std::move(then));
    if (leaf == nullptr) return;
    if (node.time == 0 || node.kind == NodeKind::kYield) return Complete(leaf);
    WaitFor(node.time, leaf);
  }
  void Receive(const Node& node, Strand& strand, Then then) {
    const LeafPtr leaf = NewLeaf(strand, !Is(Mistake::kDeliveredDataIsLost), std::move(then));
    if (leaf != nullptr) WaitFor(node.time, leaf);
  }
  void WaitFor(int64_t time, const LeafPtr& leaf) {
    const TimerKey timer = After(time, [this, leaf] { Complete(leaf); });
    leaf->strand->on_stop = [this, leaf, timer] {
      timers_.erase(timer);
      CompleteStopped(leaf);
    };
  }
  void Stubborn(const Node& node, Strand& strand, Then then) {
    const LeafPtr leaf = NewLeaf(strand, /*delivers=*/true, std::move(then));
    if (leaf == nullptr) return;
    const TimerKey timer = After(node.time, [this, leaf] { Complete(leaf); });
    leaf->strand->on_stop = [this, leaf, timer, &node] {
      timers_.erase(timer);
      Note(node.id, "asked");
      After(node.other_time, [this, leaf, &node] { node.flag ? Complete(leaf) : CompleteStopped(leaf); });
    };
  }
  void Join(const Node& node, Strand& strand, Then then) {
    TaskState* const task = tasks_[static_cast<size_t>(node.target)];
    if (task == nullptr) return then(Value());  // not spawned
    auto note = [this, &node, task, then](const End& end) {
      if (!end.is_stopped()) Note(node.id, "joined " + task->end.Text());
      then(end);
    };
    const LeafPtr leaf = NewLeaf(strand, /*delivers=*/false, note);
    if (leaf == nullptr) return;
    if (task->is_done) return leaf->then(Value());
    StartIfNext(*task);
    if (task->is_done) return IsStopped(strand) ? CompleteStopped(leaf) : leaf->then(Value());
    task->joiners.push_back(leaf);
    strand.on_stop = [this, leaf, task] {
      std::erase(task->joiners, leaf);
      CompleteStopped(leaf);
      if (Is(Mistake::kJoinerStopsTheTask)) RequestStop(*task->strand);
    };
    if (IsStopped(strand)) std::exchange(strand.on_stop, nullptr)();  // by what the task did when it started
  }
  void StartIfNext(TaskState& task) {
    if (!task.joiners.empty()) return;
    const Callback start = TakeIfNext(task);
    if (!start) return;
    task.is_starting = true;
    start();
    task.is_starting = false;
    if (task.has_ended) FinishTask(task);
  }

  // --- nodes

  void Eval(const Node& node, Strand& strand, const Then& then) {
    Note(node.id, "begins");
    Begin(node, strand, [this, &node, then](const End& end) {
      Note(node.id, end.Text());
      then(end);
    });
  }

  void Begin(const Node& node, Strand& strand, Then then) {
    switch (node.kind) {
      case NodeKind::kSleep:
      case NodeKind::kYield:
        return Sleep(node, strand, std::move(then));
      case NodeKind::kReceive:
        return Receive(node, strand, std::move(then));
      case NodeKind::kStubborn:
        return Stubborn(node, strand, std::move(then));
      case NodeKind::kThrow:
        return then(Throw("e" + std::to_string(node.id)));
      case NodeKind::kFail:
        return then(Status("s" + std::to_string(node.id)));
      case NodeKind::kStopScope:
        RequestStop(*scopes_[static_cast<size_t>(node.target)]->group);
        return then(Value());
      case NodeKind::kStopTask:
        StopTask(tasks_[static_cast<size_t>(node.target)]);
        return then(Value());
      case NodeKind::kJoin:
        return Join(node, strand, std::move(then));
      case NodeKind::kMove:
        Move(node);
        return then(Value());
      case NodeKind::kAsk:
        Note(node.id, DeadlineAt(strand));
        return then(Value());
      case NodeKind::kSequence:
        return Sequence(node, 0, strand, std::move(then));
      case NodeKind::kScope:
      case NodeKind::kSupervise:
        return Scope(node, strand, std::move(then));
      case NodeKind::kSpawn:
        Spawn(node);
        return then(Value());
      case NodeKind::kStart:
        return Start(node, strand, std::move(then));
      case NodeKind::kAll:
      case NodeKind::kAllOutcomes:
      case NodeKind::kAny:
      case NodeKind::kAnyOk:
        return Group(node, strand, std::move(then));
      case NodeKind::kTimeout:
      case NodeKind::kMoveOn:
        return Timeout(node, strand, std::move(then));
      case NodeKind::kShield:
        return Shield(node.time, node.parts[0], strand, std::move(then));
      case NodeKind::kCleanup:
        return Cleanup(node, strand, std::move(then));
      case NodeKind::kAsOutcome:
        return AsOutcome(node.parts[0], strand, [this, &node, then](const End& end) {
          Note(node.id, "outcome " + end.Text());
          then(Value());
        });
      case NodeKind::kCatch:
        return Eval(node.parts[0], strand, [then](const End& end) { then(end.is_failure() ? Value() : end); });
    }
  }

  void Sequence(const Node& node, size_t index, Strand& strand, Then then) {
    if (index == node.parts.size()) return then(Value());
    Eval(node.parts[index], strand, [this, &node, index, &strand, then](const End& end) {
      if (end.kind != End::kValue) return then(end);
      Sequence(node, index + 1, strand, then);
    });
  }

  // --- scopes

  void Scope(const Node& node, Strand& strand, Then then) {
    ScopeState* const scope = &scope_states_.emplace_back();
    scope->node = &node;
    scope->owner = &strand;
    scope->then = std::move(then);
    scope->group = NewStrand(&strand);
    scope->body = NewStrand(scope->group);
    scopes_[static_cast<size_t>(node.id)] = scope;
    Eval(node.parts[0], *scope->body, [this, scope](const End& end) {
      auto end_body = [this, scope, end] {
        scope->body_end = VoidForm(*scope->node, end);
        if (end.is_failure()) RecordFailure(*scope, "scope body", scope->body_end);
        scope->is_body_done = true;
        JoinIfDone(*scope);
      };
      if (end.is_stopped()) return end_body();
      Soon(end_body);
    });
  }
  // A body that returns void has no place for a status.
  static End VoidForm(const Node& scope, const End& end) {
    return scope.kind == NodeKind::kScope && scope.flag && end.kind == End::kStatus ? Throw(end.what) : end;
  }

  // The first error stops all and is kept.
  void RecordFailure(ScopeState& scope, const std::string& name, const End& failure) {
    if (Is(Mistake::kErrorIsLostWhileStopping) && IsStopped(*scope.group)) return;
    if (scope.failure.has_value()) {
      if (!Is(Mistake::kFurtherErrorsAreLost)) ReportUnhandled(name, failure.what);
      return;
    }
    scope.failure = failure;
    if (!Is(Mistake::kErrorLeavesSiblingsAlone)) RequestStop(*scope.group);
  }

  void JoinIfDone(ScopeState& scope) {
    const bool waits = scope.live != 0 && !Is(Mistake::kScopeDoesNotWait);
    if (!scope.is_body_done || waits || std::exchange(scope.is_closed, true)) return;
    Soon([this, &scope] { scope.then(ResultOf(scope)); });
  }
  End ResultOf(const ScopeState& scope) const {
    if (scope.failure.has_value()) return VoidForm(*scope.node, *scope.failure);
    const bool was_stopped = scope.body_end.is_stopped() || scope.was_child_stopped;
    if (was_stopped && IsStopped(*scope.owner) && !Is(Mistake::kScopeSwallowsOuterStop)) return Stopped();
    if (!scope.body_end.is_stopped()) return Value();
    if (Is(Mistake::kScopePassesItsOwnStopOn)) return Stopped();
    const bool is_void = scope.node->kind == NodeKind::kScope && scope.node->flag;
    return is_void ? Value() : Status("c" + std::to_string(scope.node->id));
  }

  TaskState& NewTask(Strand& parent, ScopeState& scope) {
    TaskState& task = task_states_.emplace_back();
    task.strand = NewStrand(&parent);
    task.strand->task = &task.name;
    task.scope = &scope;
    ++scope.live;
    return task;
  }
  void Spawn(const Node& node) {
    ScopeState& scope = *scopes_[static_cast<size_t>(node.target)];
    TaskState& task = NewTask(*scope.group, scope);
    task.name = "t" + std::to_string(node.id);
    tasks_[static_cast<size_t>(node.id)] = &task;
    Push([this, &node, &task] {
      Eval(node.parts[0], *task.strand, [this, &task](const End& end) { EndTask(task, end); });
    }, &task);
  }
  void EndTask(TaskState& task, const End& end) {
    task.end = end;
    task.has_ended = true;
    if (!task.is_starting) Soon([this, &task] { FinishTask(task); });
  }
  void FinishTask(TaskState& task) {
    task.is_done = true;
    if (task.start != nullptr && !task.start->is_handed_over) return EndStart(*task.start, *task.scope, task.end);
    TellScope(task);
    if (task.joiners.size() == 1) {
      PushNext(Resume(task.joiners[0]));
    } else {
      for (const LeafPtr& joiner : task.joiners) Complete(joiner);
    }
    task.joiners.clear();
  }
  void TellScope(TaskState& task) {
    ScopeState& scope = *task.scope;
    // One that was stopped through its own handle does not count.
    if (task.end.is_stopped()) {
      if (!task.strand->is_asked) scope.was_child_stopped = true;
      if (task.strand->is_asked && Is(Mistake::kHandleStopIsAnError)) RecordFailure(scope, task.name, Status("stop"));
    }
    if (task.end.is_failure()) {
      if (scope.node->kind == NodeKind::kScope || Is(Mistake::kOnErrorStopsAll)) {
        RecordFailure(scope, task.name, task.end);
      } else {
        Note(scope.node->id, task.name + ": " + task.end.what);
        if (scope.node->flag) ReportUnhandled("", "x" + std::to_string(scope.node->id));
      }
    }
    --scope.live;
    JoinIfDone(scope);
  }
  void StopTask(TaskState* task) {
    if (task != nullptr && !task->is_done) RequestStop(*task->strand);
  }

  // The child is the caller's until it reports; the scope stays open meanwhile.
  void Start(const Node& node, Strand& strand, Then then) {
    ScopeState& scope = *scopes_[static_cast<size_t>(node.target)];
    StartState& start = start_states_.emplace_back();
    start.scope = &scope;
    start.owner = &strand;
    start.then = std::move(then);
    Strand* const group = NewStrand(&strand);
    TaskState& task = NewTask(*group, scope);
    task.start = &start;
    Push([this, &node, &task, group] {
      Eval(node.parts[0], *task.strand, [this, &node, &task, group](const End& end) {
        if (end.kind != End::kValue) return EndTask(task, end);
        if (!IsStopped(*group)) HandOver(task);
        Eval(node.parts[1], *task.strand, [this, &task](const End& end) { EndTask(task, end); });
      });
    });
  }
  void HandOver(TaskState& task) {
    StartState& start = *task.start;
    start.is_handed_over = true;
    if (!Is(Mistake::kStartedTaskStaysWithCaller)) {
      std::erase(task.strand->parent->below, task.strand);
      task.strand->parent = start.scope->group;
      start.scope->group->below.push_back(task.strand);
    }
    PushNext([&start] { start.then(Value()); });
  }
  void EndStart(StartState& start, ScopeState& scope, const End& end) {
    --scope.live;
    JoinIfDone(scope);
    Soon([&start, end] {
      if (end.is_failure()) return start.then(end);
      start.then(Stopped());  // only a stop of the caller can have come this far
    });
  }

  // --- combinators

  void Group(const Node& node, Strand& strand, Then then) {
    GroupState& group = group_states_.emplace_back();
    group.node = &node;
    group.owner = &strand;
    group.then = std::move(then);
    group.group = NewStrand(&strand);
    group.slots.assign(node.parts.size(), Stopped());
    if (node.parts.empty()) return EndGroup(group);
    Soon([this, &group] {
      group.is_starting = true;
      starting_.push_back(&group);
    });
  }
  // One branch more, after all that the one before has ended.
  void StartMore(GroupState& group) {
    if (group.next_part < group.node->parts.size() && !group.is_decided) return StartBranch(group, group.next_part++);
    starting_.pop_back();
    group.is_starting = false;
    if (group.running == 0) EndGroup(group);
  }
  void StartBranch(GroupState& group, size_t index) {
    ++group.running;
    auto is_starting = std::make_shared<bool>(true);
    Eval(group.node->parts[index], *NewStrand(group.group), [this, &group, index, is_starting](const End& end) {
      auto end_branch = [this, &group, index, end] { EndBranch(group, index, end); };
      if (*is_starting || end.is_stopped()) return end_branch();
      Soon(end_branch);
    });
    *is_starting = false;
  }
  void EndBranch(GroupState& group, size_t index, const End& end) {
    group.slots[index] = end;
    OnBranchEnd(group, index, end);
    if (--group.running == 0 && !group.is_starting) Soon([this, &group] { EndGroup(group); });
  }
  void OnBranchEnd(GroupState& group, size_t index, const End& end) {
    if (group.node->kind == NodeKind::kAll) return OnAllBranchEnd(group, end);
    if (group.node->kind == NodeKind::kAllOutcomes) {
      group.was_stopped |= end.is_stopped();
      if (end.is_failure() && Is(Mistake::kOutcomesStopSiblings)) RequestStop(*group.group);
      return;
    }
    const bool is_only_ok = group.node->kind == NodeKind::kAnyOk && !Is(Mistake::kFailureWinsAnyOk);
    const bool is_win = is_only_ok ? end.kind == End::kValue : !(end.is_stopped() && IsStopped(*group.owner));
    if (group.winner.has_value() || !is_win) {
      group.was_stopped |= end.is_stopped();
      return;
    }
    group.winner = index;
    group.is_decided = !Is(Mistake::kRaceStartsAll);
    RequestStop(*group.group);
  }
  // The first failure stops the rest. Statuses have their place in the results; other failures must not be lost.
  void OnAllBranchEnd(GroupState& group, const End& end) {
    if (end.is_stopped()) group.was_stopped = true;
    if (!end.is_failure()) return;
    if (!group.failure.has_value()) {
      group.failure = end;
      return RequestStop(*group.group);
    }
    const bool has_place = end.kind == End::kStatus && group.failure->kind == End::kStatus;
    if (!has_place) ReportUnhandled("WhenAll child", end.what);
  }

  void EndGroup(GroupState& group) {
    if (PassesStopOn(group)) return group.then(Stopped());
    if (group.node->kind == NodeKind::kAll) return group.then(AllResult(group));
    if (group.node->kind != NodeKind::kAllOutcomes) {
      Note(group.node->id, group.winner.has_value() ? "winner " + std::to_string(*group.winner) : "no winner");
    }
    NoteSlots(group);
    group.then(Value());
  }
  bool PassesStopOn(const GroupState& group) const {
    if (group.node->kind == NodeKind::kAll) return group.was_stopped && !group.failure.has_value();
    return group.was_stopped && IsStopped(*group.owner) && !group.winner.has_value();
  }
  void NoteSlots(const GroupState& group) {
    for (size_t i = 0; i < group.slots.size(); ++i) {
      Note(group.node->id, "slot " + std::to_string(i) + " " + group.slots[i].Text());
    }
  }
  End AllResult(GroupState& group) {
    if (group.failure.has_value() && group.failure->kind == End::kThrow) return *group.failure;
    for (End& slot : group.slots) {
      if (slot.is_stopped()) slot = Status("cancelled");
      if (slot.kind == End::kThrow) slot.kind = End::kStatus;
    }
    NoteSlots(group);
    for (const End& slot : group.slots) {
      if (slot.kind == End::kStatus && slot.what != "cancelled") return slot;
    }
    return Value();
  }

  // --- around one part

  void Timeout(const Node& node, Strand& strand, Then then) {
    DeadlineState& deadline = deadline_states_.emplace_back();
    deadlines_[static_cast<size_t>(node.id)] = &deadline;
    deadline.inner = NewStrand(&strand);
    Arm(deadline, node.time);
    Eval(node.parts[0], *deadline.inner, [this, &node, &strand, &deadline, then](const End& end) {
      timers_.erase(deadline.timer);
      const bool beats_result = deadline.is_expired && Is(Mistake::kExpiredDeadlineBeatsResult);
      if (!end.is_stopped() && !beats_result) return then(end);
      Soon([this, &node, &strand, &deadline, then] {
        const bool is_outer = IsStopped(strand) && !Is(Mistake::kInnerDeadlineWins);
        if (is_outer || !deadline.is_expired) return then(Stopped());
        if (node.kind == NodeKind::kTimeout) return then(Status("d" + std::to_string(node.id)));
        Note(node.id, "moved on");
        then(Value());
      });
    });
  }
  void Arm(DeadlineState& deadline, int64_t wait) {
    deadline.inner->deadline = now_ + wait;
    deadline.timer = After(wait, [this, &deadline] {
      deadline.is_expired = true;
      RequestStop(*deadline.inner);
    });
  }
  void Move(const Node& node) {
    DeadlineState& deadline = *deadlines_[static_cast<size_t>(node.target)];
    if (deadline.is_expired) return;
    timers_.erase(deadline.timer);
    deadline.inner->deadline.reset();
    if (!node.flag) Arm(deadline, node.time);
  }
  // The earliest that a stop could come from.
  static std::string DeadlineAt(const Strand& strand) {
    if (IsStopped(strand)) return "no time left";
    std::optional<int64_t> first;
    for (const Strand* at = &strand; at != nullptr; at = at->is_shield ? nullptr : at->parent) {
      if (at->deadline.has_value() && (!first.has_value() || *at->deadline < *first)) first = at->deadline;
    }
    return first.has_value() ? "until " + std::to_string(*first) : "never";
  }

  void Shield(int64_t limit, const Node& part, Strand& strand, Then then) {
    Strand& inner = *NewStrand(&strand);
    inner.is_shield = !Is(Mistake::kShieldLetsStopsIn);
    auto timer = std::make_shared<std::optional<TimerKey>>();
    auto let_in = [this, &inner] {
      inner.is_open = true;
      Tell(inner);
    };
    inner.on_told = [this, limit, timer, let_in] {
      if (limit == kNoLimit) return;
      if (limit == 0) return let_in();
      *timer = After(limit, let_in);
    };
    if (Is(Mistake::kShieldLimitFromTheStart) && limit != kNoLimit) *timer = After(limit, let_in);
    if (IsStopped(strand)) Tell(inner);
    Eval(part, inner, [this, &inner, timer, then](const End& end) {
      inner.is_told = true;
      if (timer->has_value()) timers_.erase(**timer);
      if (!end.is_stopped()) return then(end);
      Soon([then] { then(Stopped()); });
    });
  }

  // To observe a stop costs a turn.
  void AsOutcome(const Node& part, Strand& strand, const Then& then) { Eval(part, strand, Observe(then)); }
  Then Observe(const Then& then) {
    return [this, then](const End& end) {
      if (!end.is_stopped()) return then(end);
      Push([then] { then(Stopped()); });
    };
  }

  void Cleanup(const Node& node, Strand& strand, Then then) {
    AsOutcome(node.parts[0], strand, [this, &node, &strand, then](const End& body) {
      if (body.is_stopped() && Is(Mistake::kStoppedBodyIsNotCleanedUp)) return then(body);
      Shield(node.time, node.parts[1], strand, Observe([this, &strand, body, then](const End& cleanup) {
               if (cleanup.is_stopped()) ReportUnhandled(NearestTask(strand), "grace");
               if (cleanup.is_failure()) {
                 if (body.kind == End::kValue) return then(cleanup);
                 ReportUnhandled(NearestTask(strand), cleanup.what);
               }
               if (!body.is_stopped()) return then(body);
               Push([then] { then(Stopped()); });
             }));
    });
  }

  const Node& program_;
  const Mistake mistake_;
  std::optional<internal::Rng> rng_;
  EventLog log_;
  bool is_over_ = false;

  int64_t now_ = 0;
  std::deque<Ready> batch_;  // of the present turn
  std::deque<Ready> ready_;
  Callback next_;
  std::deque<Callback> soon_;
  std::vector<GroupState*> starting_;  // the innermost last
  std::map<TimerKey, Callback> timers_;
  int64_t timer_count_ = 0;

  std::deque<Strand> strands_;
  std::deque<ScopeState> scope_states_;
  std::deque<TaskState> task_states_;
  std::deque<StartState> start_states_;
  std::deque<GroupState> group_states_;
  std::deque<DeadlineState> deadline_states_;
  std::vector<ScopeState*> scopes_;  // by id; null before
  std::vector<TaskState*> tasks_;
  std::vector<DeadlineState*> deadlines_;
};

}  // namespace

EventLog RunModel(const Node& program, uint64_t order, Mistake mistake) { return Model(program, order, mistake).Run(); }

}  // namespace gyre::testing
