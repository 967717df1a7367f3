// Depth costs frames, not stack: a chain of awaits however deep, and a loop of awaits however long, run on a small stack, with
// either compiler, at any optimisation level, and under sanitizers that turn tail calls into calls.
#include <pthread.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>

#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/internal/poison.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/when_all.h"
#include "gyre/runtime/with_scope.h"

#if defined(__SANITIZE_THREAD__)
#define GYRE_TEST_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define GYRE_TEST_TSAN 1
#endif
#endif

namespace gyre {
namespace {

#if defined(GYRE_INTERNAL_ASAN) || defined(GYRE_TEST_TSAN) || defined(GYRE_DEBUG_CHECKS)
constexpr size_t kStackBytes = 1024 * 1024;
#else
constexpr size_t kStackBytes = 256 * 1024;
#endif
constexpr int kDeep = 1000000;
constexpr int kDeepExceptions = 10000;  // each costs microseconds

// The stack in use, told by frame addresses: AddressSanitizer moves locals elsewhere.
class Depth {
 public:
  [[gnu::noinline]] void Note() {
    const auto at = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
    if (highest_ == 0 || at > highest_) highest_ = at;
    if (lowest_ == 0 || at < lowest_) lowest_ = at;
  }
  size_t bytes() const { return highest_ - lowest_; }

