// A random walk of 100 000 operations (20 000 with debug checks) over each signal, beside a plain model.
//
// Eight tasks wait at it; a ninth decides at random who comes, what is signalled, and who is stopped, also right after
// the signal, when a task has been woken and has not run. After each such burst everybody must be where the model has
// them, those that went on with the result that it has for them.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/runtime/internal/rng.h"
#include "gyre/runtime/is_unwinding.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/sync/barrier.h"
#include "gyre/sync/condition.h"
#include "gyre/sync/event.h"
#include "gyre/sync/gate.h"
#include "gyre/sync/latch.h"
#include "gyre/sync/mutex.h"
#include "gyre/sync/notify.h"
#include "gyre/sync/once.h"
#include "gyre/tests/support/gate.h"
#include "gyre/tests/support/worlds.h"
#include "gyre/tests/sync/waits.h"

namespace gyre::testing {
namespace {

constexpr size_t kTasks = 8;
#ifdef GYRE_DEBUG_CHECKS  // the sanitizers' builds: some twenty times slower
constexpr size_t kOperations = 20'000;
#else
constexpr size_t kOperations = 100'000;
#endif
constexpr size_t kMany = kOperations / 200;

// What a wait gives where there is no more to say than that it went on; and what a Barrier gives in place of a place.
constexpr int kPassed = 0;
constexpr int kBroken = -1;
constexpr int kReset = -2;
constexpr int kNone = -3;

// The thing itself, so that the walk is compiled once. `what` is random.
class AnySignal {
 public:
  virtual ~AnySignal() = default;
  virtual Task<int> Wait(size_t what) = 0;
  // Gives what the signal says of itself afterwards.
  virtual size_t Poke(size_t what) = 0;
};

// What it does, in plain words. It begins anew by itself when nothing more can happen.
class Model {
 public:
  virtual ~Model() = default;
  virtual void Arrive(size_t task, size_t what) = 0;
  virtual size_t Poke(size_t what) = 0;
  // One that was woken is stopped before it has run.
  virtual void OnWokenStopped(size_t) {}
  virtual bool may_stop_woken() const { return true; }

  void Stop(size_t task) {
    if (std::erase(waiting, task) != 0) return;
    if (std::erase(woken, task) != 0) OnWokenStopped(task);
  }
  void Settle() {
    passed += woken.size();
    woken.clear();
  }
  bool IsWaiting(size_t task) const { return std::find(waiting.begin(), waiting.end(), task) != waiting.end(); }

  std::vector<size_t> waiting;           // in order of arrival
  std::vector<size_t> woken;             // in this burst
  std::array<int, kTasks> results = {};  // of those
  size_t passed = 0;

 protected:
  void Pass(size_t task, int result) {
    woken.push_back(task);
    results[task] = result;
  }
  void PassOrWait(bool passes, size_t task, int result = kPassed) { passes ? Pass(task, result) : waiting.push_back(task); }
  void WakeFirst(int result = kPassed) {
    Pass(waiting.front(), result);
    waiting.erase(waiting.begin());
  }
  void WakeAll(int result = kPassed) {
    while (!waiting.empty()) WakeFirst(result);
  }
};

template <class Form>
class WalkedEvent final : public AnySignal {
 public:
  Task<int> Wait(size_t) override {
    co_await event_.Wait();
    co_return kPassed;
  }
  size_t Poke(size_t what) override {
    what % 2 == 0 ? event_.Set() : event_.Reset();
    return event_.is_set();
  }

 private:
  BasicEvent<Form> event_;
};
class EventModel final : public Model {
  void Arrive(size_t task, size_t) override { PassOrWait(is_set_, task); }
  size_t Poke(size_t what) override {
    is_set_ = what % 2 == 0;
    if (is_set_) WakeAll();
    return is_set_;
  }
  bool is_set_ = false;
};

template <class Form>
class WalkedNotify final : public AnySignal {
 public:
  Task<int> Wait(size_t) override {
    co_await notify_.Wait();
    co_return kPassed;
  }
  size_t Poke(size_t what) override {
    what % 4 != 0 ? notify_.NotifyOne() : notify_.NotifyAll();
    return notify_.waiting();
  }

 private:
  BasicNotify<Form> notify_;
};
// Of a Condition, too, which keeps none.
class NotifyModel final : public Model {
 public:
  explicit NotifyModel(bool keeps) : keeps_(keeps) {}

