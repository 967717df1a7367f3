// A random walk of 100 000 operations over each lock-like, beside a plain model: a queue and a count.
//
// Eight tasks take, hold and give back, some of it or all; a ninth decides at random what they do, several things in one
// turn, so that a stop meets one that has been handed what it waits for and has not run. After each such burst everybody
// must be where the model has them.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "gyre/runtime/internal/rng.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/gate.h"
#include "gyre/tests/support/worlds.h"
#include "gyre/tests/sync/lock_likes.h"

namespace gyre::testing {
namespace {

using gyre::internal::ManyLoops;
using gyre::internal::OneLoop;

constexpr size_t kTasks = 8;
constexpr int kOperations = 100'000;

// So that the walk is compiled once. A hold gives back when it dies.
class AnyHold {
 public:
  virtual ~AnyHold() = default;
  // These say with how many units they did it: 0 also where its like can't do that.
  virtual size_t GiveBackSome(size_t random) = 0;
  virtual size_t HandOnSome(size_t random, AnyHold& to) = 0;
  virtual size_t ForgetSome(size_t random) = 0;
};
class AnyLock {
 public:
  virtual ~AnyLock() = default;
  virtual Task<std::unique_ptr<AnyHold>> Take(size_t units) = 0;
  virtual std::unique_ptr<AnyHold> TryTake(size_t units) = 0;
  virtual size_t waiting() const = 0;
  virtual size_t units() const = 0;
  virtual size_t Ask(size_t random) const = 0;
  virtual bool Resize(size_t units) = 0;
  virtual bool CanChangeHolds() const = 0;
  // Adds what was forgotten.
  virtual void Release(size_t units) = 0;
};

template <class Like>
concept CanGiveBackSome = requires(decltype(*Like::TryTakeSome(std::declval<typename Like::Object&>(), 1)) hold) {
  Like::GiveBackSome(hold, 1);
};
static_assert(CanGiveBackSome<SemaphoreLike<OneLoop>> && CanGiveBackSome<RwLockLike<OneLoop>>);
static_assert(!CanGiveBackSome<MutexLike<OneLoop>>);

template <class Like>
class WalkedLock final : public AnyLock {
 public:
  Task<std::unique_ptr<AnyHold>> Take(size_t units) override {
    auto taken = co_await Like::TakeSome(object_, units);
    co_return Wrap(std::move(taken));
  }
  std::unique_ptr<AnyHold> TryTake(size_t units) override {
    auto taken = Like::TryTakeSome(object_, units);
    return taken ? Wrap(std::move(*taken)) : nullptr;
  }
  size_t waiting() const override { return object_.waiting(); }
  size_t units() const override { return Like::kUnits; }
  size_t Ask(size_t random) const override { return Like::Ask(random); }
  bool Resize(size_t units) override {
    if constexpr (requires { object_.set_total(units); }) {
      object_.set_total(units);
      return true;
    }
    return false;
  }
  bool CanChangeHolds() const override { return CanGiveBackSome<Like>; }
  void Release(size_t units) override {
    if constexpr (requires { object_.Release(units); }) object_.Release(units);
  }

 private:
  template <class Taken>
  struct Held final : AnyHold {
    explicit Held(Taken its) : taken(std::move(its)) {}
    size_t GiveBackSome(size_t random) override {
      if constexpr (requires { Like::GiveBackSome(taken, random); }) return Like::GiveBackSome(taken, random);
      return 0;
    }
    size_t HandOnSome(size_t random, AnyHold& to) override {
      Taken& other = static_cast<Held&>(to).taken;
      if constexpr (requires { Like::HandOnSome(taken, random, other); }) return Like::HandOnSome(taken, random, other);
      return 0;
    }
    size_t ForgetSome(size_t random) override {
      if constexpr (requires { Like::ForgetSome(taken, random); }) return Like::ForgetSome(taken, random);
      return 0;
    }
    Taken taken;
  };
  template <class Taken>
  static std::unique_ptr<AnyHold> Wrap(Taken taken) {
    return std::make_unique<Held<Taken>>(std::move(taken));
  }