 private:
  uintptr_t highest_ = 0;
  uintptr_t lowest_ = 0;
};

// Runs `root` on a thread with little stack. Gives the distance between the highest and the lowest note.
size_t StackOf(const std::function<Task<>(Depth&)>& root) {
  struct Job {
    const std::function<Task<>(Depth&)>* root;
    Depth depth;
  } job{&root, Depth()};
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  EXPECT_EQ(pthread_attr_setstacksize(&attributes, kStackBytes), 0);
  pthread_t thread;
  const auto run = [](void* argument) -> void* {
    Job& job = *static_cast<Job*>(argument);
    Run([&job]() -> Task<> { return (*job.root)(job.depth); });
    return nullptr;
  };
  EXPECT_EQ(pthread_create(&thread, &attributes, run, &job), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  return job.depth.bytes();
}

// Where symmetric transfer is no tail call, up to a budget of transfers stays on the stack.
constexpr size_t kBoundBytes = kStackBytes * 3 / 4;

Task<int> One(Depth& depth) {
  depth.Note();
  co_return 1;
}

TEST(StackDepth, AMillionAwaitsInALoop) {
  int64_t sum = 0;
  const size_t bytes = StackOf([&](Depth& depth) -> Task<> {
    for (int i = 0; i < 1000000; ++i) sum += co_await One(depth);
  });
  EXPECT_EQ(sum, 1000000);
  EXPECT_LT(bytes, kBoundBytes);
}

Task<int64_t> Count(int left, Depth& depth) {
  depth.Note();
  if (left == 0) co_return 0;
  const int64_t below = co_await Count(left - 1, depth);
  depth.Note();
  co_return below + 1;
}

TEST(StackDepth, ADeepChainThatCompletesByValue) {
  int64_t counted = 0;
  const size_t bytes = StackOf([&](Depth& depth) -> Task<> { counted = co_await Count(kDeep, depth); });
  EXPECT_EQ(counted, kDeep);
  EXPECT_LT(bytes, kBoundBytes);
}

Task<> ThrowFrom(int left, Depth& depth) {
  depth.Note();
  if (left == 0) throw std::runtime_error("from the depth");
  co_await ThrowFrom(left - 1, depth);
}

TEST(StackDepth, ADeepChainThatCompletesByException) {
  std::string caught;
  const size_t bytes = StackOf([&](Depth& depth) -> Task<> {
    try {
      co_await ThrowFrom(kDeepExceptions, depth);
    } catch (const std::runtime_error& error) {
      caught = error.what();
    }
    depth.Note();
  });
  EXPECT_EQ(caught, "from the depth");
  EXPECT_LT(bytes, kBoundBytes);
}

class CountsAndNotes {
 public:
  CountsAndNotes(int& count, Depth& depth) : count_(count), depth_(depth) {}
  CountsAndNotes(const CountsAndNotes&) = delete;
  ~CountsAndNotes() {
    ++count_;
    depth_.Note();
  }

 private:
  int& count_;
  Depth& depth_;
};

Task<> SleepAt(int left, int& unwound, Depth& depth) {
  CountsAndNotes end(unwound, depth);
  if (left == 0) {
    co_await SleepFor(kForever);
  } else {
    co_await SleepAt(left - 1, unwound, depth);
  }
}

TEST(StackDepth, AStopOfADeepChain) {
  int unwound = 0;
  const size_t bytes = StackOf([&](Depth& depth) -> Task<> {
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(SleepAt, kDeep, std::ref(unwound), std::ref(depth));
      while (Loop::Current().timers().empty()) co_await Yield();
      depth.Note();
      scope.RequestStop();
    };
    co_await WithScope(body);
  });
  EXPECT_EQ(unwound, kDeep + 1);
  EXPECT_LT(bytes, kBoundBytes);
}

Task<int> Observe(int left, Depth& depth) {
  depth.Note();
  if (left == 0) co_return 0;
  const Outcome<int> below = co_await AsOutcome(Observe(left - 1, depth));
  depth.Note();
  co_return below.value() + 1;
}

TEST(StackDepth, ADeepChainOfAsOutcome) {
  int counted = 0;
  const size_t bytes = StackOf([&](Depth& depth) -> Task<> { counted = co_await Observe(kDeep / 10, depth); });
  EXPECT_EQ(counted, kDeep / 10);
  EXPECT_LT(bytes, kBoundBytes);
}

Task<> Nest(int left, int& unwound, Depth& depth) {
  CountsAndNotes end(unwound, depth);
  auto body = [&](Scope&) -> Task<> {
    if (left == 0) co_await SleepFor(kForever);
    if (left != 0) co_await Nest(left - 1, unwound, depth);
  };
  co_await WithScope(body);
}

TEST(StackDepth, AStopOfDeeplyNestedScopes) {
  int unwound = 0;
  const size_t bytes = StackOf([&](Depth& depth) -> Task<> {
    auto body = [&](Scope& scope) -> Task<> {
      scope.Spawn(Nest, kDeep / 10, std::ref(unwound), std::ref(depth));
      while (Loop::Current().timers().empty()) co_await Yield();
      scope.RequestStop();
    };
    co_await WithScope(body);
  });
  EXPECT_EQ(unwound, kDeep / 10 + 1);
  EXPECT_LT(bytes, kBoundBytes);
}

Task<> Fork(int left, int& ended, Depth& depth) {
  CountsAndNotes end(ended, depth);
  if (left > 0) co_await WhenAll(Fork(left - 1, ended, depth), Yield());
}

// Each child is started by its parent's join.
Task<> JoinChain(Scope& scope, int left, int& ended, Depth& depth) {
  CountsAndNotes end(ended, depth);
  if (left == 0) co_return;
  TaskHandle<> below = scope.Spawn(JoinChain, std::ref(scope), left - 1, std::ref(ended), std::ref(depth));
  co_await below.Join();
}

TEST(StackDepth, ADeepChainOfJoins) {
  int ended = 0;
  const size_t bytes = StackOf([&](Depth& depth) -> Task<> {
    auto body = [&](Scope& scope) -> Task<> {
      co_await JoinChain(scope, kDeep / 10, ended, depth);
    };
    co_await WithScope(body);
  });
  EXPECT_EQ(ended, kDeep / 10 + 1);
  EXPECT_LT(bytes, kBoundBytes);
}

TEST(StackDepth, ADeepChainOfWhenAll) {
  int ended = 0;
  const size_t bytes = StackOf([&](Depth& depth) -> Task<> { co_await Fork(kDeep / 10, ended, depth); });
  EXPECT_EQ(ended, kDeep / 10 + 1);
  EXPECT_LT(bytes, kBoundBytes);
}

}  // namespace
}  // namespace gyre
