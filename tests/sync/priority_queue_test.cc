// What is a priority queue's own: channel_likes_test.cc has the rest.
#include "gyre/sync/priority_queue.h"

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "gyre/runtime/internal/rng.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using testing::InCalmSimulation;
using testing::InEveryWorld;

template <class Form>
class PriorityQueueTest : public ::testing::Test {};
class FormName {
 public:
  template <class Form>
  static std::string GetName(int) {
    return Form::kIsShared ? "Shared" : "OneLoop";
  }
};
using Forms = ::testing::Types<internal::OneLoop, internal::ManyLoops>;
TYPED_TEST_SUITE(PriorityQueueTest, Forms, FormName);

Task<> Settle() {
  for (int turn = 0; turn < 10; ++turn) co_await Yield();
}

TYPED_TEST(PriorityQueueTest, TheLeastComesFirstAndEqualsInOrderOfArrival) {
  InEveryWorld([]() -> Task<> {
    struct ByUrgency {
      bool operator()(const std::string& a, const std::string& b) const { return a[0] < b[0]; }
    };
    BasicPriorityQueue<std::string, TypeParam, ByUrgency> queue;
    for (const char* item : {"2a", "1a", "3a", "1b", "2b", "1c"}) EXPECT_TRUE(queue.TryPut(item).ok());
    std::string all;
    while (const std::optional<std::string> item = queue.TryGet()) all += *item;
    EXPECT_EQ(all, "1a1b1c2a2b3a");
    co_return;
  });
}

TYPED_TEST(PriorityQueueTest, APutWaitsWhileThereIsNoRoom) {
  InCalmSimulation([]() -> Task<> {
    BasicPriorityQueue<int, TypeParam> queue(2);
    std::string log;
    auto put = [&](int item) -> Task<> {
      const SendResult<int> sent = co_await queue.Put(item);
      log += std::to_string(item) + (sent.ok() ? "+ " : "- ");
    };
    auto body = [&](Scope& scope) -> Task<> {
      for (int item : {4, 3, 2, 1}) scope.Spawn(put, item);
      co_await Settle();
      EXPECT_EQ(std::exchange(log, ""), "4+ 3+ ");
      EXPECT_EQ(queue.TryPut(0).status().code(), absl::StatusCode::kResourceExhausted);
      const std::optional<int> first = co_await queue.Get();
      EXPECT_EQ(first, 3);
      co_await Settle();
      EXPECT_EQ(std::exchange(log, ""), "2+ ");
      const std::optional<int> second = co_await queue.Get();
      EXPECT_EQ(second, 2);
      co_await Settle();
      EXPECT_EQ(log, "1+ ");
    };
    co_await WithScope(body);
  });
}

// [H12]
TYPED_TEST(PriorityQueueTest, ShutDownPutsFailGetsDrainAndThenEndAndJoinWaitsForTheUnfinished) {
  InCalmSimulation([]() -> Task<> {
    BasicPriorityQueue<int, TypeParam> queue(1);
    std::string log;
    auto put = [&]() -> Task<> {
      SendResult<int> sent = co_await queue.Put(2);
      log += sent.ok() ? "put " : "refused " + std::to_string(sent.item()) + " ";
    };
    auto join = [&]() -> Task<> {
      co_await queue.Join();
      log += "joined ";
    };
    auto body = [&](Scope& scope) -> Task<> {
      EXPECT_TRUE(queue.TryPut(1).ok());
      scope.Spawn(put);
      scope.Spawn(join);
      co_await Settle();
      queue.ShutDown();
      queue.ShutDown();
      co_await Settle();
      EXPECT_EQ(std::exchange(log, ""), "refused 2 ");
      EXPECT_EQ(queue.TryPut(3).status().code(), absl::StatusCode::kUnavailable);
      const std::optional<int> item = co_await queue.Get();
      EXPECT_EQ(item, 1);
      const std::optional<int> end = co_await queue.Get();
      EXPECT_EQ(end, std::nullopt);
      co_await Settle();
      EXPECT_EQ(log, "") << "1 is not done";
      queue.TaskDone();
      co_await Settle();
      EXPECT_EQ(log, "joined ");
    };
    co_await WithScope(body);
  });
}