 private:
  void Arrive(size_t task, size_t) override { PassOrWait(std::exchange(is_kept_, false), task); }
  size_t Poke(size_t what) override {
    is_one_ = what % 4 != 0;
    is_one_ ? NotifyOne() : WakeAll();
    return waiting.size();
  }
  void NotifyOne() {
    if (waiting.empty()) {
      is_kept_ = keeps_;
    } else {
      WakeFirst();
    }
  }
  void OnWokenStopped(size_t) override {
    if (is_one_) NotifyOne();
  }
  const bool keeps_;
  bool is_kept_ = false;
  bool is_one_ = false;  // what woke those of this burst
};

template <class Form>
class WalkedCondition final : public AnySignal {
 public:
  Task<int> Wait(size_t) override {
    BasicMutexGuard<Form> guard = co_await mutex_.Lock();
    const HasLock has_lock(guard);
    co_await condition_.Wait(guard);
    EXPECT_FALSE(mutex_.TryLock().has_value());
    co_return kPassed;
  }
  size_t Poke(size_t what) override {
    const std::optional<BasicMutexGuard<Form>> guard = mutex_.TryLock();
    EXPECT_TRUE(guard.has_value()) << "all is quiet";
    what % 4 != 0 ? condition_.NotifyOne(*guard) : condition_.NotifyAll(*guard);
    return condition_.waiting();
  }

 private:
  // Whatever ends a wait, it has the lock. [G03] [G04]
  class HasLock {
   public:
    explicit HasLock(const BasicMutexGuard<Form>& guard) : guard_(guard) {}
    ~HasLock() { EXPECT_TRUE(guard_.is_locked()) << (IsUnwinding() ? "stopped" : "it has gone on"); }

   private:
    const BasicMutexGuard<Form>& guard_;
  };

  BasicMutex<Form> mutex_;
  BasicCondition<Form> condition_{mutex_};
};

constexpr size_t kLatchCount = 6;
// By how much it is counted down, of `count` that are left: often by nothing.
size_t LatchStep(size_t count, size_t what) { return what % 2 == 0 ? 0 : std::min(count, what % 5); }

template <class Form>
class WalkedLatch final : public AnySignal {
 public:
  Task<int> Wait(size_t what) override {
    const size_t by = LatchStep(latch_->count(), what);
    if (by == 0) {
      co_await latch_->Wait();
    } else {
      co_await latch_->ArriveAndWait(by);
    }
    co_return kPassed;
  }
  size_t Poke(size_t what) override {
    if (latch_->count() == 0) latch_ = std::make_unique<BasicLatch<Form>>(kLatchCount);
    latch_->CountDown(LatchStep(latch_->count(), what));
    return latch_->count();
  }

 private:
  std::unique_ptr<BasicLatch<Form>> latch_ = std::make_unique<BasicLatch<Form>>(kLatchCount);
};
class LatchModel final : public Model {
  void Arrive(size_t task, size_t what) override {
    CountDown(what);
    PassOrWait(count_ == 0, task);
  }
  size_t Poke(size_t what) override {
    if (count_ == 0) count_ = kLatchCount;
    CountDown(what);
    return count_;
  }
  void CountDown(size_t what) {
    count_ -= LatchStep(count_, what);
    if (count_ == 0) WakeAll();
  }
  size_t count_ = kLatchCount;
};

constexpr size_t kParties = 4;

template <class Form>
class WalkedBarrier final : public AnySignal {
 public:
  Task<int> Wait(size_t) override {
    const absl::StatusOr<size_t> place = co_await barrier_.ArriveAndWait();
    if (place.ok()) co_return static_cast<int>(*place);
    co_return place.status().code() == absl::StatusCode::kAborted ? kReset : kBroken;
  }
  size_t Poke(size_t what) override {
    if (what % 8 == 0) barrier_.Abort();
    if (what % 8 > 3) barrier_.Reset();
    return barrier_.is_broken() ? kTasks : barrier_.waiting();
  }

 private:
  BasicBarrier<Form> barrier_{kParties};
};
class BarrierModel final : public Model {
  void Arrive(size_t task, size_t) override {
    PassOrWait(is_broken_, task, kBroken);
    if (waiting.size() < kParties) return;
    for (int place = 0; !waiting.empty(); ++place) WakeFirst(place);
  }
  size_t Poke(size_t what) override {
    if (what % 8 == 0 || what % 8 > 3) {
      is_broken_ = what % 8 == 0;
      WakeAll(is_broken_ ? kBroken : kReset);
    }
    return is_broken_ ? kTasks : waiting.size();
  }
  bool is_broken_ = false;
};

// What is done to a gate, and the number that says how it is then.
enum class GateAct { kEnter, kLeaveOne, kLeaveAll, kClose };
GateAct GateActOf(size_t what) {
  if (what % 16 < 9) return GateAct::kEnter;
  if (what % 16 < 13) return GateAct::kLeaveOne;
  return what % 16 < 15 ? GateAct::kLeaveAll : GateAct::kClose;
}
size_t GateState(bool has_entered, bool is_closed, size_t inside) { return 4 * inside + 2 * is_closed + has_entered; }

template <class Form>
class WalkedGate final : public AnySignal {
 public:
  Task<int> Wait(size_t) override {
    co_await gate_->Drain();
    co_return kPassed;
  }
  size_t Poke(size_t what) override {
    if (gate_->is_closed() && gate_->inside() == 0) gate_ = std::make_unique<BasicGate<Form>>();
    const bool has_entered = Act(GateActOf(what), what);
    return GateState(has_entered, gate_->is_closed(), gate_->inside());
  }

