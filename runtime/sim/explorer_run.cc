#include "gyre/runtime/sim/explorer_run.h"

#include <cerrno>
#include <exception>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "gyre/runtime/backend/sim_backend.h"
#include "gyre/runtime/deadline.h"
#include "gyre/runtime/internal/place_text.h"
#include "gyre/runtime/internal/scope_core.h"
#include "gyre/runtime/internal/task_core.h"
#include "gyre/runtime/internal/waiting.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/op.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/sim/sim_core.h"

namespace gyre::internal {
namespace {

using testing::AwaitPoint;
using testing::ExploredRun;
using testing::ExplorerPass;

std::string_view PassName(ExplorerPass pass) {
  switch (pass) {
    case ExplorerPass::kUndisturbed:
      return "undisturbed";
    case ExplorerPass::kStopBefore:
      return "stop-before";
    case ExplorerPass::kStopDuring:
      return "stop-during";
    case ExplorerPass::kStopAfter:
      return "stop-after";
    case ExplorerPass::kStopShielded:
      return "stop-shielded";
    case ExplorerPass::kDeadline:
      return "deadline";
    case ExplorerPass::kFailOperation:
      return "fail";
    case ExplorerPass::kUnstarted:
      return "unstarted";
    case ExplorerPass::kStopTaskDuring:
      return "stop-task-during";
    case ExplorerPass::kStopTaskAfter:
      return "stop-task-after";
  }
  return "unknown";
}

// What each operation meets in the world.
int ErrorFor(Opcode opcode) {
  switch (opcode) {
    case Opcode::kAccept:
      return EMFILE;
    case Opcode::kConnect:
      return ECONNREFUSED;
    default:
      return ECONNRESET;
  }
}

// A frame that the explorer has put around the body.
bool IsOwn(const std::source_location& where) {
  const std::string_view file = where.file_name();
  return file.ends_with("runtime/sim/explorer_run.h") || file.ends_with("runtime/sim/explorer_run.cc");
}

void TakeStack(const PromiseBase& innermost, testing::AwaitStack& into) {
  into.depth = 0;
  for (const PromiseBase* frame = &innermost; frame != nullptr && into.depth < into.frames.size();
       frame = frame->awaiter()) {
    const std::source_location where = frame->place().where();
    if (where.line() != 0 && !IsOwn(where)) into.frames[into.depth++] = where;
  }
}

// Watches the awaits of one run and disturbs it at its point.
class Steering final : public AwaitObserver {
 public:
  Steering(const RunSpec& spec, SimCore& core, Loop& loop, RunProgress& progress, std::function<void(std::string)> die)
      : spec_(spec), core_(core), loop_(loop), progress_(progress), die_(std::move(die)) {
    if (spec.pass != ExplorerPass::kDeadline) return;
    progress.target.frames[0] = spec.expected.where;
    progress.target.depth = 1;
  }

  void OnAwait(Leaf& leaf, ScopeCore& scope, PromiseBase& frame) noexcept override {
    AwaitPoint here;
    here.where = frame.place().where();
    here.at = core_.events.now() - SimEvents::kStart;
    const auto* op = dynamic_cast<Op*>(&leaf);
    if (op != nullptr) here.operation = static_cast<int8_t>(op->opcode());
    progress_.last = here;
    if (watched_ == &frame) watched_ = nullptr;  // it went on without waiting
    if (top_ == nullptr) top_ = RootOf(scope);
    if (spec_.pass == ExplorerPass::kUndisturbed) points_.push_back(here);
    if (++progress_.awaits > spec_.awaits_max) DieOfSpinning();
    if (progress_.awaits == spec_.point && spec_.pass != ExplorerPass::kDeadline) OnPoint(here, op, scope, frame);
    if (is_stopped_) LookBehindStop(scope);
  }

  // The stop comes as soon as no coroutine is on the stack: by the reap queue, which a loop empties after each step;
  // or, if the backend completes the leaf, before the first task of the next turn.
  void OnCompleted(PromiseBase& frame, bool is_queued) noexcept override {
    std::erase(stopping_, &frame);
    if (watched_ != &frame) return;
    watched_ = nullptr;
    if (!is_queued) return;
    loop_.core().PushReap(reaped_);
    if (loop_.core().current == nullptr) loop_.core().PushNext(next_);
  }

  void OnStopPending(PromiseBase& frame) noexcept override { stopping_.push_back(&frame); }

  std::vector<AwaitPoint> TakePoints() { return std::move(points_); }
  bool has_shields() const { return has_shields_; }
  bool was_stop_missed() const { return was_stop_missed_; }
  // What was asked to stop and waits all the same, a line each.
  std::string DescribeStopping() const {
    std::string text;
    for (const PromiseBase* frame : stopping_) text += "\n  asked to stop, and waiting" + DescribeStack(*frame);
    return text;
  }

 private:
  class StopSoon final : public Runnable {
   public:
    explicit StopSoon(Steering& steering) : Runnable(RunnableKind::kMessage), steering_(steering) {}
    void Run() override { steering_.Stop(); }
    void Drop() noexcept override { steering_.LetGo(); }

