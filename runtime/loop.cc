// The loop's turn. What shapes it:
//
//  * New work made during a phase waits for the next turn, so neither timers nor I/O starve behind tasks that keep
//    waking one another. There are two exceptions: the run-next slot, at most kRunNextMax times in a row, and a join of the
//    task that is next, which starts it as an await would, and spends transfer budget like one. Where nothing is there for
//    the other phases, the next turn begins inside RunReady: see BeginTurnInPlace.
//  * The backend is asked when the ready queue is empty, or when about 800 us have passed since it was last asked: asking
//    costs a system call (1.6 us and more), so asking every n tasks would make cheap tasks pay for dear ones.
//  * Time for these two bounds comes from the processor's counter, read every 1 to 16 tasks depending on how long tasks
//    take: a clock read costs more (about 50 ns) than a short task. It need not be calibrated: 2^21 ticks are 0.4 to 2 ms
//    on any processor. In simulation the counter is not used, so that a run depends on its seed alone.
//  * Sleeping: the inbox word turns to "asleep" only if it is empty, and whoever pushes next must wake the backend; so a
//    wake-up can't be lost between the last look and the sleep (proof in inbox.h).
#include "gyre/runtime/loop.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "gyre/runtime/check.h"
#include "gyre/runtime/internal/allocation.h"
#include "gyre/runtime/internal/ticks.h"
#include "gyre/runtime/log.h"