  typename Like::Object object_{Like::kUnits};
};

enum class State { kAway, kAsking, kHolding };

class Model {
 public:
  explicit Model(size_t units) : total_(units) {}

  State state(size_t task) const { return states_[task]; }
  size_t waiting() const { return queue_.size(); }
  bool CanTake(size_t units) const { return units == 0 || (queue_.empty() && taken_ + units <= total_); }

  void Arrive(size_t task, size_t units) {
    if (CanTake(units)) return Give(task, units);
    states_[task] = State::kAsking;
    queue_.emplace_back(task, units);
  }
  // By itself, or by a stop.
  void Leave(size_t task) {
    if (states_[task] == State::kHolding) taken_ -= held_[task];
    std::erase_if(queue_, [&](const auto& waiter) { return waiter.first == task; });
    states_[task] = State::kAway;
    HandOut();
  }
  void GiveBackSome(size_t task, size_t units) {
    held_[task] -= units;
    taken_ -= units;
    HandOut();
  }
  void HandOn(size_t from, size_t units, size_t to) {
    held_[from] -= units;
    held_[to] += units;
  }
  void Forget(size_t task, size_t units) {
    total_ -= units;
    GiveBackSome(task, units);
  }
  void Resize(size_t units) {
    total_ = units;
    HandOut();
  }
  size_t total() const { return total_; }

 private:
  void Give(size_t task, size_t units) {
    states_[task] = State::kHolding;
    held_[task] = units;
    taken_ += units;
  }
  void HandOut() {
    while (!queue_.empty() && taken_ + queue_.front().second <= total_) {
      const auto [task, units] = queue_.front();
      queue_.pop_front();
      Give(task, units);
    }
  }

  size_t total_;
  size_t taken_ = 0;
  std::deque<std::pair<size_t, size_t>> queue_;
  std::array<State, kTasks> states_{};
  std::array<size_t, kTasks> held_{};
};

struct Slot {
  State state = State::kAway;
  std::unique_ptr<AnyHold> hold;
  Gate out;
  TaskHandle<> task;
};

Task<> Visit(AnyLock& lock, size_t units, Slot& slot) {
  struct Away {
    explicit Away(Slot& its) : slot(its) { slot.state = State::kAsking; }
    ~Away() {
      slot.hold.reset();
      slot.state = State::kAway;
    }
    Slot& slot;
  } const away(slot);
  slot.hold = co_await lock.Take(units);
  slot.state = State::kHolding;
  co_await slot.out.Wait();
}

class Walk {
 public:
  Walk(AnyLock& lock, uint64_t seed) : lock_(lock), rng_(seed), model_(lock.units()) {}

  Task<> Run() {
    auto body = [this](Scope& scope) -> Task<> {
      while (operations_ < kOperations && !::testing::Test::HasFailure()) {
        if (rng_.Below(4) == 0) {
          Compare();
        } else {
          const size_t burst = 1 + rng_.Below(4);
          std::array<bool, kTasks> is_used{};
          for (size_t i = 0; i < burst; ++i) Act(scope, is_used);
        }
        ++bursts_;
        for (size_t i = 0; i < kTasks + 4; ++i) co_await Yield();
        Check();
      }
      scope.RequestStop();
    };
    co_await WithScope(body);
    EXPECT_NE(lock_.TryTake(std::min(lock_.units(), model_.total())), nullptr) << "nothing is held when all have gone";
    EXPECT_EQ(changed_ > 500, lock_.CanChangeHolds()) << changed_;
    EXPECT_GT(undone_, 500u) << "stops that met one that had been handed what it waited for";
  }

