// A random walk of 100 000 operations over each signal, beside a plain model.
//
// Eight tasks wait at it; a ninth decides at random who comes, what is signalled, and who is stopped, also right after
// the signal, when a task has been woken and has not run. After each such burst everybody must be where the model has
// them, and as many must have gone on.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "gyre/runtime/internal/rng.h"
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
constexpr int kOperations = 100'000;

// The thing itself, so that the walk is compiled once.
class AnySignal {
 public:
  virtual ~AnySignal() = default;
  virtual Task<> Wait() = 0;
  virtual void Poke(size_t what) = 0;
};

// What it does, in plain words. It begins anew by itself when nothing more can happen.
class Model {
 public:
  virtual ~Model() = default;
  virtual void Arrive(size_t task) { waiting.push_back(task); }
  virtual void Poke(size_t what) = 0;
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

  std::vector<size_t> waiting;  // in order of arrival
  std::vector<size_t> woken;    // in this burst
  size_t passed = 0;

 protected:
  void WakeFirst() {
    woken.push_back(waiting.front());
    waiting.erase(waiting.begin());
  }
  void WakeAll() {
    while (!waiting.empty()) WakeFirst();
  }
};

template <class Form>
class WalkedEvent final : public AnySignal {
 public:
  Task<> Wait() override { co_await event_.Wait(); }
  void Poke(size_t what) override { what % 2 == 0 ? event_.Set() : event_.Reset(); }

 private:
  BasicEvent<Form> event_;
};
class EventModel final : public Model {
  void Arrive(size_t task) override { (is_set_ ? woken : waiting).push_back(task); }
  void Poke(size_t what) override {
    is_set_ = what % 2 == 0;
    if (is_set_) WakeAll();
  }
  bool is_set_ = false;
};

template <class Form>
class WalkedNotify final : public AnySignal {
 public:
  Task<> Wait() override { co_await notify_.Wait(); }
  void Poke(size_t what) override { what % 4 != 0 ? notify_.NotifyOne() : notify_.NotifyAll(); }

 private:
  BasicNotify<Form> notify_;
};
// Of a Condition, too, which keeps none.
class NotifyModel final : public Model {
 public:
  explicit NotifyModel(bool keeps) : keeps_(keeps) {}

 private:
  void Arrive(size_t task) override {
    if (std::exchange(is_kept_, false)) return woken.push_back(task);
    waiting.push_back(task);
  }
  void Poke(size_t what) override {
    is_one_ = what % 4 != 0;
    if (!is_one_) return WakeAll();
    NotifyOne();
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
  Task<> Wait() override {
    BasicMutexGuard<Form> guard = co_await mutex_.Lock();
    co_await condition_.Wait(guard);
  }
  void Poke(size_t what) override {
    const std::optional<BasicMutexGuard<Form>> guard = mutex_.TryLock();
    EXPECT_TRUE(guard.has_value()) << "all is quiet";
    what % 4 != 0 ? condition_.NotifyOne(*guard) : condition_.NotifyAll(*guard);
  }

 private:
  BasicMutex<Form> mutex_;
  BasicCondition<Form> condition_{mutex_};
};

template <class Form>
class WalkedLatch final : public AnySignal {
 public:
  Task<> Wait() override { co_await latch_->Wait(); }
  void Poke(size_t) override {
    if (latch_->count() == 0) latch_ = std::make_unique<BasicLatch<Form>>(3);
    latch_->CountDown();
  }

 private:
  std::unique_ptr<BasicLatch<Form>> latch_ = std::make_unique<BasicLatch<Form>>(3);
};
class LatchModel final : public Model {
  void Arrive(size_t task) override { (count_ == 0 ? woken : waiting).push_back(task); }
  void Poke(size_t) override {
    if (count_ == 0) count_ = 3;
    if (--count_ == 0) WakeAll();
  }
  size_t count_ = 3;
};

template <class Form>
class WalkedBarrier final : public AnySignal {
 public:
  Task<> Wait() override { static_cast<void>(co_await barrier_.ArriveAndWait()); }
  void Poke(size_t what) override { what % 8 == 0 ? barrier_.Abort() : barrier_.Reset(); }

 private:
  BasicBarrier<Form> barrier_{5};
};
class BarrierModel final : public Model {
  void Arrive(size_t task) override {
    (is_broken_ ? woken : waiting).push_back(task);
    if (waiting.size() == 5) WakeAll();
  }
  void Poke(size_t what) override {
    is_broken_ = what % 8 == 0;
    WakeAll();
  }
  bool is_broken_ = false;
};

template <class Form>
class WalkedGate final : public AnySignal {
 public:
  Task<> Wait() override { co_await gate_->Drain(); }
  void Poke(size_t what) override {
    if (gate_->is_closed() && gate_->inside() == 0) gate_ = std::make_unique<BasicGate<Form>>();
    if (what % 3 == 2) return passes_.clear();
    auto pass = gate_->Enter();
    EXPECT_EQ(pass.ok(), !gate_->is_closed());
    if (pass.ok()) passes_.push_back(*std::move(pass));
  }

