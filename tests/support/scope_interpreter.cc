#include "gyre/tests/support/scope_interpreter.h"

#include <cctype>
#include <cstddef>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/deadline.h"
#include "gyre/runtime/is_unwinding.h"
#include "gyre/runtime/leaf.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/shielded.h"
#include "gyre/runtime/sim/sim_world.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/try.h"
#include "gyre/runtime/when_all.h"
#include "gyre/runtime/when_any.h"
#include "gyre/runtime/with_cleanup.h"
#include "gyre/runtime/with_scope.h"

namespace gyre::testing {
namespace {

using Result = Task<absl::Status>;

class PlannedError : public std::exception {
 public:
  explicit PlannedError(std::string text) : text_(std::move(text)) {}
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

// A letter and the id of the node that made it; gyre's own messages become that at the node that sees them first.
bool IsPlanned(const absl::Status& status) {
  return status.message().size() > 1 && std::isdigit(static_cast<unsigned char>(status.message()[1])) != 0;
}
absl::Status Planned(const absl::Status& status, const std::string& own) {
  return status.ok() || IsPlanned(status) ? status : absl::Status(status.code(), own);
}

std::string TextOf(const absl::Status& status) {
  if (status.ok()) return "value";
  return "status " + (IsPlanned(status) ? std::string(status.message()) : std::string("cancelled"));
}
std::string WhatOf(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const StatusError& error) {
    return IsPlanned(error.status()) ? std::string(error.status().message()) : "grace";
  } catch (const std::exception& error) {
    return error.what();
  }
}
std::string TextOf(const Outcome<absl::Status>& outcome) {
  if (outcome.stopped()) return "stopped";
  if (outcome.has_exception()) return "throw " + WhatOf(outcome.exception());
  return TextOf(outcome.value());
}

// Waits for a callback of the loop, whose time has come or not.
class [[nodiscard]] CallbackLeaf final : public Leaf {
 public:
  CallbackLeaf(const Node& node, std::function<void()> on_stop) : node_(node), on_asked_(std::move(on_stop)) {}
  template <class P>
  bool await_suspend(std::coroutine_handle<P> awaiting) {
    return Suspend(awaiting, [this] {
      timer_ = loop().CallLater(Duration(node_.time), [this] { Complete(); });
      return false;
    });
  }
  void await_resume() const {}

 private:
  void OnStop() noexcept override {
    timer_.Cancel();
    if (node_.kind == NodeKind::kReceive) return CompleteStopped();
    on_asked_();
    loop().CallLater(Duration(node_.other_time), [this] { node_.flag ? Complete() : CompleteStopped(); });
  }
  bool Undo() noexcept override { return false; }

  const Node& node_;
  std::function<void()> on_asked_;
  Timer timer_;
};

class [[nodiscard]] CallbackOperation {
 public:
  CallbackOperation(const Node& node, std::function<void()> on_stop) : node_(node), on_stop_(std::move(on_stop)) {}
  CallbackLeaf operator co_await() && { return CallbackLeaf(node_, std::move(on_stop_)); }

 private:
  const Node& node_;
  std::function<void()> on_stop_;
};

class Interpreter {
 public:
  Interpreter(SimWorld& world, const Node& program)
      : world_(world),
        scopes_(static_cast<size_t>(IdLimit(program))),
        tasks_(scopes_.size()),
        deadlines_(scopes_.size()) {}

  // The program, as the root.
  Task<> Run(const Node& program) {
    absl::Status status;
    try {
      status = co_await Eval(program);
    } catch (const std::exception&) {  // noted by then
    }
    tasks_.clear();
  }

  void OnUnhandledError(const UnhandledError& error) { Note(0, error.task_name + ": " + WhatOf(error.exception)); }
  void NoteLeftovers(const RunReport& report) {
    if (live_ != 0) Note(0, "frames left");
    if (report.dropped_timers != 0) Note(0, "timers left");
    if (report.dropped_callbacks != 0) Note(0, "callbacks left");
  }
  EventLog TakeLog() { return std::move(log_); }

