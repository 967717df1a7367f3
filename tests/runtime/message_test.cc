#include "gyre/runtime/internal/message.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"

namespace gyre::internal {
namespace {

template <size_t kBytes>
struct Note final : Message {
  explicit Note(uint8_t fill) { bytes.fill(fill); }
  bool HoldsOnly(uint8_t fill) const {
    for (const uint8_t byte : bytes) {
      if (byte != fill) return false;
    }
    return true;
  }
  std::array<uint8_t, kBytes> bytes;
};

struct alignas(128) Wide final : Message {
  uint8_t byte = 0;
};

// One that cuts from a slab of its own, so that a test knows what is in it.
template <class F>
void OnNewThread(F f) {
  std::thread(f).join();
}

TEST(Message, EachHasItsBytesToItselfAndTheAlignmentOfAny) {
  std::vector<std::unique_ptr<Note<1>>> small;
  std::vector<std::unique_ptr<Note<200>>> medium;
  std::vector<std::unique_ptr<Note<5000>>> large;
  for (int i = 0; i < 500; ++i) {
    const auto fill = static_cast<uint8_t>(i);
    small.push_back(std::make_unique<Note<1>>(fill));
    medium.push_back(std::make_unique<Note<200>>(fill));
    large.push_back(std::make_unique<Note<5000>>(fill));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(small.back().get()) % alignof(std::max_align_t), 0u);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(medium.back().get()) % alignof(std::max_align_t), 0u);
  }
  for (int i = 0; i < 500; ++i) {
    const auto fill = static_cast<uint8_t>(i);
    EXPECT_TRUE(small[i]->HoldsOnly(fill)) << i;
    EXPECT_TRUE(medium[i]->HoldsOnly(fill)) << i;
    EXPECT_TRUE(large[i]->HoldsOnly(fill)) << i;
  }
}

TEST(Message, AnOverAlignedOneIsAligned) {
  for (int i = 0; i < 10; ++i) {
    const auto wide = std::make_unique<Wide>();
    EXPECT_EQ(reinterpret_cast<uintptr_t>(wide.get()) % 128, 0u);
  }
}

#ifndef GYRE_INTERNAL_ASAN

TEST(Message, ASlabIsHandedBackWithItsLastMessageWhoeverDeletesThat) {
  OnNewThread([] {
    const int64_t before = Message::SlabsInUse();
    std::vector<std::unique_ptr<Note<1000>>> notes;
    for (int i = 0; i < 160; ++i) notes.push_back(std::make_unique<Note<1000>>(uint8_t{1}));
    EXPECT_EQ(Message::SlabsInUse(), before + 10) << "16 to a slab";
    OnNewThread([&notes] { notes.clear(); });
    EXPECT_EQ(Message::SlabsInUse(), before + 1) << "this thread still cuts from the last";
  });
}

TEST(Message, OutlivesItsThreadAndThenTakesTheSlabWithIt) {
  const int64_t before = Message::SlabsInUse();
  std::unique_ptr<Note<40>> note;
  OnNewThread([&note] {
    note = std::make_unique<Note<40>>(uint8_t{7});
    std::make_unique<Note<40>>(uint8_t{8});
  });
  EXPECT_TRUE(note->HoldsOnly(7));
  EXPECT_EQ(Message::SlabsInUse(), before + 1);
  note.reset();
  EXPECT_EQ(Message::SlabsInUse(), before);
}

TEST(Message, AThreadThatHasDeletedItsMessagesLeavesNoSlab) {
  const int64_t before = Message::SlabsInUse();
  OnNewThread([] {
    for (int i = 0; i < 1000; ++i) std::make_unique<Note<100>>(uint8_t{1});
  });
  EXPECT_EQ(Message::SlabsInUse(), before);
}

// Made by a destructor of the thread, after that of what retires its slab.
TEST(Message, CanBeMadeByThreadLocalsThatDieLast) {
  struct Last {
    explicit Last(std::unique_ptr<Note<40>>& to) : to(to) {}
    ~Last() {
      to = std::make_unique<Note<40>>(uint8_t{9});
      std::make_unique<Note<40>>(uint8_t{8});
    }
    std::unique_ptr<Note<40>>& to;
  };
  const int64_t before = Message::SlabsInUse();
  std::unique_ptr<Note<40>> note;
  OnNewThread([&note] {
    thread_local Last last(note);                  // constructed first: destroyed last
    std::make_unique<Note<40>>(uint8_t{1});
    EXPECT_EQ(&last.to, &note);
  });
  EXPECT_TRUE(note->HoldsOnly(9));
  EXPECT_EQ(Message::SlabsInUse(), before + 1);
  note.reset();
  EXPECT_EQ(Message::SlabsInUse(), before);
}

#endif  // GYRE_INTERNAL_ASAN

TEST(Message, PostsOfManyThreadsArriveWhole) {
#ifdef GYRE_DEBUG_CHECKS
  constexpr uint64_t kEach = 5'000;
#else
  constexpr uint64_t kEach = 100'000;
#endif
  constexpr uint64_t kThreads = 3;
  std::array<uint64_t, kThreads> sums{};
  uint64_t arrived = 0;
  const int64_t before = Message::SlabsInUse();
  auto root = [&]() -> Task<> {
    Loop& loop = Loop::Current();
    std::vector<std::thread> threads;
    for (uint64_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&loop, &sums, &arrived, t] {
        for (uint64_t i = 0; i < kEach; ++i) {
          const std::array<uint64_t, 3> data = {i, ~i, t};
          loop.Post([data, &sums, &arrived] {
            EXPECT_EQ(data[0], ~data[1]);
            sums[data[2]] += data[0];
            ++arrived;
          });
        }
      });
    }
    while (arrived < kThreads * kEach) co_await Yield();
    for (std::thread& thread : threads) thread.join();
  };
  gyre::Run(root);
  for (const uint64_t sum : sums) EXPECT_EQ(sum, kEach * (kEach - 1) / 2);
  EXPECT_LE(Message::SlabsInUse(), before + 1) << "of this thread";
}

}  // namespace
}  // namespace gyre::internal
