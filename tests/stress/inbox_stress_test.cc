// Real threads and a sleeper on a real eventfd: no node is lost, doubled or out of order, and no wake-up is missed.
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "gyre/runtime/check.h"
#include "gyre/runtime/internal/inbox.h"

#if defined(__SANITIZE_THREAD__)
#define GYRE_TEST_UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define GYRE_TEST_UNDER_TSAN 1
#endif
#endif

namespace gyre::internal {
namespace {

constexpr int kProducers = 4;
#ifdef GYRE_TEST_UNDER_TSAN
constexpr int kNodesEach = 20'000;
constexpr int kCloseRounds = 200;
#else
constexpr int kNodesEach = 200'000;
constexpr int kCloseRounds = 1'000;
#endif
constexpr int kMissedWakeMs = 20'000;  // far above any delay of a healthy run

struct Letter : InboxNode {
  int producer = 0;
  int number = 0;
};

std::vector<Letter> LettersOf(int producer) {
  std::vector<Letter> letters(kNodesEach);
  for (int i = 0; i < kNodesEach; ++i) {
    letters[i].producer = producer;
    letters[i].number = i;
  }
  return letters;
}

// One eventfd, as a loop has it: the count persists, so a wake-up may come before its sleep.
class Waker {
 public:
  Waker() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { GYRE_CHECK(fd_ >= 0, "eventfd"); }
  ~Waker() { close(fd_); }

  void Wake() {
    const uint64_t one = 1;
    GYRE_CHECK(write(fd_, &one, sizeof(one)) == sizeof(one), "eventfd write");
    wakes_.fetch_add(1, std::memory_order_relaxed);
  }

  // False when nobody wakes us: the wake-up was lost.
  bool Sleep() {
    pollfd entry{fd_, POLLIN, 0};
    if (poll(&entry, 1, kMissedWakeMs) != 1) return false;
    uint64_t count = 0;
    return read(fd_, &count, sizeof(count)) == sizeof(count);
  }

  int64_t wakes() const { return wakes_.load(std::memory_order_relaxed); }

 private:
  const int fd_;
  std::atomic<int64_t> wakes_{0};
};

struct Consumed {
  int64_t letters = 0;
  int64_t sleeps = 0;
  int64_t disorder = 0;
  bool woken = true;
  std::vector<int> next_number = std::vector<int>(kProducers, 0);

  void Read(InboxNode* oldest) {
    while (oldest != nullptr) {
      const Letter& letter = *static_cast<Letter*>(oldest);
      oldest = oldest->next;
      disorder += letter.number != next_number[letter.producer]++;
      ++letters;
    }
  }
};

Consumed ConsumeAll(Inbox& inbox, Waker& waker, int64_t expected) {
  Consumed seen;
  while (seen.woken) {
    seen.Read(inbox.Take());
    if (seen.letters >= expected) break;
    if (!inbox.TrySleep()) continue;
    ++seen.sleeps;
    seen.woken = waker.Sleep();
  }
  return seen;
}

// `pause_every` > 0 makes a producer yield often, so that the consumer falls asleep many times.
void ExpectAllDelivered(int pause_every) {
  Inbox inbox;
  Waker waker;
  std::vector<std::vector<Letter>> letters;
  for (int i = 0; i < kProducers; ++i) letters.push_back(LettersOf(i));
  std::vector<std::thread> producers;
  for (auto& mine : letters) {
    producers.emplace_back([&] {
      for (Letter& letter : mine) {
        if (inbox.Push(letter) == PushResult::kMustWake) waker.Wake();
        if (pause_every > 0 && letter.number % pause_every == 0) std::this_thread::yield();
      }
    });
  }
  const Consumed seen = ConsumeAll(inbox, waker, int64_t{kProducers} * kNodesEach);
  for (std::thread& producer : producers) producer.join();
  EXPECT_TRUE(seen.woken) << "a wake-up was lost";
  EXPECT_EQ(seen.letters, int64_t{kProducers} * kNodesEach);
  EXPECT_EQ(seen.disorder, 0);
  EXPECT_EQ(seen.sleeps, waker.wakes()) << "one wake-up for each sleep, no more";
  EXPECT_EQ(inbox.Take(), nullptr);
}

TEST(InboxStress, EveryNodeArrivesOnceAndInItsProducersOrder) { ExpectAllDelivered(/*pause_every=*/0); }

TEST(InboxStress, EverySleepIsWokenOnce) { ExpectAllDelivered(/*pause_every=*/16); }

TEST(InboxStress, ChainsArriveWhole) {
  constexpr int kChain = 5;
  static_assert(kNodesEach % kChain == 0);
  Inbox inbox;
  Waker waker;
  std::vector<std::vector<Letter>> letters;
  for (int i = 0; i < kProducers; ++i) letters.push_back(LettersOf(i));
  std::vector<std::thread> producers;
  for (auto& mine : letters) {
    producers.emplace_back([&] {
      for (int first = 0; first < kNodesEach; first += kChain) {
        for (int i = first + 1; i < first + kChain; ++i) mine[i].next = &mine[i - 1];
        if (inbox.PushChain(mine[first + kChain - 1], mine[first]) == PushResult::kMustWake) waker.Wake();
      }
    });
  }
  const Consumed seen = ConsumeAll(inbox, waker, int64_t{kProducers} * kNodesEach);
  for (std::thread& producer : producers) producer.join();
  EXPECT_TRUE(seen.woken) << "a wake-up was lost";
  EXPECT_EQ(seen.letters, int64_t{kProducers} * kNodesEach);
  EXPECT_EQ(seen.disorder, 0);
}

// Each producer pushes until it is refused; what was accepted must come out of Take or Close, no more and no less.
TEST(InboxStress, CloseLosesNothingThatWasAccepted) {
  for (int round = 0; round < kCloseRounds; ++round) {
    constexpr int kEach = 500;
    Inbox inbox;
    std::atomic<int64_t> accepted{0};
    std::vector<std::vector<InboxNode>> nodes(2);
    std::vector<std::thread> producers;
    for (auto& mine : nodes) {
      mine = std::vector<InboxNode>(kEach);
      producers.emplace_back([&] {
        for (InboxNode& node : mine) {
          if (inbox.Push(node) == PushResult::kClosed) return;
          accepted.fetch_add(1, std::memory_order_relaxed);
        }
      });
    }
    int64_t received = 0;
    auto count = [&](InboxNode* oldest) {
      for (; oldest != nullptr; oldest = oldest->next) ++received;
    };
    const int64_t before_close = round % 8 * 30;
    while (received < before_close) count(inbox.Take());
    count(inbox.Close());
    for (std::thread& producer : producers) producer.join();
    ASSERT_EQ(received, accepted.load()) << "round " << round;
  }
}

}  // namespace
}  // namespace gyre::internal
