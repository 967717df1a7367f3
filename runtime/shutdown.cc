#include "gyre/runtime/shutdown.h"

#include <algorithm>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <new>
#include <source_location>
#include <string>

#include "gyre/runtime/deadline.h"
#include "gyre/runtime/internal/clock.h"
#include "gyre/runtime/internal/intrusive_list.h"
#include "gyre/runtime/leaf.h"
#include "gyre/runtime/log.h"
#include "gyre/runtime/loop.h"

namespace gyre {
namespace internal {
namespace {

// How long the cut waits for intakes, once the grace time is over: far longer than a loop that lives needs to close one.
constexpr Duration kIntakePatience = std::chrono::seconds(1);

// In order; none is left for an earlier one, and all loops are in the same.
enum class Stage : uint8_t {
  kRunning,    // left by Request
  kDraining,   // left by the first loop whose timer rings at the deadline, or by CutShort
  kGraceOver,  // left when the last intake is closed, or by the first loop that has waited long enough for it
  kCut,
};

}  // namespace

// Waits until a stage is reached.
class [[nodiscard]] StageReached final : public Leaf, public ListHook<StageReached> {
 public:
  StageReached(ShutdownState& state, Stage stage) : state_(state), stage_(stage) {}

  template <class P>
  bool await_suspend(std::coroutine_handle<P> awaiting) {
    return Suspend(awaiting, [this] { return !Enqueue(); });
  }
  void await_resume() const noexcept {}

  Stage stage() const { return stage_; }
  // By whoever has taken it out of the list, on any thread.
  void OnReached() { CompleteFromAnyThread(); }

 private:
  bool Enqueue();
  void OnStop() noexcept override;

  ShutdownState& state_;
  const Stage stage_;
};

// Leaves are completed under the lock. That of a waiting coroutine can't go away before: whoever takes it out of the list
// completes it, and nobody else. The lock calls nothing but a push into a loop's inbox.
class ShutdownState {
 public:
  explicit ShutdownState(Duration grace) : grace_(grace) {}

  bool Request(StopReason&& reason) noexcept {
    {
      const std::lock_guard lock(mutex_);
      if (!Begin(std::move(reason), grace_)) return false;
      Enter(Stage::kDraining);
    }
    source_.request_stop();
    return true;
  }
  bool CutShort(StopReason&& reason) noexcept {
    bool was_over = false;
    {
      const std::lock_guard lock(mutex_);
      if (stage_ >= Stage::kGraceOver) return false;
      if (!Begin(std::move(reason), Duration::zero())) {
        was_over = IsDeadlinePast();
        deadline_ = std::min(deadline_, Now());
      }
      Enter(Stage::kGraceOver);
    }
    source_.request_stop();
    return !was_over;
  }
  void EndGrace() noexcept {
    const std::lock_guard lock(mutex_);
    Enter(Stage::kGraceOver);
  }
  // Without waiting for the intakes that are still open.
  void Cut() noexcept {
    size_t open = 0;
    {
      const std::lock_guard lock(mutex_);
      if (stage_ < Stage::kCut) open = intakes_;
      Enter(Stage::kCut);
    }
    if (open > 0) LogOpenIntakes(open);
  }

  void OpenIntake() noexcept {
    const std::lock_guard lock(mutex_);
    ++intakes_;
  }
  void CloseIntake() noexcept {
    const std::lock_guard lock(mutex_);
    if (--intakes_ == 0 && stage_ == Stage::kGraceOver) Enter(Stage::kCut);
  }

  // False: the stage is reached already.
  bool Enqueue(StageReached& leaf) noexcept {
    const std::lock_guard lock(mutex_);
    if (leaf.stage() <= stage_) return false;
    waiting_.PushBack(leaf);
    return true;
  }
  // False: it has been completed, or is about to be.
  bool Remove(StageReached& leaf) noexcept {
    const std::lock_guard lock(mutex_);
    const bool was_waiting = leaf.is_linked();
    if (was_waiting) waiting_.Remove(leaf);
    return was_waiting;
  }

  bool requested() const {
    const std::lock_guard lock(mutex_);
    return stage_ > Stage::kRunning;
  }
  StopReason reason() const {
    const std::lock_guard lock(mutex_);
    return reason_;
  }
  TimePoint deadline() const {
    const std::lock_guard lock(mutex_);
    return deadline_;
  }
  // On `loop`, once requested. Virtual time knows nothing of a request from outside: there the grace time begins now.
  TimePoint DeadlineOn(Loop& loop) {
    const std::lock_guard lock(mutex_);
    if (IsVirtual(loop) && is_steady_ && stage_ == Stage::kDraining) {
      deadline_ = After(loop.ReadClock(), grace_);
      is_virtual_ = true;
    }
    is_steady_ = false;
    return deadline_;
  }
  std::stop_token stop_token() const { return source_.get_token(); }