 private:
  bool Act(GateAct act, size_t what) {
    if (act == GateAct::kEnter) {
      auto pass = gate_->Enter();
      if (pass.ok()) passes_.push_back(*std::move(pass));
      return pass.ok();
    }
    if (act == GateAct::kClose) gate_->Close();
    if (act == GateAct::kLeaveAll) passes_.clear();
    if (act == GateAct::kLeaveOne && !passes_.empty()) {
      std::swap(passes_[what % passes_.size()], passes_.back());
      passes_.pop_back();
    }
    return false;
  }

  std::unique_ptr<BasicGate<Form>> gate_ = std::make_unique<BasicGate<Form>>();
  std::vector<BasicGatePass<Form>> passes_;
};
class GateModel final : public Model {
  void Arrive(size_t task, size_t) override {
    is_closed_ = true;
    PassOrWait(inside_ == 0, task);
  }
  size_t Poke(size_t what) override {
    if (is_closed_ && inside_ == 0) is_closed_ = false;
    const GateAct act = GateActOf(what);
    const bool enters = act == GateAct::kEnter && !is_closed_;
    if (enters) ++inside_;
    if (act == GateAct::kClose) is_closed_ = true;
    if (act == GateAct::kLeaveAll) inside_ = 0;
    if (act == GateAct::kLeaveOne && inside_ > 0) --inside_;
    if (inside_ == 0) WakeAll();
    return GateState(enters, is_closed_, inside_);
  }
  bool is_closed_ = false;
  size_t inside_ = 0;
};

template <class Form>
class WalkedOnce final : public AnySignal {
 public:
  Task<int> Wait(size_t) override {
    auto work = [this]() -> Task<> {
      co_await finish_.Wait();
      if (!ends_well_) throw std::runtime_error("planned");
    };
    try {
      co_await once_->Run(work);
    } catch (const std::runtime_error&) {
      co_return kBroken;
    }
    co_return kPassed;
  }
  size_t Poke(size_t what) override {
    if (once_->is_done()) once_ = std::make_unique<BasicOnce<Form>>();
    ends_well_ = what % 2 == 0;
    const size_t at_work = finish_.waiting();
    if (at_work != 0) finish_.LetOnePass();
    return at_work;
  }

 private:
  std::unique_ptr<BasicOnce<Form>> once_ = std::make_unique<BasicOnce<Form>>();
  Gate finish_;
  bool ends_well_ = false;
};
class OnceModel final : public Model {
  void Arrive(size_t task, size_t) override { PassOrWait(is_done_, task); }
  size_t Poke(size_t what) override {
    is_done_ = false;
    if (waiting.empty()) return 0;
    is_done_ = what % 2 == 0;
    if (is_done_) {
      WakeAll();
    } else {
      WakeFirst(kBroken);  // the leader
    }
    return 1;
  }
  bool may_stop_woken() const override { return false; }  // it is told in the next turn only
  bool is_done_ = false;
};

struct Slot {
  bool is_waiting = false;
  int result = 0;  // of its last wait that went on
  TaskHandle<> task;
};

class Walk {
 public:
  Walk(AnySignal& signal, Model& model, uint64_t seed) : signal_(signal), model_(model), rng_(seed) {}

  // Those that go on have each of `results` many times.
  Task<> Run(std::vector<int> results) {
    auto body = [this](Scope& scope) -> Task<> {
      while (operations_ < kOperations && !::testing::Test::HasFailure()) {
        Burst(scope);
        ++bursts_;
        for (size_t i = 0; i < kTasks + 4; ++i) co_await Yield();
        Check();
      }
      scope.RequestStop();
    };
    co_await WithScope(body);
    EXPECT_GT(model_.passed, 2 * kMany);
    EXPECT_GT(stopped_, 2 * kMany);
    EXPECT_GE(stopped_woken_, model_.may_stop_woken() ? kMany : 0);
    for (const int result : results) EXPECT_GT(results_[result], kMany) << "result " << result;
  }