 private:
  // In a node's frame: notes how it ends. An end of which nobody has spoken is a stop.
  class Mark {
   public:
    Mark(Interpreter& self, const Node& node) : self_(self), node_(node) {
      ++self_.live_;
      self_.Note(node_.id, "begins");
    }
    Mark(const Mark&) = delete;
    Mark& operator=(const Mark&) = delete;
    ~Mark() {
      --self_.live_;
      if (!has_ended_) self_.Note(node_.id, IsUnwinding() ? "stopped" : "lost");
    }
    void End(std::string text) {
      has_ended_ = true;
      self_.Note(node_.id, std::move(text));
    }

   private:
    Interpreter& self_;
    const Node& node_;
    bool has_ended_ = false;
  };

  void Note(int node, std::string text) { log_.push_back(Event{world_.Elapsed().count(), node, std::move(text)}); }

  Result Eval(const Node& node) {
    Mark mark(*this, node);
    absl::Status status;
    try {
      status = co_await Begin(node);
    } catch (const std::exception&) {
      mark.End("throw " + WhatOf(std::current_exception()));
      throw;
    }
    mark.End(TextOf(status));
    co_return status;
  }

  Result Begin(const Node& node) {
    switch (node.kind) {
      case NodeKind::kSleep:
      case NodeKind::kYield:
      case NodeKind::kReceive:
      case NodeKind::kStubborn:
        return Wait(node);
      case NodeKind::kThrow:
      case NodeKind::kFail:
        return Fail(node);
      case NodeKind::kStopScope:
      case NodeKind::kStopTask:
        return Stop(node);
      case NodeKind::kJoin:
        return Join(node);
      case NodeKind::kMove:
      case NodeKind::kAsk:
        return UseDeadline(node);
      case NodeKind::kSequence:
        return Sequence(node);
      case NodeKind::kScope:
        return node.flag ? VoidScope(node) : Scoped(node);
      case NodeKind::kSupervise:
        return Supervised(node);
      case NodeKind::kSpawn:
        return Spawn(node);
      case NodeKind::kStart:
        return Start(node);
      case NodeKind::kAll:
        return All(node);
      case NodeKind::kAllOutcomes:
        return AllOutcomes(node);
      case NodeKind::kAny:
      case NodeKind::kAnyOk:
        return Any(node);
      case NodeKind::kTimeout:
        return TimedOut(node);
      case NodeKind::kMoveOn:
        return MovedOn(node);
      case NodeKind::kShield:
        return Shield(node);
      case NodeKind::kCleanup:
        return Cleanup(node);
      case NodeKind::kAsOutcome:
        return Observe(node);
      case NodeKind::kCatch:
        return Catch(node);
    }
    return Wait(node);
  }

  Result Wait(const Node& node) {
    if (node.kind == NodeKind::kSleep) {
      co_await SleepFor(Duration(node.time));
    } else if (node.kind == NodeKind::kYield) {
      co_await Yield();
    } else {
      auto on_stop = [this, &node] { Note(node.id, "asked"); };
      co_await CallbackOperation(node, on_stop);
    }
    co_return absl::OkStatus();
  }
  Result Fail(const Node& node) {
    if (node.kind == NodeKind::kThrow) throw PlannedError("e" + std::to_string(node.id));
    co_return absl::InternalError("s" + std::to_string(node.id));
  }
  Result Stop(const Node& node) {
    const auto target = static_cast<size_t>(node.target);
    if (node.kind == NodeKind::kStopScope) {
      scopes_[target]->RequestStop();
    } else if (tasks_[target].has_value()) {
      tasks_[target]->RequestStop();
    }
    co_return absl::OkStatus();
  }
  Result Join(const Node& node) {
    const std::optional<TaskHandle<absl::Status>> task = tasks_[static_cast<size_t>(node.target)];
    if (!task.has_value()) co_return absl::OkStatus();
    const Outcome<absl::Status>& outcome = co_await task->Join();
    Note(node.id, "joined " + TextOf(outcome));
    co_return absl::OkStatus();
  }
  Result Sequence(const Node& node) {
    for (const Node& part : node.parts) {
      absl::Status status = co_await Eval(part);
      if (node.flag) {
        co_await Try(std::move(status));
      } else if (!status.ok()) {
        co_return status;
      }
    }
    co_return absl::OkStatus();
  }