 private:
  // What is not delayed by a turn, so alone.
  void Compare() {
    ++operations_;
    const size_t units = lock_.Ask(rng_.Below(1000));
    EXPECT_EQ(lock_.TryTake(units) != nullptr, model_.CanTake(units)) << "try " << units << ", burst " << bursts_;
    const size_t total = 1 + rng_.Below(2 * lock_.units());
    if (lock_.Resize(total)) {
      model_.Resize(total);
    } else if (forgotten_ > 0) {
      lock_.Release(forgotten_);
      model_.Resize(model_.total() + std::exchange(forgotten_, 0));
    }
  }

  void Act(Scope& scope, std::array<bool, kTasks>& is_used) {
    const size_t task = rng_.Below(kTasks);
    if (std::exchange(is_used[task], true)) return;
    ++operations_;
    Slot& slot = slots_[task];
    if (slot.state == State::kAway) {
      const size_t units = lock_.Ask(rng_.Below(1000));
      slot.task = scope.Spawn(Visit, std::ref(lock_), units, std::ref(slot));
      return model_.Arrive(task, units);
    }
    if (slot.state == State::kHolding && lock_.CanChangeHolds() && rng_.Below(3) == 0) return ChangeHold(task, is_used);
    const bool is_asking = slot.state == State::kAsking;
    if (is_asking || rng_.Below(3) == 0) {
      undone_ += is_asking && model_.state(task) == State::kHolding;
      slot.task.RequestStop();
    } else {
      slot.hold.reset();  // handed over at once
      slot.out.LetAllPass();
    }
    model_.Leave(task);
  }

  // Its task goes on holding what is left of it.
  void ChangeHold(size_t task, std::array<bool, kTasks>& is_used) {
    AnyHold& hold = *slots_[task].hold;
    const size_t random = rng_.Below(1000);
    const size_t other = rng_.Below(kTasks);
    size_t units = 0;
    if (rng_.Below(8) == 0) {
      units = hold.ForgetSome(random);
      model_.Forget(task, units);
      forgotten_ += units;
    } else if (slots_[other].state == State::kHolding && !std::exchange(is_used[other], true)) {
      units = hold.HandOnSome(random, *slots_[other].hold);
      model_.HandOn(task, units, other);
    } else {
      units = hold.GiveBackSome(random);
      model_.GiveBackSome(task, units);
    }
    changed_ += units != 0;
  }

  void Check() {
    for (size_t i = 0; i < kTasks; ++i) EXPECT_EQ(slots_[i].state, model_.state(i)) << "task " << i << ", burst " << bursts_;
    EXPECT_EQ(lock_.waiting(), model_.waiting()) << "burst " << bursts_;
  }

  AnyLock& lock_;
  gyre::internal::Rng rng_;
  Model model_;
  std::array<Slot, kTasks> slots_;
  size_t forgotten_ = 0;
  int operations_ = 0;
  int bursts_ = 0;
  size_t undone_ = 0;
  int changed_ = 0;
};

template <class Like>
void WalkAlong() {
  for (const uint64_t seed : {1u, 2u}) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    InCalmSimulation([seed]() -> Task<> {
      WalkedLock<Like> lock;
      Walk walk(lock, seed);
      co_await walk.Run();
    });
  }
}

TEST(LockWalk, Semaphore) { WalkAlong<SemaphoreLike<OneLoop>>(); }
TEST(LockWalk, SharedSemaphore) { WalkAlong<SemaphoreLike<ManyLoops>>(); }
TEST(LockWalk, Mutex) { WalkAlong<MutexLike<OneLoop>>(); }
TEST(LockWalk, SharedMutex) { WalkAlong<MutexLike<ManyLoops>>(); }
TEST(LockWalk, RwLock) { WalkAlong<RwLockLike<OneLoop>>(); }
TEST(LockWalk, SharedRwLock) { WalkAlong<RwLockLike<ManyLoops>>(); }
TEST(LockWalk, CapacityLimiter) { WalkAlong<CapacityLimiterLike<OneLoop>>(); }
TEST(LockWalk, SharedCapacityLimiter) { WalkAlong<CapacityLimiterLike<ManyLoops>>(); }

}  // namespace
}  // namespace gyre::testing