   private:
    Steering& steering_;
  };
  void OnPoint(const AwaitPoint& here, const Op* op, ScopeCore& scope, PromiseBase& frame) noexcept {
    TakeStack(frame, progress_.target);
    if (here.where.line() != spec_.expected.where.line()) {
      die_("the body takes another course when it runs again: its await " + std::to_string(spec_.point) + " was at " +
           PlaceText(spec_.expected.where) + " and is now at " + PlaceText(here.where) +
           "; something outside the simulation decides, or state of an earlier run");
    }
    ChooseTarget(scope);
    switch (spec_.pass) {
      case ExplorerPass::kStopBefore:
      case ExplorerPass::kStopShielded:
        return Stop();
      case ExplorerPass::kStopTaskDuring:
        Hold(scope.NearestTask());
        [[fallthrough]];
      case ExplorerPass::kStopDuring:
        return loop_.core().PushReap(reaped_);
      case ExplorerPass::kStopAfter:
      case ExplorerPass::kStopTaskAfter:
        watched_ = &frame;
        return;
      case ExplorerPass::kFailOperation:
        if (op == nullptr) return;
        core_.options.Fail(op->opcode(), core_.submitted[static_cast<size_t>(op->opcode())] + 1,
                           ErrorFor(op->opcode()));
        progress_.was_disturbed = true;
        return;
      default:
        return;
    }
  }

  void ChooseTarget(ScopeCore& scope) {
    const bool is_one_task = spec_.pass == ExplorerPass::kStopTaskDuring || spec_.pass == ExplorerPass::kStopTaskAfter;
    target_ = is_one_task ? scope.NearestTask() : top_;
  }
  static ScopeCore* RootOf(ScopeCore& scope) {
    ScopeCore* root = &scope;
    while (root->parent() != nullptr) root = root->parent();
    return root;
  }

  void Stop() {
    const bool has_ended = held_ != nullptr && held_->done();
    if (target_ != nullptr && !has_ended && !progress_.was_disturbed) {
      progress_.was_disturbed = true;
      is_stopped_ = target_ == top_;
      target_->RequestStop(StopReason::Static("the explorer stops the body here"));
    }
    LetGo();
  }

  // The task to be stopped may end, and go, before the reap queue has its turn: where its leaf was done at once.
  void Hold(TaskCore* task) {
    if (task != nullptr) task->Ref();
    held_ = task;
  }
  void LetGo() noexcept {
    if (held_ != nullptr) std::exchange(held_, nullptr)->Unref();
  }

  // After a stop of the root an await goes on only behind a shield.
  void LookBehindStop(ScopeCore& scope) {
    if (scope.StopRequested()) return;
    ScopeCore* outermost = &scope;
    while (outermost->parent() != nullptr && !outermost->parent()->StopRequested()) outermost = outermost->parent();
    if (!outermost->is_told()) was_stop_missed_ = true;
    has_shields_ = true;
    if (spec_.pass == ExplorerPass::kStopShielded) outermost->LetStopIn();
  }

  void DieOfSpinning() {
    const bool is_disturbed = progress_.was_disturbed || spec_.pass == ExplorerPass::kDeadline;
    die_("no end after " + std::to_string(spec_.awaits_max) + " awaits, the last of them at " +
         PlaceText(progress_.last.where) +
         (is_disturbed ? ": a loop that goes on although it is stopped?" : ": does the body end by itself?"));
  }

  const RunSpec& spec_;
  SimCore& core_;
  Loop& loop_;
  RunProgress& progress_;
  const std::function<void(std::string)> die_;
  std::vector<AwaitPoint> points_;
  ScopeCore* top_ = nullptr;                  // the root of the tree
  ScopeCore* target_ = nullptr;               // what is to be stopped
  TaskCore* held_ = nullptr;                  // counted: it, where it might go before
  const PromiseBase* watched_ = nullptr;      // its leaf's completion is the moment
  std::vector<const PromiseBase*> stopping_;  // whose leaf has not answered the stop yet
  StopSoon reaped_{*this};
  StopSoon next_{*this};
  bool is_stopped_ = false;  // the root is
  bool has_shields_ = false;
  bool was_stop_missed_ = false;
};

Task<absl::Status> BoundBy(MovableDeadline& deadline, Task<absl::Status> task) {
  co_return co_await Deadline(deadline, std::move(task));
}

// The body as the root of a loop, whose outcome is kept as it is.
class ExploredRoot final : public RootBase {
 public:
  ExploredRoot(const ExploredBody& body, const RunSpec& spec)
      : body_(body), spec_(spec), deadline_(SimEvents::kStart + spec.expected.at) {}

  Outcome<absl::Status>& outcome() { return outcome_; }
  bool is_deadline_expired() const { return deadline_.expired(); }