  auto Body(const Node& node) {
    return [this, &node](Scope& scope) -> Result {
      scopes_[static_cast<size_t>(node.id)] = &scope;
      return Eval(node.parts[0]);
    };
  }
  Result Scoped(const Node& node) {
    auto body = Body(node);
    const absl::Status status = co_await WithScope(body);
    co_return Planned(status, "c" + std::to_string(node.id));
  }
  Result VoidScope(const Node& node) {
    auto body = [this, &node](Scope& scope) -> Task<> {
      scopes_[static_cast<size_t>(node.id)] = &scope;
      const absl::Status status = co_await Eval(node.parts[0]);
      if (!status.ok()) throw StatusError(status);
    };
    co_await WithScope(body);
    co_return absl::OkStatus();
  }
  Result Supervised(const Node& node) {
    auto body = Body(node);
    const OnChildError on_error = [this, &node](const TaskInfo& child, const Outcome<>& outcome) {
      Note(node.id, std::string(child.name()) + ": " + WhatOf(outcome.exception()));
      if (node.flag) throw PlannedError("x" + std::to_string(node.id));
    };
    const absl::Status status = co_await Supervise(on_error, body);
    co_return Planned(status, "c" + std::to_string(node.id));
  }
  Result Spawn(const Node& node) {
    Scope& scope = *scopes_[static_cast<size_t>(node.target)];
    auto child = [this, &node]() -> Result { return Eval(node.parts[0]); };
    tasks_[static_cast<size_t>(node.id)] = scope.SpawnNamed("t" + std::to_string(node.id), child);
    co_return absl::OkStatus();
  }
  Result Start(const Node& node) {
    Scope& scope = *scopes_[static_cast<size_t>(node.target)];
    auto child = [this, &node](Started<> started) -> Result {
      absl::Status status = co_await Eval(node.parts[0]);
      if (!status.ok()) co_return status;
      started();
      status = co_await Eval(node.parts[1]);
      co_return status;
    };
    const absl::Status status = co_await scope.Start(child);
    co_return status;
  }

  std::vector<Result> Parts(const Node& node) {
    std::vector<Result> tasks;
    for (const Node& part : node.parts) tasks.push_back(Eval(part));
    return tasks;
  }
  template <class Slots>
  void NoteSlots(const Node& node, const Slots& slots) {
    size_t index = 0;
    for (const auto& slot : slots) Note(node.id, "slot " + std::to_string(index++) + " " + TextOf(slot));
  }
  template <class Slot>
  static std::vector<Slot> ToVector(std::tuple<Slot, Slot>&& slots) {
    return std::vector<Slot>{std::get<0>(std::move(slots)), std::get<1>(std::move(slots))};
  }
  // Two parts take the argument form, others a vector.
  Result All(const Node& node) {
    std::vector<absl::Status> results;
    if (node.parts.size() == 2) {
      auto pair = co_await WhenAll(Eval(node.parts[0]), Eval(node.parts[1]));
      results = ToVector(std::move(pair));
    } else {
      results = co_await WhenAll(Parts(node));
    }
    NoteSlots(node, results);
    for (const absl::Status& result : results) {
      if (!result.ok() && IsPlanned(result)) co_return result;
    }
    co_return absl::OkStatus();
  }
  Result AllOutcomes(const Node& node) {
    std::vector<Outcome<absl::Status>> results;
    if (node.parts.size() == 2) {
      auto pair = co_await WhenAllOutcomes(Eval(node.parts[0]), Eval(node.parts[1]));
      results = ToVector(std::move(pair));
    } else {
      results = co_await WhenAllOutcomes(Parts(node));
    }
    NoteSlots(node, results);
    co_return absl::OkStatus();
  }
  template <class Race>
  void NoteRace(const Node& node, const Race& race) {
    Note(node.id, race.has_winner() ? "winner " + std::to_string(race.index) : "no winner");
  }
  Result Any(const Node& node) {
    std::vector<Outcome<absl::Status>> slots;
    if (node.kind == NodeKind::kAny && node.parts.size() == 2) {
      auto race = co_await WhenAny(Eval(node.parts[0]), Eval(node.parts[1]));
      NoteRace(node, race);
      slots = ToVector(std::move(race.outcomes));
    } else if (node.kind == NodeKind::kAny) {
      auto race = co_await WhenAny(Parts(node));
      NoteRace(node, race);
      slots = std::move(race.outcomes);
    } else if (node.parts.size() == 2) {
      auto race = co_await WhenAnyOk(Eval(node.parts[0]), Eval(node.parts[1]));
      NoteRace(node, race);
      slots = ToVector(std::move(race.outcomes));
    } else {
      auto race = co_await WhenAnyOk(Parts(node));
      NoteRace(node, race);
      slots = std::move(race.outcomes);
    }
    NoteSlots(node, slots);
    co_return absl::OkStatus();
  }

