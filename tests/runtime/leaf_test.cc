// The leaf contract, as a user meets it: see tests/support/gate.h for an event with a list of waiters.
#include "gyre/runtime/leaf.h"

#include <atomic>
#include <coroutine>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/counted.h"
#include "gyre/tests/support/gate.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using testing::Gate;
using testing::InCalmSimulation;
using testing::InEveryWorld;
using testing::OnEpoll;

Task<> Turns(int count) {
  for (int i = 0; i < count; ++i) co_await Yield();
}

TEST(Leaf, LetsItsWaitersGoOnInOrderOfArrival) {
  InCalmSimulation([]() -> Task<> {
    Gate gate;
    std::string log;
    auto waiter = [&](char name) -> Task<> {
      co_await gate.Wait();
      log += name;
    };
    auto body = [&](Scope& scope) -> Task<> {
      for (char name : {'a', 'b', 'c'}) scope.Spawn(waiter, name);
      co_await Turns(2);
      gate.Open();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "abc");
  });
}

TEST(Leaf, AWaiterStoppedInTheMiddleLeavesTheOthersTheirPlaces) {
  InCalmSimulation([]() -> Task<> {
    Gate gate;
    std::string log;
    auto waiter = [&](char name) -> Task<> {
      co_await gate.Wait();
      log += name;
    };
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(waiter, 'a');
      TaskHandle<> b = scope.Spawn(waiter, 'b');
      scope.Spawn(waiter, 'c');
      co_await Turns(2);
      b.RequestStop();
      EXPECT_EQ(gate.waiting(), 2u);
      gate.Open();
    };
    co_await WithScope(body);
    EXPECT_EQ(log, "ac");
  });
}

TEST(Leaf, InAStoppedScopeNothingIsTried) {
  InEveryWorld([]() -> Task<> {
    Gate open;
    open.Open();
    auto body = [&](Scope& scope) -> Task<> {
      scope.RequestStop();
      co_await open.Wait();
      ADD_FAILURE() << "went on";
    };
    co_await WithScope(body);
    EXPECT_EQ(open.asked(), 0u);
  });
}

// A permit: handed over by Give. `can_undo` is what Undo says.
class Permit {
 public:
  explicit Permit(bool can_undo) : can_undo_(can_undo) {}

  class [[nodiscard]] Waiter final : public Leaf {
   public:
    explicit Waiter(Permit& permit) : permit_(permit) {}
    template <class P>
    bool await_suspend(std::coroutine_handle<P> awaiting) {
      return Suspend(awaiting, [this] {
        permit_.waiter_ = this;
        return false;
      });
    }
    void await_resume() const {}

   private:
    friend class Permit;
    void OnStop() noexcept override {
      ++permit_.stops;
      permit_.waiter_ = nullptr;
      CompleteStopped();
    }
    bool Undo() noexcept override {
      ++permit_.undos;
      return permit_.can_undo_;
    }
    Permit& permit_;
  };

  Waiter Get() { return Waiter(*this); }
  void Give() { std::exchange(waiter_, nullptr)->Complete(); }

  int stops = 0;
  int undos = 0;

 private:
  const bool can_undo_;
  Waiter* waiter_ = nullptr;
};

Task<> TakeAndWait(Permit& permit, std::string& log) {
  testing::Noting end(log, "end");
  co_await permit.Get();
  log += "got ";
  co_await Yield();
  log += "went on ";
}

// Stops the taker after its permit was handed over and before it ran.
std::string StopBetweenHandOverAndRun(bool can_undo, int expected_undos) {
  std::string log;
  OnEpoll([&]() -> Task<> {
    Permit permit(can_undo);
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> taker = scope.Spawn(TakeAndWait, std::ref(permit), std::ref(log));
      co_await Turns(2);
      permit.Give();
      taker.RequestStop();
    };
    co_await WithScope(body);
    EXPECT_EQ(permit.stops, 0) << "it was complete already";
    EXPECT_EQ(permit.undos, expected_undos);
  });
  return log;
}