namespace gyre {
namespace {

constexpr int kTasksPerTurnMax = 64;
constexpr int kCheckIntervalMax = 16;
constexpr uint64_t kBatchTicks = 1 << 21;   // about 800 us
constexpr uint64_t kLongTicks = 1 << 17;    // about 50 us: tasks are dear, look more often
constexpr int kSpinChecks = 32;             // of the inbox, between two looks at the clock and the backend
constexpr int kSpinShare = 16;              // the least that is left of a spin that finds nothing
constexpr int64_t kClockTicks = 1 << 14;    // about 5 us: the cached time is good enough for that long
constexpr uint64_t kManyEvents = 64;        // fewer from one Turn of the backend: there were no more

}  // namespace

Loop::Loop(Backend& backend)
    : backend_(backend), is_simulated_(backend.tick_shift() == 0), timers_(backend.tick_shift(), backend.ReadClock()), executors_(backend.executors()), now_(backend.ReadClock()) {
  backend.Attach(*this);
}

Loop::~Loop() = default;

uint64_t Loop::Ticks() const { return is_simulated_ ? 0 : internal::ReadTicks(); }

Loop& Loop::Current() {
  GYRE_CHECK(internal::tls_loop != nullptr,
             "Loop::Current() was called outside a loop: call it from a task or callback that gyre::Run runs, or use "
             "Loop::TryCurrent()");
  return internal::tls_loop->loop;
}

void internal::UsedOnWrongThread(const LoopCore& home, const char* what) {
  if (!home.thread.IsAnother() && tls_loop == nullptr) {
    CheckFailed(__FILE__, __LINE__, "tls_loop == home",
                std::string(what) + " was used outside of its loop, which does not run just now: Post to it" +
                    home.thread.ToString());
  }
  if (!home.thread.IsAnother()) {
    CheckFailed(__FILE__, __LINE__, "tls_loop == home",
                std::string(what) + " was used on another loop than its own, in a simulation whose loops share a thread");
  }
  CheckFailed(__FILE__, __LINE__, "tls_loop == home",
              std::string(what) + " was used on another thread than its loop's" + home.thread.ToString());
}

void internal::TimerEvent::OnLoopEnd() noexcept {
  GYRE_CHECK(false, "internal: a loop ended with a coroutine's timer armed");
}

std::string Backend::DescribeThreads() const { return loop_->core().thread.ToString(); }

Loop* Loop::TryCurrent() noexcept { return internal::tls_loop != nullptr ? &internal::tls_loop->loop : nullptr; }

internal::ExecutorSource& Loop::executors() const {
  GYRE_CHECK(executors_ != nullptr, "this loop has no pools: it was not made by gyre::Run, a Runtime or a simulation");
  return *executors_;
}

TimePoint Loop::Now() {
  if (is_clock_stale_) RefreshClock();
  return now_;
}

void Loop::RefreshClock() {
  is_clock_stale_ = false;
  const uint64_t ticks = Ticks();
  if (ticks != 0 && ticks - clock_ticks_ < kClockTicks) return;
  clock_ticks_ = ticks;
  const TimePoint now = backend_.ReadClock();
  if (now > now_) now_ = now;
}

void Loop::ReportUnhandledError(const UnhandledError& error) noexcept {
  try {
    // A copy keeps the hook alive if it replaces itself.
    if (const std::shared_ptr<UnhandledErrorHook> hook = unhandled_error_hook_; hook != nullptr && *hook) {
      (*hook)(error);
      return;
    }
    internal::Log(error.ToString());
  } catch (const std::exception& from_hook) {
    internal::Log(from_hook.what());
  } catch (...) {
    internal::Log("gyre: the unhandled-error hook threw");
  }
}

// Between Push and Wake this thread may stop for long, while the loop, awake for another reason, takes the node and comes
// to its end. So the loop counts the wakes it is owed, and End waits for them: after Wake nothing of the loop is touched.
bool Loop::PushFromAnyThread(internal::Runnable& node) noexcept {
  switch (inbox_.Push(node)) {
    case internal::PushResult::kQueued:
      return true;
    case internal::PushResult::kMustWake:
      backend_.Wake();
      return true;
    case internal::PushResult::kClosed:
      return false;
  }
  return false;
}

void Loop::RunUntil(const bool& is_done) {
  GYRE_CHECK(internal::tls_loop == nullptr,
             "gyre::Run was called on a thread whose loop is running: await the task instead");
  GYRE_CHECK(!is_running_, "this loop is already running");
  Enter();
  Begin();
  while (!is_done) Turn(is_done);
  End();
  Leave();
}

void Loop::RunTurn(const bool& is_done) {
  Enter();
  if (!is_running_) Begin();
  if (!is_done) Turn(is_done);
  if (is_done) End();
  Leave();
}

// The backend's events are taken when this begins and not again when it sleeps: what comes meanwhile is a new edge, and
// leaves the level up, so the host hears of it either way. A Turn that may have left something makes an edge of its own.
bool Loop::PollOnce(const bool& is_done, TimePoint until) {
  Enter();
  is_hosted_ = true;
  is_running_ = true;
  if (is_done) {
    poll_ticks_ = Ticks();  // it could not start
  } else {
    Collect(until);
  }
  bool is_asleep = false;
  while (!is_done && !is_asleep) {
    is_clock_stale_ = true;
    turns_.Add(1);
    TakeInbox();
    RunReady(is_done);
    if (!is_done) FireTimers();
    is_asleep = !is_done && !HasReady() && TrySleep();
    if (Ticks() - poll_ticks_ > kBatchTicks) break;
  }
  if (is_done) {
    End();
  } else if (!is_asleep) {
    WakeItself();
  }
  busy_.AddAlone(Ticks() - poll_ticks_);
  Leave();
  return !is_done && !is_asleep;
}

void Loop::Collect(TimePoint until) {
  TakeInbox();
  if (HasReady()) {
    until = TimePoint();
  } else if (until > TimePoint()) {
    until = TrySleep() ? std::min(until, timers_.NextExpiry().value_or(kNever)) : TimePoint();
  }
  const Counter& events = backend_.counters().events;
  const uint64_t events_before = events.value();
  backend_.Turn(until);
  if (events.value() - events_before >= kManyEvents) WakeItself();
  poll_ticks_ = check_ticks_ = Ticks();
  clock_ticks_ = 0;  // time has passed, here or in the host: read the clock afresh
}

void Loop::WakeItself() {
  ++owed_wakes_;  // End waits for as many wakes as there were
  backend_.Wake();
}

void Loop::Enter() {
  core_.thread.Enter();
  internal::tls_loop = &core_;
  internal::tls_pool = internal::HasAllocationHook() ? internal::FramePool::Outside() : &core_.pool;
}

void Loop::Begin() {
  is_running_ = true;
  core_.scheduling_rng = backend_.scheduling_rng();
  poll_ticks_ = check_ticks_ = Ticks();
}

void Loop::Leave() {
  internal::tls_loop = nullptr;
  internal::tls_pool = internal::FramePool::Outside();
}

void Loop::Turn(const bool& is_done) {
  is_clock_stale_ = true;
  turns_.Add(1);
  TakeInbox();
  RunReady(is_done);
  if (is_done) return;  // what else is due belongs to nobody any more, and may refer to what is gone
  FireTimers();
  if (is_done) return;
  PollOrSleep();
}

// The push that ended a sleep owes a wake; that is so whenever something was pushed since TrySleep.
void Loop::CountOwedWake(bool is_pushed_to) {
  if (!std::exchange(is_asleep_, false) || !is_pushed_to) return;
  ++owed_wakes_;
  wakes_.Add(1);
}

void Loop::TakeInbox() {
  internal::InboxNode* node = inbox_.Take();
  CountOwedWake(node != nullptr);
  if (node == nullptr) return;
  uint64_t count = 0;
  while (node != nullptr) {
    internal::InboxNode* next = node->next;
    core_.PushReady(static_cast<internal::Runnable&>(*node));
    node = next;
    ++count;
  }
  messages_.Add(count);
}

// What is ready now; what becomes ready meanwhile waits behind it for the next turn.
void Loop::RunReady(const bool& is_done) {
  if (core_.scheduling_rng != nullptr) [[unlikely]] Shuffle(*core_.scheduling_rng);
  core_.last_of_turn = core_.ready.back();
  int32_t in_a_row = 0;
  int until_check = until_check_;  // in a register: a short task costs little more than counting it
  int left = kTasksPerTurnMax;
  while (left > 0) {
    internal::Runnable* node = nullptr;
    if (core_.run_next != nullptr) [[unlikely]] {
      node = std::exchange(core_.run_next, nullptr);
      if (++in_a_row > internal::kRunNextMax) core_.PushReady(*std::exchange(node, nullptr));
    }
    if (node == nullptr) {
      in_a_row = 0;
      if (core_.last_of_turn == nullptr && !BeginTurnInPlace()) break;
      node = &core_.TakeFront();
    }
    --left;
    internal::tls_budget = internal::kTransferBudget;
    node->Run();
    core_.RunFinished();
    core_.current = nullptr;
    if (is_done) [[unlikely]] break;
    if (--until_check > 0) [[likely]] continue;
    const bool is_time_up = BatchTimeIsUp();
    until_check = check_interval_;
    if (is_time_up) break;
  }
  until_check_ = until_check;
  runs_.Add(static_cast<uint64_t>(kTasksPerTurnMax - left));
}

// As far as the counter says that BatchTimeIsUp has read.
bool Loop::IsClockOld() const { return static_cast<int64_t>(check_ticks_ - clock_ticks_) >= kClockTicks; }

// Where one task after another becomes ready, each in a turn of its own, turns are most of the cost. While nothing can have come
// from outside, no poll is due and the time of the timers has not moved on, the next turn would only come back here: it begins
// here. Not for a host, whose turn it may be, nor in a simulation, whose time moves with turns.
bool Loop::BeginTurnInPlace() {
  if (core_.ready.empty() || is_simulated_ || is_hosted_ || is_poll_due_ || !inbox_.LooksEmpty()) return false;
  if (!timers_.empty() && (IsClockOld() || timers_.HasDue())) return false;
  is_clock_stale_ = true;
  turns_.Add(1);
  core_.last_of_turn = core_.ready.back();
  return true;
}

bool Loop::BatchTimeIsUp() {
  const uint64_t ticks = Ticks();
  const uint64_t since_check = ticks - check_ticks_;
  check_ticks_ = ticks;
  if (since_check > kLongTicks) {
    check_interval_ = check_interval_ > 4 ? check_interval_ / 4 : 1;
  } else if (check_interval_ < kCheckIntervalMax) {
    check_interval_ *= 2;
  }
  is_poll_due_ = ticks - poll_ticks_ > kBatchTicks;
  return is_poll_due_;
}

// Tasks change places at random; callbacks and messages keep their order among themselves, as promised.
void Loop::Shuffle(internal::Rng& rng) {
  std::vector<internal::Runnable*> nodes;
  std::vector<internal::Runnable*> ordered;
  while (internal::Runnable* node = core_.ready.Pop()) {
    nodes.push_back(node);
    if (node->is_ordered()) ordered.push_back(node);
  }
  for (size_t i = nodes.size(); i > 1; --i) std::swap(nodes[i - 1], nodes[rng.Below(i)]);
  size_t next_ordered = 0;
  for (internal::Runnable* node : nodes) core_.ready.Push(node->is_ordered() ? *ordered[next_ordered++] : *node);
}

void Loop::FireTimers() {
  if (timers_.empty()) return;
  internal::tls_budget = internal::kTransferBudget;
  // The counter that BatchTimeIsUp has read says whether the clock can have moved on.
  if (is_simulated_ || IsClockOld()) RefreshClock();
  timers_.CollectDue(now_);
  while (internal::TimerNode* timer = timers_.PopDue()) {
    static_cast<internal::TimerEvent*>(timer)->OnTimer();
    core_.RunFinished();
  }
}

void Loop::PollOrSleep() {
  if (HasReady()) {
    if (!is_poll_due_ && !is_simulated_) return;
    is_poll_due_ = false;
    const uint64_t ticks = Ticks();
    busy_.AddAlone(ticks - poll_ticks_);
    poll_ticks_ = ticks;
    backend_.Turn(TimePoint());
    return;
  }
  if (spin_max_ > Duration::zero() && SpinForWork()) return;
  if (!TrySleep()) return;
  busy_.AddAlone(Ticks() - poll_ticks_);
  Poll(timers_.NextExpiry().value_or(kNever));
}

void Loop::Poll(TimePoint until) {
  backend_.Turn(until);
  poll_ticks_ = check_ticks_ = Ticks();
  is_poll_due_ = false;
  clock_ticks_ = 0;  // time has passed: read the clock afresh
}

bool Loop::TrySleep() {
  if (!inbox_.TrySleep()) return false;
  is_asleep_ = true;
  sleeps_.Add(1);
  return true;
}

// Looks for messages, and now and then at the backend, until there is something, a timer is due, or the time is over. That
// time grows while this finds work, and shrinks while it does not, so an idle loop spends little on it.
bool Loop::SpinForWork() {
  spin_ = std::clamp(spin_, spin_max_ / kSpinShare, spin_max_);
  const TimePoint start = backend_.ReadClock();
  const TimePoint end = std::min(start + spin_, timers_.NextExpiry().value_or(kNever));
  bool has_work = false;
  busy_.AddAlone(Ticks() - poll_ticks_);
  for (TimePoint now = start; now < end && !has_work; now = backend_.ReadClock()) {
    for (int i = 0; i < kSpinChecks && !has_work; ++i) {
      has_work = !inbox_.LooksEmpty();
      internal::Pause();
    }
    if (has_work) break;
    Poll(TimePoint());
    has_work = !core_.ready.empty();
  }
  spin_ = has_work ? spin_ * 2 : spin_ / 2;
  poll_ticks_ = Ticks();
  clock_ticks_ = 0;
  return has_work;
}

LoopMetrics Loop::metrics() const {
  LoopMetrics metrics;
  const BackendCounters& backend = std::as_const(backend_).counters();
  metrics.turns = turns_.value();
  metrics.runs = runs_.value();
  metrics.spawned = core_.last_task_id.value();
  metrics.messages = messages_.value();
  metrics.wakes = wakes_.value();
  metrics.polls = backend.waits.value();
  metrics.sleeps = sleeps_.value();
  metrics.syscalls = backend.syscalls.value();
  metrics.events = backend.events.value();
  metrics.busy = busy_.Read(tick_scale_);
  return metrics;
}

void Loop::End() {
  while (internal::LoopBound* bound = bound_.PopFront()) bound->OnLoopEnd();
  auto drop = [this](internal::InboxNode* node) {
    while (node != nullptr) {
      internal::InboxNode* next = node->next;
      auto* runnable = static_cast<internal::Runnable*>(node);
      if (runnable->is_callback()) ++left_over_.callbacks;
      runnable->Drop();
      node = next;
    }
  };
  internal::InboxNode* posted = inbox_.Close();
  CountOwedWake(posted != nullptr);
  drop(posted);
  // What is dropped may drop other things: callbacks own whatever the program put into them.
  for (;;) {
    if (internal::Runnable* node = core_.ready.Pop()) {
      node->next = nullptr;
      drop(node);
    } else if (internal::TimerNode* timer = timers_.PopAny()) {
      ++left_over_.timers;
      static_cast<internal::TimerEvent*>(timer)->OnLoopEnd();
    } else if (internal::LoopBound* bound = bound_.PopFront()) {
      bound->OnLoopEnd();
    } else {
      break;
    }
  }
  left_over_.descriptors = backend_.DetachAll();
  if (owed_wakes_ > 0) backend_.AwaitWakes(owed_wakes_);
  is_running_ = false;
  core_.thread.Leave();
}

void Timer::Cancel() {
  if (!IsActive()) return;
  internal::TimerState* state = state_;  // the callable may own this very handle
  internal::CheckHome(&state->home(), "a Timer");
  state->home().loop.timers_.Disarm(*state);
  state->DestroyCallable();
  state->Unref();
}

}  // namespace gyre