 private:
  void Burst(Scope& scope) {
    if (rng_.Below(2) == 0) {
      for (size_t i = rng_.Below(3) + 1; i != 0; --i) Arrive(scope, rng_.Below(kTasks));
      return;
    }
    const bool is_poked = rng_.Below(3) != 0;
    if (is_poked) {
      ++operations_;
      const size_t what = rng_.Below(1000);
      EXPECT_EQ(signal_.Poke(what), model_.Poke(what)) << "poke " << what << ", burst " << bursts_;
    }
    if (is_poked && !model_.may_stop_woken()) return;
    for (size_t i = rng_.Below(4); i != 0; --i) Stop(rng_.Below(kTasks));
  }
  void Arrive(Scope& scope, size_t task) {
    Slot& slot = slots_[task];
    if (slot.is_waiting) return;
    ++operations_;
    slot.is_waiting = true;
    const size_t what = rng_.Below(1000);
    slot.task = scope.Spawn([this, &slot, what] { return WaitAt(slot, what); });
    model_.Arrive(task, what);
  }
  void Stop(size_t task) {
    Slot& slot = slots_[task];
    if (!slot.is_waiting || slot.task.Done()) return;
    ++operations_;
    const bool is_woken = std::find(model_.woken.begin(), model_.woken.end(), task) != model_.woken.end();
    ++(is_woken ? stopped_woken_ : stopped_);
    slot.task.RequestStop();
    model_.Stop(task);
  }
  Task<> WaitAt(Slot& slot, size_t what) {
    struct Away {
      explicit Away(bool& flag) : is_waiting(flag) {}
      ~Away() { is_waiting = false; }
      bool& is_waiting;
    } const away(slot.is_waiting);
    slot.result = kNone;
    const int result = co_await signal_.Wait(what);
    slot.result = result;
    ++passed_;
  }
  void Check() {
    for (const size_t task : model_.woken) {
      EXPECT_EQ(slots_[task].result, model_.results[task]) << "task " << task << ", burst " << bursts_;
      ++results_[model_.results[task]];
    }
    model_.Settle();
    for (size_t i = 0; i < kTasks; ++i) {
      EXPECT_EQ(slots_[i].is_waiting, model_.IsWaiting(i)) << "task " << i << ", burst " << bursts_;
    }
    EXPECT_EQ(passed_, model_.passed) << "burst " << bursts_;
  }

  AnySignal& signal_;
  Model& model_;
  gyre::internal::Rng rng_;
  std::array<Slot, kTasks> slots_;
  std::map<int, size_t> results_;
  size_t passed_ = 0;
  size_t stopped_ = 0;
  size_t stopped_woken_ = 0;
  size_t operations_ = 0;
  int bursts_ = 0;
};

void WalkAlong(AnySignal& signal, Model& model, const std::vector<int>& results = {kPassed}) {
  InCalmSimulation([&]() -> Task<> {
    Walk walk(signal, model, /*seed=*/1);
    co_await walk.Run(results);
  });
}

template <class Form>
class SignalWalk : public ::testing::Test {};
TYPED_TEST_SUITE(SignalWalk, Forms);

TYPED_TEST(SignalWalk, Event) {
  WalkedEvent<TypeParam> signal;
  EventModel model;
  WalkAlong(signal, model);
}
TYPED_TEST(SignalWalk, Notify) {
  WalkedNotify<TypeParam> signal;
  NotifyModel model(/*keeps=*/true);
  WalkAlong(signal, model);
}
TYPED_TEST(SignalWalk, Condition) {
  WalkedCondition<TypeParam> signal;
  NotifyModel model(/*keeps=*/false);
  WalkAlong(signal, model);
}
TYPED_TEST(SignalWalk, Latch) {
  WalkedLatch<TypeParam> signal;
  LatchModel model;
  WalkAlong(signal, model);
}
TYPED_TEST(SignalWalk, Barrier) {
  WalkedBarrier<TypeParam> signal;
  BarrierModel model;
  WalkAlong(signal, model, {0, 1, 2, 3, kBroken, kReset});
}
TYPED_TEST(SignalWalk, Gate) {
  WalkedGate<TypeParam> signal;
  GateModel model;
  WalkAlong(signal, model);
}
TYPED_TEST(SignalWalk, Once) {
  WalkedOnce<TypeParam> signal;
  OnceModel model;
  WalkAlong(signal, model, {kPassed, kBroken});
}

}  // namespace
}  // namespace gyre::testing