TEST(Leaf, StoppedAfterTheHandOverItUndoesItIfItCan) { EXPECT_EQ(StopBetweenHandOverAndRun(true, 1), "end"); }

TEST(Leaf, StoppedAfterAHandOverThatCantBeUndoneItDeliversAndTheNextAwaitReportsTheStop) {
  EXPECT_EQ(StopBetweenHandOverAndRun(false, 1), "got end");
}

TEST(Leaf, StoppedWhileItWaitsItIsAskedOnceAndNothingIsUndone) {
  InEveryWorld([]() -> Task<> {
    Permit permit(true);
    std::string log;
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(TakeAndWait, std::ref(permit), std::ref(log));
      co_await Turns(2);
      scope.RequestStop();
      scope.RequestStop();
    };
    co_await WithScope(body);
    EXPECT_EQ(permit.stops, 1);
    EXPECT_EQ(permit.undos, 0);
    EXPECT_EQ(log, "end");
  });
}

// Ends on its own although it is stopped: its result is delivered all the same.
class LateResult final : public Leaf {
 public:
  LateResult() {}
  template <class P>
  bool await_suspend(std::coroutine_handle<P> awaiting) {
    return Suspend(awaiting, [] { return false; });
  }
  int await_resume() const { return result_; }

 private:
  void OnStop() noexcept override {
    loop().CallSoon([this] {
      result_ = 7;
      Complete();
    });
  }
  bool Undo() noexcept override { return false; }

  int result_ = 0;
};

TEST(Leaf, AnOperationThatWinsAgainstItsStopDeliversItsResult) {
  InEveryWorld([]() -> Task<> {
    int result = 0;
    auto body = [&](Scope& scope) -> Task<> {
      auto taker = [&]() -> Task<> { result = co_await LateResult(); };
      scope.Spawn(taker);
      co_await Turns(2);
      scope.RequestStop();
    };
    co_await WithScope(body);
    EXPECT_EQ(result, 7);
  });
}

TEST(LeafDeathTest, CantBeCompletedTwice) {
  class Twice final : public Leaf {
   public:
    Twice() {}
    bool await_suspend(std::coroutine_handle<internal::Promise<void>> awaiting) {
      return Suspend(awaiting, [this] {
        loop().CallSoon([this] {
          Complete();
          Complete();
        });
        return false;
      });
    }
    void await_resume() const {}

   private:
    void OnStop() noexcept override {}
  };
  EXPECT_DEATH(OnEpoll([]() -> Task<> { co_await Twice(); }), "a leaf await was completed twice");
}

// --- fairness

TEST(Leaf, ATaskThatNeverWaitsLetsOthersRun) {
  OnEpoll([]() -> Task<> {
    Gate open;
    open.Open();
    bool is_over = false;
    auto other = [&]() -> Task<> {
      is_over = true;
      co_return;
    };
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(other);
      int rounds = 0;
      for (; !is_over && rounds < 100000; ++rounds) co_await open.Wait();
      EXPECT_LT(rounds, 1000);
    };
    co_await WithScope(body);
    EXPECT_TRUE(is_over);
  });
}

TEST(Leaf, AwaitingTasksThatNeverWaitLetsOthersRun) {
  OnEpoll([]() -> Task<> {
    bool is_over = false;
    auto other = [&]() -> Task<> {
      is_over = true;
      co_return;
    };
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(other);
      auto nothing = []() -> Task<> { co_return; };
      int rounds = 0;
      for (; !is_over && rounds < 100000; ++rounds) co_await nothing();
      EXPECT_LT(rounds, 1000);
    };
    co_await WithScope(body);
  });
}