 private:
  PromiseBase* Begin() override {
    auto task = spec_.pass == ExplorerPass::kUnstarted  ? body_.Drop()
                : spec_.pass == ExplorerPass::kDeadline ? BoundBy(deadline_, body_.Run())
                                                        : body_.Run();
    return TaskAccess::Release(task);
  }
  void TakeOutcome(PromiseBase* frame) override {
    ReplaceOutcome(outcome_, static_cast<Promise<absl::Status>*>(frame));
  }
  void SetException(std::exception_ptr exception) override { ReplaceOutcome(outcome_, std::move(exception)); }
  void DropRoot(SharedStopReason reason) noexcept override {
    ReplaceOutcome(outcome_, [&reason] { return Outcome<absl::Status>::FromStop(std::move(reason)); });
  }

  const ExploredBody& body_;
  const RunSpec& spec_;
  MovableDeadline deadline_;
  Outcome<absl::Status> outcome_;
};

// The run as a whole: what it is measured by, before and after.
class Inspection {
 public:
  explicit Inspection(const RunPlan& plan) : plan_(plan) {
    for (const auto& [name, count] : plan.trackers) before_.push_back(count());
  }

  void Find(const std::string& what) { failure_ += (failure_.empty() ? "" : "\n") + what; }
  void FindLeft(size_t count, const char* what) {
    if (count != 0) Find("left behind: " + std::to_string(count) + " " + what);
  }
  std::string& failure() { return failure_; }

  void InspectLoop(const Loop& loop, size_t open_descriptors) {
    const Loop::LeftOver& left = loop.left_over();
    FindLeft(left.callbacks, "callbacks (CallSoon or Post) that had not run");
    FindLeft(left.timers, "timers (CallLater, CallAt or an Alarm) neither fired nor cancelled");
    FindLeft(left.descriptors, "sockets whose streams or listeners live on");
    FindLeft(open_descriptors, "descriptors released and not closed");
  }
  void InspectOutcome(const ExploredRun& run) {
    if (run.pass == ExplorerPass::kUndisturbed && !plan_.may_fail && !run.outcome.ok()) {
      Find("the body fails by itself: " + run.outcome.status().ToString());
    }
    if (plan_.must_report_errors && run.pass == ExplorerPass::kFailOperation && run.was_disturbed && run.outcome.ok()) {
      Find("the body ends well although an operation failed: the error was ignored or swallowed");
    }
  }
  void InspectCaller(const ExploredRun& run) {
    for (size_t i = 0; i < before_.size(); ++i) {
      const auto& [name, count] = plan_.trackers[i];
      const int64_t after = count();
      if (after == before_[i]) continue;
      Find(name + ": " + std::to_string(before_[i]) + " before the run, " + std::to_string(after) + " after it");
    }
    for (const auto& [claim, holds] : plan_.invariants) {
      if (!holds(run)) Find("does not hold: " + claim);
    }
  }

 private:
  const RunPlan& plan_;
  std::vector<int64_t> before_;
  std::string failure_;
};

}  // namespace

std::string RunSpec::Name() const {
  std::string name = world->Name() + "/" + std::string(PassName(pass));
  if (point != 0) name += "/" + std::to_string(point);
  return name;
}

RunResult RunOnce(const RunSpec& spec, const RunPlan& plan, const ExploredBody& body, RunProgress& progress,
                  const GiveUp& give_up) {
  progress = RunProgress();
  Inspection inspection(plan);
  RunResult result;
  auto die = [&](const std::string& why) {
    inspection.Find(why);
    result.target = progress.target;
    result.was_disturbed = progress.was_disturbed;
    result.failure = inspection.failure();
    give_up(result);
  };
  ExploredRun run;
  run.name = spec.Name();
  run.pass = spec.pass;
  SimCore core(spec.world->seed, spec.world->options);
  SimBackend backend(core);
  {
    Loop loop(backend);
    ExploredRoot root(body, spec);
    Steering steering(spec, core, loop, progress, die);
    loop.core().observer = &steering;
    core.on_deadlock = [&](const std::string& what) { die(what + steering.DescribeStopping()); };
    root.RunOn(loop, RunOptions().set_unhandled_error_hook([&run](const UnhandledError&) { ++run.unhandled_errors; }));
    run.outcome = std::move(root.outcome());
    run.was_disturbed = progress.was_disturbed = progress.was_disturbed || root.is_deadline_expired();
    result.points = steering.TakePoints();
    result.has_shields = steering.has_shields();
    if (steering.was_stop_missed()) inspection.Find("an await behind the stop was not stopped, and no shield is there");
    inspection.InspectLoop(loop, core.fds.size());
    inspection.FindLeft(loop.buffer_pool().leased(), "receive buffers still leased");
    const size_t blocks = loop.core().pool.CountBlocksOut();
    if (blocks != 0) die("left behind: " + std::to_string(blocks) + " coroutine frames or task handles");
  }
  inspection.InspectOutcome(run);
  inspection.InspectCaller(run);
  result.target = progress.target;
  result.was_disturbed = progress.was_disturbed;
  result.failure = std::move(inspection.failure());
  return result;
}

}  // namespace gyre::internal