  Result TimedOut(const Node& node) {
    absl::Status status;
    if (node.flag) {
      MovableDeadline deadline;
      deadline.MoveToAfter(Duration(node.time));
      deadlines_[static_cast<size_t>(node.id)] = &deadline;
      status = co_await Deadline(deadline, Eval(node.parts[0]));
    } else {
      status = co_await Timeout(Duration(node.time), Eval(node.parts[0]));
    }
    co_return Planned(status, "d" + std::to_string(node.id));
  }
  Result MovedOn(const Node& node) {
    std::optional<absl::Status> status;
    if (node.flag) {
      MovableDeadline deadline;
      deadline.MoveToAfter(Duration(node.time));
      deadlines_[static_cast<size_t>(node.id)] = &deadline;
      status = co_await MoveOnAt(deadline, Eval(node.parts[0]));
    } else {
      status = co_await MoveOnAfter(Duration(node.time), Eval(node.parts[0]));
    }
    if (status.has_value()) co_return *status;
    Note(node.id, "moved on");
    co_return absl::OkStatus();
  }
  Result UseDeadline(const Node& node) {
    if (node.kind == NodeKind::kAsk) {
      Note(node.id, DeadlineText());
    } else if (node.flag) {
      deadlines_[static_cast<size_t>(node.target)]->MoveTo(kNever);
    } else {
      deadlines_[static_cast<size_t>(node.target)]->MoveToAfter(Duration(node.time));
    }
    co_return absl::OkStatus();
  }
  std::string DeadlineText() const {
    const TimePoint deadline = CurrentDeadline();
    if (deadline == TimePoint::min()) return "no time left";
    if (deadline == kNever) return "never";
    const Duration from_now = deadline - world_.Now();
    return "until " + std::to_string((world_.Elapsed() + from_now).count());
  }
  static Duration LimitOf(const Node& node) { return node.time == kNoLimit ? kForever : Duration(node.time); }
  Result Shield(const Node& node) {
    const absl::Status status = co_await Shielded(LimitOf(node), Eval(node.parts[0]));
    co_return status;
  }
  Result Cleanup(const Node& node) {
    auto cleanup = [&]() -> Result { return Eval(node.parts[1]); };
    const absl::Status status = co_await WithCleanup(Eval(node.parts[0]), cleanup, LimitOf(node));
    co_return status;
  }
  Result Observe(const Node& node) {
    const Outcome<absl::Status> outcome = co_await AsOutcome(Eval(node.parts[0]));
    Note(node.id, "outcome " + TextOf(outcome));
    co_return absl::OkStatus();
  }
  Result Catch(const Node& node) {
    try {
      absl::Status status = co_await Eval(node.parts[0]);
      static_cast<void>(status);
    } catch (const std::exception&) {
      co_return absl::OkStatus();
    }
    co_return absl::OkStatus();
  }

  SimWorld& world_;
  EventLog log_;
  int live_ = 0;
  std::vector<Scope*> scopes_;  // by id
  std::vector<std::optional<TaskHandle<absl::Status>>> tasks_;
  std::vector<MovableDeadline*> deadlines_;
};

}  // namespace

EventLog RunOnGyre(const Node& program, uint64_t seed, const SimOptions& options) {
  SimWorld world(seed, options);
  Interpreter interpreter(world, program);
  RunReport report;
  RunOptions run_options;
  run_options.set_report(&report).set_unhandled_error_hook(
      [&](const UnhandledError& error) { interpreter.OnUnhandledError(error); });
  auto root = [&]() -> Task<> { return interpreter.Run(program); };
  world.Run(run_options, root);
  interpreter.NoteLeftovers(report);
  return interpreter.TakeLog();
}

}  // namespace gyre::testing