TEST(Leaf, AWakeUpMayRunNextButNotMoreThanThreeInARow) {
  OnEpoll([]() -> Task<> {
    constexpr int kBalls = 50;
    std::vector<std::string> order;
    Gate ping;
    Gate pong;
    auto player = [&](Gate& mine, Gate& other, std::string name) -> Task<> {
      for (int i = 0; i < kBalls; ++i) {
        co_await mine.Wait();
        order.push_back(name);
        if (other.waiting() > 0) other.LetOnePassNext();
      }
    };
    auto bystander = [&]() -> Task<> {
      for (int i = 0; i < 20; ++i) {
        co_await Yield();
        order.push_back("bystander");
      }
    };
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(player, std::ref(ping), std::ref(pong), std::string("ping"));
      scope.Spawn(player, std::ref(pong), std::ref(ping), std::string("pong"));
      scope.Spawn(bystander);
      co_await Turns(2);
      ping.LetOnePassNext();
      co_await Turns(200);
      scope.RequestStop();
    };
    co_await WithScope(body);
    // Between two of the bystander's turns, one turn of the loop passes: one resumption from the queue, and three more.
    size_t begin = 0;
    size_t seen = 0;
    for (size_t i = 0; i < order.size() && seen < 15; ++i) {
      if (order[i] != "bystander") continue;
      EXPECT_LE(i - begin, 2 * (internal::kRunNextMax + 1)) << "at " << i;
      begin = i + 1;
      ++seen;
    }
    EXPECT_EQ(seen, 15u);
  });
}

// --- completion from another thread

// Set once, from any thread.
class OneShot {
 public:
  class [[nodiscard]] Waiter final : public Leaf {
   public:
    Waiter(std::function<void(Waiter&)> start, bool delivers) : start_(std::move(start)), delivers_(delivers) {}
    template <class P>
    bool await_suspend(std::coroutine_handle<P> awaiting) {
      return Suspend(awaiting, [this] {
        start_(*this);
        return false;
      });
    }
    int await_resume() const { return value_; }
    // From any thread; the leaf must not be touched afterwards.
    void Set(int value) {
      value_ = value;
      CompleteFromAnyThread();
    }

   private:
    void OnStop() noexcept override {}  // Set still comes, and alone ends the wait
    bool Undo() noexcept override { return !delivers_; }

    std::function<void(Waiter&)> start_;
    const bool delivers_;
    int value_ = 0;
  };
};

TEST(Leaf, CompletedFromAnotherThreadTheTaskResumesOnItsOwnLoop) {
  OnEpoll([]() -> Task<> {
    const std::thread::id home = std::this_thread::get_id();
    for (int i = 0; i < 100; ++i) {
      std::thread other;
      std::function<void(OneShot::Waiter&)> start = [&](OneShot::Waiter& waiter) {
        other = std::thread([&waiter, i] { waiter.Set(i); });
      };
      const int value = co_await OneShot::Waiter(start, true);
      EXPECT_EQ(value, i);
      EXPECT_EQ(std::this_thread::get_id(), home);
      other.join();
    }
  });
}

TEST(Leaf, CompletedFromAnotherThreadWhileItIsStoppedItIsStillCompletedOnce) {
  for (const bool delivers : {false, true}) {
    OnEpoll([delivers]() -> Task<> {
      std::string log;
      std::thread other;
      std::atomic<bool> may_set = false;
      std::function<void(OneShot::Waiter&)> start = [&](OneShot::Waiter& waiter) {
        other = std::thread([&] {
          may_set.wait(false);
          waiter.Set(1);
        });
      };
      auto waiter = [&]() -> Task<> {
        const int value = co_await OneShot::Waiter(start, delivers);
        log += value == 1 ? "delivered" : "?";
      };
      auto body = [&](Scope& scope) -> Task<> {
        scope.Spawn(waiter);
        co_await Turns(3);
        scope.RequestStop();
        may_set = true;
        may_set.notify_one();
      };
      co_await WithScope(body);
      other.join();
      EXPECT_EQ(log, delivers ? "delivered" : "");
    });
  }
}

}  // namespace
}  // namespace gyre
