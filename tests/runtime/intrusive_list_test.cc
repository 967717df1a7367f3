#include "gyre/runtime/internal/intrusive_list.h"

#include <array>
#include <list>
#include <random>
#include <string>

#include "gtest/gtest.h"

namespace gyre::internal {
namespace {

struct Red;
struct Blue;

struct Item : ListHook<Item>, ListHook<Item, Red>, ListHook<Item, Blue> {
  explicit Item(char name) : name(name) {}
  using ListHook<Item>::is_linked;
  char name;
};

template <class List>
std::string Names(List& list) {
  std::string names;
  for (Item& item : list) names += item.name;
  return names;
}

template <class List>
void Clear(List& list) {
  while (list.PopFront() != nullptr) {
  }
}

TEST(IntrusiveList, KeepsOrderOfPushes) {
  Item a('a'), b('b'), c('c');
  IntrusiveList<Item> list;
  list.PushBack(b);
  list.PushBack(c);
  list.PushFront(a);
  EXPECT_EQ(Names(list), "abc");
  EXPECT_EQ(list.front(), &a);
  EXPECT_EQ(list.back(), &c);
  EXPECT_EQ(list.PopFront(), &a);
  EXPECT_EQ(Names(list), "bc");
  Clear(list);
}

TEST(IntrusiveList, EmptyListHasNothingToGive) {
  IntrusiveList<Item> list;
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(list.front(), nullptr);
  EXPECT_EQ(list.back(), nullptr);
  EXPECT_EQ(list.PopFront(), nullptr);
  EXPECT_EQ(Names(list), "");
}

TEST(IntrusiveList, AnObjectLeavesFromAnyPlaceAndKnowsIt) {
  Item a('a'), b('b'), c('c');
  IntrusiveList<Item> list;
  for (Item* item : {&a, &b, &c}) list.PushBack(*item);
  EXPECT_TRUE(b.is_linked());
  IntrusiveList<Item>::Remove(b);
  EXPECT_FALSE(b.is_linked());
  EXPECT_EQ(Names(list), "ac");
  list.Remove(c);
  EXPECT_TRUE(list.has_one());
  list.Remove(a);
  EXPECT_TRUE(list.empty());
  EXPECT_FALSE(list.has_one());
  list.PushBack(b);  // and may come back
  EXPECT_EQ(Names(list), "b");
  Clear(list);
}

TEST(IntrusiveList, SpliceMovesAllInOrder) {
  Item a('a'), b('b'), c('c'), d('d');
  IntrusiveList<Item> first, second;
  first.PushBack(a);
  second.PushBack(b);
  second.PushBack(c);
  first.Splice(second);
  EXPECT_EQ(Names(first), "abc");
  EXPECT_TRUE(second.empty());
  first.Splice(second);  // of nothing
  EXPECT_EQ(Names(first), "abc");
  second.Splice(first);  // into nothing
  second.PushBack(d);
  EXPECT_EQ(Names(second), "abcd");
  Clear(second);
}

TEST(IntrusiveList, AnObjectSitsInAListForEachTag) {
  Item a('a'), b('b');
  IntrusiveList<Item, Red> red;
  IntrusiveList<Item, Blue> blue;
  red.PushBack(a);
  red.PushBack(b);
  blue.PushFront(a);
  blue.PushFront(b);
  red.Remove(a);
  EXPECT_EQ(Names(red), "b");
  EXPECT_EQ(Names(blue), "ba");
  Clear(red);
  Clear(blue);
}

TEST(IntrusiveList, AgreesWithStdListOnRandomOperations) {
  const unsigned seed = 20240607;
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  std::list<Item> items;
  for (int i = 0; i < 26; ++i) items.emplace_back(static_cast<char>('a' + i));
  std::array<IntrusiveList<Item>, 2> lists;
  std::array<std::string, 2> model;
  for (int step = 0; step < 20'000; ++step) {
    const size_t which = random() % 2;
    Item& item = *std::next(items.begin(), random() % 26);
    if (random() % 50 == 0) {
      lists[which].Splice(lists[1 - which]);
      model[which] += std::exchange(model[1 - which], "");
    } else if (item.is_linked()) {
      IntrusiveList<Item>::Remove(item);
      for (std::string& names : model) std::erase(names, item.name);
    } else if (random() % 2 == 0) {
      lists[which].PushBack(item);
      model[which].push_back(item.name);
    } else {
      lists[which].PushFront(item);
      model[which].insert(0, 1, item.name);
    }
    ASSERT_EQ(Names(lists[0]), model[0]) << "step " << step;
    ASSERT_EQ(Names(lists[1]), model[1]) << "step " << step;
  }
  for (auto& list : lists) Clear(list);
}

#ifdef GYRE_DEBUG_CHECKS
TEST(IntrusiveListDeathTest, AnObjectCantJoinTwice) {
  Item a('a');
  IntrusiveList<Item> list;
  list.PushBack(a);
  EXPECT_DEATH(list.PushBack(a), "already in a list");
  list.Remove(a);
  EXPECT_DEATH(list.Remove(a), "must be in a list");
}

TEST(IntrusiveListDeathTest, NeitherObjectNorListDiesWhileLinked) {
  EXPECT_DEATH(
      {
        IntrusiveList<Item> list;
        Item a('a');
        list.PushBack(a);
      },
      "must leave its list");
  Item a('a');
  EXPECT_DEATH(
      {
        IntrusiveList<Item> list;
        list.PushBack(a);
      },
      "must be empty");
}
#endif

struct Job {
  int number = 0;
  Job* next = nullptr;
};

TEST(IntrusiveQueue, FirstInFirstOut) {
  Job one{1}, two{2}, three{3};
  IntrusiveQueue<Job> queue;
  EXPECT_EQ(queue.Pop(), nullptr);
  queue.Push(one);
  queue.Push(two);
  EXPECT_EQ(queue.Pop(), &one);
  queue.Push(three);
  EXPECT_EQ(queue.front(), &two);
  EXPECT_EQ(queue.Pop(), &two);
  EXPECT_EQ(queue.Pop(), &three);
  EXPECT_TRUE(queue.empty());
  queue.Push(one);  // a queue that ran empty starts anew
  EXPECT_EQ(queue.Pop(), &one);
}

TEST(IntrusiveQueue, AppendMovesAllInOrder) {
  Job one{1}, two{2}, three{3};
  IntrusiveQueue<Job> first, second;
  second.Push(one);
  first.Append(second);  // into nothing
  first.Append(second);  // of nothing
  second.Push(two);
  first.Append(second);
  EXPECT_TRUE(second.empty());
  first.Push(three);
  for (Job* job : {&one, &two, &three}) EXPECT_EQ(first.Pop(), job);
  EXPECT_EQ(first.Pop(), nullptr);
}

}  // namespace
}  // namespace gyre::internal
