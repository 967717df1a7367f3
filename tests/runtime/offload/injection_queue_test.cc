#include "gyre/runtime/offload/internal/injection_queue.h"

#include <algorithm>
#include <deque>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "gyre/runtime/internal/rng.h"

namespace gyre::internal {
namespace {

class NamedJob final : public Job {
 public:
  int number = 0;

 private:
  void Run() noexcept override {}
  void Fail(absl::Status) noexcept override {}
  void Finish() noexcept override {}
};

int NumberOf(Job* job) { return job == nullptr ? -1 : static_cast<NamedJob*>(job)->number; }

TEST(InjectionQueue, GivesJobsInTheirOrderAlsoBeyondItsRing) {
  InjectionQueue queue(4);
  std::vector<NamedJob> jobs(20);
  for (int i = 0; i < 20; ++i) {
    jobs[static_cast<size_t>(i)].number = i;
    EXPECT_EQ(queue.IsFull(), i > 4) << i;
    queue.Push(jobs[static_cast<size_t>(i)]);
  }
  for (int i = 0; i < 20; ++i) EXPECT_EQ(NumberOf(queue.Pop()), i);
  EXPECT_TRUE(queue.LooksEmpty());
  EXPECT_FALSE(queue.IsFull());
  EXPECT_EQ(queue.Pop(), nullptr);
}

TEST(InjectionQueue, ARevokedJobIsNotGivenOut) {
  InjectionQueue queue(2);
  std::vector<NamedJob> jobs(5);
  for (int i = 0; i < 5; ++i) {
    jobs[static_cast<size_t>(i)].number = i;
    queue.Push(jobs[static_cast<size_t>(i)]);
  }
  EXPECT_TRUE(queue.Revoke(jobs[0]));  // in the ring
  EXPECT_TRUE(queue.Revoke(jobs[3]));  // behind it
  EXPECT_FALSE(queue.Revoke(jobs[3]));
  EXPECT_EQ(NumberOf(queue.Pop()), 1);
  EXPECT_FALSE(queue.Revoke(jobs[1]));
  EXPECT_EQ(NumberOf(queue.Pop()), 2);
  EXPECT_EQ(NumberOf(queue.Pop()), 4);
  EXPECT_EQ(queue.Pop(), nullptr);
}

TEST(InjectionQueue, AgreesWithAPlainQueueOnRandomOperations) {
  for (size_t capacity : {2u, 3u, 8u}) {
    SCOPED_TRACE(capacity);
    InjectionQueue queue(capacity);
    std::deque<int> model;
    std::vector<NamedJob> jobs(24);
    std::vector<int> free;
    for (int i = 0; i < 24; ++i) {
      jobs[static_cast<size_t>(i)].number = i;
      free.push_back(i);
    }
    Rng rng(capacity);
    for (int step = 0; step < 100'000; ++step) {
      const uint64_t what = rng.Below(10);
      if (what < 5 && !free.empty()) {
        const int number = free.back();
        free.pop_back();
        queue.Push(jobs[static_cast<size_t>(number)]);
        model.push_back(number);
      } else if (what < 9) {
        const int expected = model.empty() ? -1 : model.front();
        if (!model.empty()) model.pop_front();
        ASSERT_EQ(NumberOf(queue.Pop()), expected) << "step " << step;
        if (expected >= 0) free.push_back(expected);
      } else {
        const int number = static_cast<int>(rng.Below(24));
        const auto found = std::find(model.begin(), model.end(), number);
        ASSERT_EQ(queue.Revoke(jobs[static_cast<size_t>(number)]), found != model.end()) << "step " << step;
        if (found == model.end()) continue;
        model.erase(found);
        free.push_back(number);
      }
    }
    while (queue.Pop() != nullptr) {
    }
  }
}

}  // namespace
}  // namespace gyre::internal