// [H12]
TYPED_TEST(PriorityQueueTest, ShutDownNowDropsWhatIsThereWhichCountsAsDone) {
  InEveryWorld([]() -> Task<> {
    BasicPriorityQueue<int, TypeParam> queue;
    for (int item : {1, 2, 3}) EXPECT_TRUE(queue.TryPut(item).ok());
    EXPECT_EQ(queue.TryGet(), 1);
    EXPECT_EQ(queue.unfinished(), 3u);
    queue.ShutDownNow();
    EXPECT_EQ(queue.unfinished(), 1u);
    const std::optional<int> end = co_await queue.Get();
    EXPECT_EQ(end, std::nullopt);
    queue.TaskDone();
    co_await queue.Join();
  });
}

TYPED_TEST(PriorityQueueTest, GettersAreServedInOrderAndAStoppedOneDeliversWhatItWasHanded) {
  InCalmSimulation([]() -> Task<> {
    BasicPriorityQueue<int, TypeParam> queue;
    std::string log;
    auto get = [&](char who) -> Task<> {
      const std::optional<int> item = co_await queue.Get();
      log += who + std::to_string(*item) + " ";
    };
    auto body = [&](Scope& scope) -> Task<> {
      TaskHandle<> first = scope.Spawn(get, 'a');
      TaskHandle<> second = scope.Spawn(get, 'b');
      scope.Spawn(get, 'c');
      co_await Settle();
      second.RequestStop();
      EXPECT_TRUE(queue.TryPut(9).ok());
      EXPECT_TRUE(queue.TryPut(1).ok());
      first.RequestStop();
      co_await Settle();
      EXPECT_EQ(log, "a9 c1 ") << "9 was a's before 1 came";
    };
    co_await WithScope(body);
  });
}

TYPED_TEST(PriorityQueueTest, HoldsWhatCanOnlyMove) {
  InEveryWorld([]() -> Task<> {
    struct ByValue {
      bool operator()(const std::unique_ptr<int>& a, const std::unique_ptr<int>& b) const { return *a < *b; }
    };
    BasicPriorityQueue<std::unique_ptr<int>, TypeParam, ByValue> queue;
    for (int item : {3, 1, 2}) EXPECT_TRUE(queue.TryPut(std::make_unique<int>(item)).ok());
    for (int expected : {1, 2, 3}) {
      const std::optional<std::unique_ptr<int>> item = co_await queue.Get();
      EXPECT_EQ(**item, expected);
    }
  });
}

// Throws in place of the comparison that makes `left` 0.
class ThrowsLater {
 public:
  explicit ThrowsLater(int& left) : left_(&left) {}
  bool operator()(const std::shared_ptr<int>& a, const std::shared_ptr<int>& b) const {
    if (--*left_ == 0) throw std::runtime_error("incomparable");
    return *a < *b;
  }

 private:
  int* left_;
};

// For each comparison that a Put or Get of a queue of 20 makes.
TYPED_TEST(PriorityQueueTest, WhatLessThrowsReachesTheCallerAndNothingElseIsLost) {
  InEveryWorld([]() -> Task<> {
    int left = 0;
    internal::Rng rng(5);
    for (int failing = 1; failing <= 30; ++failing) {
      using Item = std::shared_ptr<int>;
      BasicPriorityQueue<Item, TypeParam, ThrowsLater> queue(30, ThrowsLater(left));
      std::multiset<int> model;
      for (int i = 0; i < 20; ++i) {
        const int number = static_cast<int>(rng.Below(10));
        left = 0;
        EXPECT_TRUE(queue.TryPut(std::make_shared<int>(number)).ok());
        model.insert(number);
      }
      for (int i = 0; i < 10; ++i) {
        const Item put = std::make_shared<int>(static_cast<int>(rng.Below(10)));
        left = failing;
        try {
          const SendResult<Item> sent = co_await queue.Put(put);
          EXPECT_TRUE(sent.ok());
          model.insert(*put);
        } catch (const std::runtime_error&) {
        }
        left = failing;
        try {
          const std::optional<Item> got = co_await queue.Get();
          EXPECT_EQ(**got, *model.begin());
          model.erase(model.begin());
          queue.TaskDone();
        } catch (const std::runtime_error&) {
        }
        EXPECT_EQ(queue.size(), model.size());
        EXPECT_EQ(queue.unfinished(), model.size());
      }
      left = 0;
      std::multiset<int> rest;
      while (const std::optional<Item> item = queue.TryGet()) {
        EXPECT_TRUE(rest.empty() || **item >= *rest.rbegin()) << "out of order";
        rest.insert(**item);
      }
      EXPECT_EQ(rest, model);
    }
  });
}