 private:
  std::unique_ptr<BasicGate<Form>> gate_ = std::make_unique<BasicGate<Form>>();
  std::vector<BasicGatePass<Form>> passes_;
};
class GateModel final : public Model {
  void Arrive(size_t task) override {
    is_closed_ = true;
    (inside_ == 0 ? woken : waiting).push_back(task);
  }
  void Poke(size_t what) override {
    if (is_closed_ && inside_ == 0) is_closed_ = false;
    if (what % 3 == 2) {
      inside_ = 0;
      WakeAll();
    } else if (!is_closed_) {
      ++inside_;
    }
  }
  bool is_closed_ = false;
  size_t inside_ = 0;
};

template <class Form>
class WalkedOnce final : public AnySignal {
 public:
  Task<> Wait() override {
    auto work = [this]() -> Task<> {
      co_await finish_.Wait();
      if (!ends_well_) throw std::runtime_error("planned");
    };
    try {
      co_await once_->Run(work);
    } catch (const std::runtime_error&) {
    }
  }
  void Poke(size_t what) override {
    if (once_->is_done()) once_ = std::make_unique<BasicOnce<Form>>();
    ends_well_ = what % 2 == 0;
    if (finish_.waiting() != 0) finish_.LetOnePass();
  }

 private:
  std::unique_ptr<BasicOnce<Form>> once_ = std::make_unique<BasicOnce<Form>>();
  Gate finish_;
  bool ends_well_ = false;
};
class OnceModel final : public Model {
  void Arrive(size_t task) override { (is_done_ ? woken : waiting).push_back(task); }
  void Poke(size_t what) override {
    is_done_ = false;
    if (waiting.empty()) return;
    is_done_ = what % 2 == 0;
    if (is_done_) return WakeAll();
    WakeFirst();  // the leader, which failed
  }
  bool may_stop_woken() const override { return false; }  // it is told in the next turn only
  bool is_done_ = false;
};

struct Slot {
  bool is_waiting = false;
  TaskHandle<> task;
};

class Walk {
 public:
  Walk(AnySignal& signal, Model& model, uint64_t seed) : signal_(signal), model_(model), rng_(seed) {}

  Task<> Run() {
    auto body = [this](Scope& scope) -> Task<> {
      while (operations_ < kOperations && !::testing::Test::HasFailure()) {
        Burst(scope);
        ++bursts_;
        for (size_t i = 0; i < kTasks + 4; ++i) co_await Yield();
        model_.Settle();
        Check();
      }
      scope.RequestStop();
    };
    co_await WithScope(body);
    EXPECT_GT(model_.passed, 1000u);
    EXPECT_GT(stopped_, 1000u);
    EXPECT_GE(stopped_woken_, model_.may_stop_woken() ? 500u : 0u);
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
      signal_.Poke(what);
      model_.Poke(what);
    }
    if (is_poked && !model_.may_stop_woken()) return;
    for (size_t i = rng_.Below(4); i != 0; --i) Stop(rng_.Below(kTasks));
  }
  void Arrive(Scope& scope, size_t task) {
    Slot& slot = slots_[task];
    if (slot.is_waiting) return;
    ++operations_;
    slot.is_waiting = true;
    slot.task = scope.Spawn([this, &slot] { return WaitAt(slot); });
    model_.Arrive(task);
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
  Task<> WaitAt(Slot& slot) {
    struct Away {
      explicit Away(bool& flag) : is_waiting(flag) {}
      ~Away() { is_waiting = false; }
      bool& is_waiting;
    } const away(slot.is_waiting);
    co_await signal_.Wait();
    ++passed_;
  }
  void Check() {
    for (size_t i = 0; i < kTasks; ++i) EXPECT_EQ(slots_[i].is_waiting, model_.IsWaiting(i)) << "task " << i << ", burst " << bursts_;
    EXPECT_EQ(passed_, model_.passed) << "burst " << bursts_;
  }

  AnySignal& signal_;
  Model& model_;
  gyre::internal::Rng rng_;
  std::array<Slot, kTasks> slots_;
  size_t passed_ = 0;
  size_t stopped_ = 0;
  size_t stopped_woken_ = 0;
  int operations_ = 0;
  int bursts_ = 0;
};

void WalkAlong(AnySignal& signal, Model& model) {
  InCalmSimulation([&]() -> Task<> {
    Walk walk(signal, model, /*seed=*/1);
    co_await walk.Run();
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
  WalkAlong(signal, model);
}
TYPED_TEST(SignalWalk, Gate) {
  WalkedGate<TypeParam> signal;
  GateModel model;
  WalkAlong(signal, model);
}
TYPED_TEST(SignalWalk, Once) {
  WalkedOnce<TypeParam> signal;
  OnceModel model;
  WalkAlong(signal, model);
}

}  // namespace
}  // namespace gyre::testing