 private:
  static TimePoint Now() {
    Loop* const loop = Loop::TryCurrent();
    return loop != nullptr ? loop->ReadClock() : SteadyNow();
  }

  bool Begin(StopReason&& reason, Duration grace) {
    if (stage_ > Stage::kRunning) return false;
    reason_ = std::move(reason);
    deadline_ = After(Now(), grace);
    Loop* const loop = Loop::TryCurrent();
    is_steady_ = loop == nullptr;
    is_virtual_ = loop != nullptr && IsVirtual(*loop);
    return true;
  }
  static bool IsVirtual(Loop& loop) { return loop.backend().tick_shift() == 0; }
  // Although nobody has noticed: those who wait for the grace time's end keep the time. Not known on another clock.
  bool IsDeadlinePast() const {
    Loop* const loop = Loop::TryCurrent();
    return is_virtual_ == (loop != nullptr && IsVirtual(*loop)) && deadline_ <= Now();
  }

  void Enter(Stage stage) {
    if (stage <= stage_) return;
    stage_ = stage == Stage::kGraceOver && intakes_ == 0 ? Stage::kCut : stage;
    StageReached* next = nullptr;
    for (StageReached* leaf = waiting_.front(); leaf != nullptr; leaf = next) {
      next = waiting_.Next(*leaf);
      if (leaf->stage() > stage_) continue;
      waiting_.Remove(*leaf);
      leaf->OnReached();
    }
  }

  static void LogOpenIntakes(size_t open) noexcept try {
    Log("gyre: shutdown: " + std::to_string(open) +
        " that let work in had not stopped 1 s after the grace time: is a loop stuck?");
  } catch (const std::bad_alloc&) {
    Log("gyre: shutdown: somebody still let work in 1 s after the grace time: is a loop stuck?");
  }

  const Duration grace_;
  std::stop_source source_;
  mutable std::mutex mutex_;  // guards what follows
  Stage stage_ = Stage::kRunning;
  size_t intakes_ = 0;
  StopReason reason_{std::source_location()};
  TimePoint deadline_ = kNever;
  bool is_steady_ = false;   // deadline_ is of the steady clock, whatever the loops' is
  bool is_virtual_ = false;  // ... is of virtual time
  IntrusiveList<StageReached> waiting_;
};

bool StageReached::Enqueue() { return state_.Enqueue(*this); }

void StageReached::OnStop() noexcept {
  if (state_.Remove(*this)) CompleteStopped();  // or else its completion is on its way
}

namespace {

Task<> Reach(ShutdownState& state, Stage stage) { co_await StageReached(state, stage); }

Task<> WaitForRequest(std::shared_ptr<ShutdownState> state) { co_await StageReached(*state, Stage::kDraining); }

// Whoever waits keeps the time, and the first to see that it is over says so to all.
Task<> WaitForCut(std::shared_ptr<ShutdownState> state) {
  co_await StageReached(*state, Stage::kDraining);
  const TimePoint deadline = state->DeadlineOn(Loop::Current());
  const bool was_cut_short = co_await MoveOnAt(deadline, Reach(*state, Stage::kGraceOver));
  if (!was_cut_short) state->EndGrace();
  const bool are_intakes_closed = co_await MoveOnAfter(kIntakePatience, Reach(*state, Stage::kCut));
  if (!are_intakes_closed) state->Cut();
}

}  // namespace
}  // namespace internal

Shutdown::Shutdown(Duration grace) : state_(std::make_shared<internal::ShutdownState>(grace)) {}

// Whoever hears of it may end, and destroy this object: the state must outlive the call.
bool Shutdown::Request(StopReason reason) const noexcept {
  const std::shared_ptr<internal::ShutdownState> state = state_;
  return state->Request(std::move(reason));
}

bool Shutdown::CutShort(StopReason reason) const noexcept {
  const std::shared_ptr<internal::ShutdownState> state = state_;
  return state->CutShort(std::move(reason));
}

bool Shutdown::requested() const { return state_->requested(); }
StopReason Shutdown::reason() const { return state_->reason(); }
TimePoint Shutdown::deadline() const { return state_->deadline(); }
std::stop_token Shutdown::stop_token() const { return state_->stop_token(); }

Task<> Shutdown::Requested() const { return internal::WaitForRequest(state_); }
Task<> Shutdown::GraceOver() const { return internal::WaitForCut(state_); }

Shutdown::Intake::Intake(const Shutdown& shutdown) : state_(shutdown.state_) { state_->OpenIntake(); }

void Shutdown::Intake::Close() noexcept {
  const std::shared_ptr<internal::ShutdownState> state = std::move(state_);
  if (state != nullptr) state->CloseIntake();
}

}  // namespace gyre