TYPED_TEST(PriorityQueueTest, APutThatWaitedThrowsWhatItsComparisonThrowsAndTheGetThatMadeRoomHasItsItem) {
  InCalmSimulation([]() -> Task<> {
    int left = 0;
    using Item = std::shared_ptr<int>;
    BasicPriorityQueue<Item, TypeParam, ThrowsLater> queue(2, ThrowsLater(left));
    std::string log;
    auto put = [&](int item) -> Task<> {
      try {
        const SendResult<Item> sent = co_await queue.Put(std::make_shared<int>(item));
        log += std::to_string(item) + (sent.ok() ? "+ " : "- ");
      } catch (const std::runtime_error&) {
        log += std::to_string(item) + "! ";
      }
    };
    auto body = [&](Scope& scope) -> Task<> {
      for (int item : {1, 2, 3, 4, 5}) scope.Spawn(put, item);
      co_await Settle();
      EXPECT_EQ(std::exchange(log, ""), "1+ 2+ ");
      left = 1;  // of two items, taking one out needs no comparison
      const std::optional<Item> first = co_await queue.Get();
      EXPECT_EQ(**first, 1);
      co_await Settle();
      EXPECT_EQ(std::exchange(log, ""), "3! 4+ ") << "4 has the room that 3 could not take";
      EXPECT_EQ(queue.unfinished(), 3u);
      left = 0;
      queue.ShutDown();
      co_await Settle();
      EXPECT_EQ(log, "5- ");
      for (int expected : {2, 4}) {
        const std::optional<Item> item = co_await queue.Get();
        EXPECT_EQ(**item, expected);
      }
    };
    co_await WithScope(body);
  });
}

template <class Form>
class PriorityQueueDeathTest : public ::testing::Test {
 public:
  using Queue = BasicPriorityQueue<int, Form>;

  // Destroys a full queue at which one task waits.
  static void DestroyWhile(const std::function<Task<>(Queue&)>& wait) {
    InCalmSimulation([&wait]() -> Task<> {
      std::optional<Queue> queue(std::in_place, 1);
      static_cast<void>(queue->TryPut(1));
      auto body = [&](Scope& scope) -> Task<> {
        scope.Spawn([&]() -> Task<> { return wait(*queue); });
        co_await Settle();
        queue.reset();
      };
      co_await WithScope(body);
    });
  }
};
TYPED_TEST_SUITE(PriorityQueueDeathTest, Forms, FormName);

TYPED_TEST(PriorityQueueDeathTest, HasRoomForOneItemAtLeast) {
  EXPECT_DEATH(typename TestFixture::Queue(0), "a PriorityQueue has room for one item at least");
}

TYPED_TEST(PriorityQueueDeathTest, OutlivesItsPuttersAndJoiners) {
  using Queue = typename TestFixture::Queue;
  auto put = [](Queue& queue) -> Task<> { static_cast<void>(co_await queue.Put(2)); };
  EXPECT_DEATH(TestFixture::DestroyWhile(put), "a PriorityQueue was destroyed while a task waits for it");
  auto join = [](Queue& queue) -> Task<> { co_await queue.Join(); };
  EXPECT_DEATH(TestFixture::DestroyWhile(join), "a PriorityQueue was destroyed while a task waits for it");
}

TYPED_TEST(PriorityQueueDeathTest, TaskDoneIsCalledOnceForEachItemThatWasGiven) {
  auto too_often = [] {
    typename TestFixture::Queue queue;
    static_cast<void>(queue.TryPut(1));
    queue.TaskDone();
  };
  EXPECT_DEATH(too_often(), "TaskDone: it was called more often than Get gave an item");
}

}  // namespace
}  // namespace gyre
