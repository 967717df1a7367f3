#include "gyre/runtime/remote.h"

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <utility>

#include "gtest/gtest.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/run_on.h"
#include "gyre/runtime/runtime.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using testing::InEveryWorld;
using namespace std::chrono_literals;

// Notes on which loop it dies.
class Homebody {
 public:
  Homebody(std::atomic<Loop*>& died_on, int value) : died_on_(died_on), value_(value) {}
  Homebody(const Homebody&) = delete;
  Homebody& operator=(const Homebody&) = delete;
  ~Homebody() { died_on_ = Loop::TryCurrent(); }

  int value() const { return value_; }
  int Add(int more) { return value_ += more; }

 private:
  std::atomic<Loop*>& died_on_;
  int value_;
};

RuntimeOptions TwoLoops() { return RuntimeOptions().set_loops(2); }

TEST(Remote, IsUsedOnItsLoopFromAnother) {
  Runtime runtime(TwoLoops());
  std::atomic<Loop*> died_on{nullptr};
  runtime.Run([&]() -> Task<> {
    Loop& other = runtime.loop(1);
    auto make = [&died_on] { return Remote<Homebody>(std::in_place, std::ref(died_on), 4); };
    Remote<Homebody> remote = co_await RunOn(other, make);
    EXPECT_EQ(&remote.loop(), &other);
    const int sum = co_await remote.With(&Homebody::Add, 3);
    EXPECT_EQ(sum, 7);
    auto later = [](Homebody& object) -> Task<int> {
      co_await Yield();
      co_return object.value();
    };
    const int same = co_await remote.With(later);
    EXPECT_EQ(same, 7);
    remote.Reset();
    co_await RunOn(other, [] {});
    EXPECT_EQ(died_on.load(), &other);
  });
}

TEST(Remote, DroppedOnItsLoopItsObjectDiesAtOnce) {
  InEveryWorld([]() -> Task<> {
    std::atomic<Loop*> died_on{nullptr};
    Remote<Homebody> remote(std::in_place, died_on, 1);
    EXPECT_EQ(remote.Get().value(), 1);
    remote.Reset();
    EXPECT_EQ(died_on.load(), &Loop::Current());
    EXPECT_FALSE(remote);
    co_return;
  });
}

TEST(Remote, DroppedByAThreadItsObjectDiesOnItsLoop) {
  Runtime runtime(TwoLoops());
  std::atomic<Loop*> died_on{nullptr};
  runtime.Run([&]() -> Task<> {
    Remote<Homebody> remote(std::in_place, died_on, 1);
    std::thread([moved = std::move(remote)]() mutable { moved.Reset(); }).join();
    EXPECT_EQ(died_on.load(), nullptr);
    co_await RunOn(Loop::Current(), [] {});  // behind it
    EXPECT_EQ(died_on.load(), &Loop::Current());
  });
}

TEST(Remote, OutlivingItsLoopItHasNoObjectAnyMore) {
  std::atomic<Loop*> died_on{nullptr};
  Remote<Homebody> kept;
  Loop* home = nullptr;
  gyre::Run([&]() -> Task<> {
    home = &Loop::Current();
    kept = Remote<Homebody>(std::in_place, died_on, 1);
    co_return;
  });
  EXPECT_EQ(died_on.load(), home);
  kept.Reset();
}

TEST(Remote, ItsObjectMayHoldOthers) {
  std::atomic<Loop*> died_on{nullptr};
  Remote<Remote<Homebody>> kept;
  gyre::Run([&]() -> Task<> {
    Remote<Homebody> inner(std::in_place, died_on, 1);
    kept = Remote<Remote<Homebody>>(std::in_place, std::move(inner));
    co_return;
  });
  EXPECT_NE(died_on.load(), nullptr);
}

TEST(Remote, DroppedWhileItsLoopEndsItsObjectDiesThereOnce) {
  for (int round = 0; round < 300; ++round) {
    std::atomic<Loop*> died_on{nullptr};
    Loop* home = nullptr;
    std::thread dropper;
    std::atomic<bool> go{false};
    gyre::Run([&]() -> Task<> {
      home = &Loop::Current();
      Remote<Homebody> remote(std::in_place, died_on, 1);
      dropper = std::thread([moved = std::move(remote), &go]() mutable {
        while (!go) std::this_thread::yield();
        moved.Reset();
      });
      go = true;
      co_return;
    });
    dropper.join();
    ASSERT_EQ(died_on.load(), home);
  }
}

struct Pair {
  Remote<Pair> other;
};

TEST(Remote, TwoThatHoldOneAnotherEndWithTheirLoop) {
  gyre::Run([]() -> Task<> {
    Remote<Pair> first(std::in_place);
    Remote<Pair> second(std::in_place);
    Pair& in_first = first.Get();
    Pair& in_second = second.Get();
    in_first.other = std::move(second);
    in_second.other = std::move(first);
    Remote<Pair> alone(std::in_place);
    Pair& itself = alone.Get();
    itself.other = std::move(alone);
    co_return;
  });
}

struct Throws {
  Throws() { throw std::runtime_error("no"); }
};

TEST(Remote, WhoseObjectCanNotBeMadeLeavesNothing) {
  gyre::Run([]() -> Task<> {
    auto make = [] { Remote<Throws> remote(std::in_place); };
    EXPECT_THROW(make(), std::runtime_error);
    co_return;
  });
}

TEST(RemoteDeathTest, ItsObjectIsGoneWithItsLoop) {
  std::atomic<Loop*> died_on{nullptr};
  Remote<Homebody> kept;
  gyre::Run([&]() -> Task<> {
    kept = Remote<Homebody>(std::in_place, died_on, 1);
    co_return;
  });
  EXPECT_DEATH(kept.Get(), "after its loop had ended");
}

TEST(RemoteDeathTest, ItsObjectIsForItsLoopAlone) {
  auto misuse = [] {
    std::atomic<Loop*> died_on{nullptr};
    gyre::Run([&]() -> Task<> {
      Remote<Homebody> remote(std::in_place, died_on, 1);
      std::thread([&remote] { remote.Get(); }).join();
      co_return;
    });
  };
  EXPECT_DEATH(misuse(), "a Remote's object was used on another thread than its loop's");
}

}  // namespace
}  // namespace gyre
