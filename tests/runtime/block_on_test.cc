#include "gyre/runtime/block_on.h"

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "gyre/runtime/bridge.h"
#include "gyre/runtime/errors.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/sleep.h"
#include "gyre/tests/support/tasks.h"

namespace gyre {
namespace {

using testing::EndStoppedByItself;
using testing::Give;
using testing::Throw;

// A loop on a thread of its own, for plain threads to call.
class LoopThread {
 public:
  LoopThread() : thread_([this] { gyre::Run([this] { return Root(); }); }) {
    while (loop_.load() == nullptr) std::this_thread::yield();
  }
  ~LoopThread() {
    if (thread_.joinable()) End();
  }
  Loop& loop() { return *loop_.load(); }
  void End() {
    end_.Complete();
    thread_.join();
  }

 private:
  Task<> Root() {
    loop_ = &Loop::Current();
    co_await end_.Wait();
  }

  std::atomic<Loop*> loop_{nullptr};
  Bridge<> end_;
  std::thread thread_;
};

TEST(BlockOn, GivesWhatTheCoroutineGives) {
  LoopThread other;
  EXPECT_EQ(BlockOn(other.loop(), Give, 3), 3);
  EXPECT_EQ(BlockOn(other.loop(), [] { return std::string("plain"); }), "plain");
  std::thread::id there;
  auto where = [&there]() -> Task<> {
    co_await Yield();
    there = std::this_thread::get_id();
  };
  BlockOn(other.loop(), where);
  EXPECT_NE(there, std::this_thread::get_id());
}

TEST(BlockOn, ThrowsWhatTheCoroutineThrows) {
  LoopThread other;
  EXPECT_THROW(BlockOn(other.loop(), Throw, 2, "over there"), std::runtime_error);
}

TEST(BlockOn, OfAStoppedCoroutineGivesCancelledOrThrowsStopped) {
  LoopThread other;
  EXPECT_THROW(BlockOn(other.loop(), EndStoppedByItself), Stopped);
  auto with_status = []() -> Task<absl::Status> {
    co_await EndStoppedByItself();
    co_return absl::OkStatus();
  };
  EXPECT_EQ(BlockOn(other.loop(), with_status).code(), absl::StatusCode::kCancelled);
}

TEST(BlockOn, IsReleasedWhenTheLoopEnds) {
  LoopThread other;
  Bridge<> is_there;
  std::thread blocked([&] {
    auto sleep = [&]() -> Task<absl::Status> {
      is_there.Complete();
      co_await SleepFor(kForever);
      co_return absl::OkStatus();
    };
    EXPECT_EQ(BlockOn(other.loop(), sleep).code(), absl::StatusCode::kCancelled);
  });
  gyre::Run([&]() -> Task<> { co_await is_there.Wait(); });
  other.End();
  blocked.join();
}

TEST(BlockOnDeathTest, RefusesToBlockALoop) {
  auto blocks = []() -> Task<int> { co_return BlockOn(Loop::Current(), Give, 3); };
  EXPECT_DEATH(gyre::Run(blocks), "co_await RunOn instead");
}

}  // namespace
}  // namespace gyre
