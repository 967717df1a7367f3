// What attackers of the core found, each as the claim that had been broken.
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/backend/sys_table.h"
#include "gyre/runtime/internal/allocation.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/sim/sim_world.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/when_all.h"
#include "gyre/runtime/with_scope.h"

namespace gyre {
namespace {

using namespace std::chrono_literals;

// Completed by a thread of its own.
class CompletedByThread : public Leaf {
 public:
  explicit CompletedByThread(std::thread& thread) : thread_(thread) {}
  auto await_suspend(auto awaiting) {
    return Suspend(awaiting, [this] {
      thread_ = std::thread([this] { CompleteFromAnyThread(); });
      return false;
    });
  }
  void await_resume() {}

 private:
  void OnStop() noexcept override {}
  std::thread& thread_;
};

TEST(LoopEnd, WaitsForAThreadThatIsStillWakingIt) {
  static std::atomic<bool> is_root_done;
  static std::atomic<bool> has_written;
  is_root_done = has_written = false;
  internal::ScopedSysTable sys;
  sys->write = [](int fd, const void* bytes, size_t size) -> ssize_t {
    for (int spins = 0; spins < 100'000 && !is_root_done; ++spins) std::this_thread::yield();
    for (int spins = 0; spins < 100; ++spins) std::this_thread::yield();  // a loop that does not wait is gone by now
    has_written = true;
    return ::write(fd, bytes, size);
  };
  std::thread thread;
  gyre::Run([&]() -> Task<> {
    auto body = [&](Scope& scope) -> Task<> {
      auto keep_waking = []() -> Task<> {
        for (;;) co_await SleepFor(100us);
      };
      TaskHandle<> ticker = scope.Spawn(keep_waking);
      co_await CompletedByThread(thread);
      ticker.RequestStop();
    };
    co_await WithScope(body);
    is_root_done = true;
  });
  const bool had_written = has_written;
  thread.join();
  EXPECT_EQ(had_written, has_written) << "Run returned before the wake that it was owed";
}

TEST(LoopEnd, RunsNoTimerThatIsDueWhenTheRootEnds) {
  bool has_fired = false;
  testing::SimWorld world(1);
  world.Run([&]() -> Task<> {
    Timer timer = Loop::Current().CallLater(0ns, [&] { has_fired = true; });
    co_return;
  });
  EXPECT_FALSE(has_fired);
}

TEST(LoopEnd, RunsNoCallbackThatIsBehindTheRoot) {
  bool has_run = false;
  gyre::Run([&]() -> Task<> {
    co_await Yield();
    Loop::Current().CallSoon([&] { has_run = true; });
  });
  EXPECT_FALSE(has_run);
}

TEST(Hook, MayReplaceItself) {
  int calls = 0;
  gyre::Run([&]() -> Task<> {
    Loop& loop = Loop::Current();
    auto witness = std::make_shared<std::string>(1000, 'x');
    loop.SetUnhandledErrorHook([&calls, &loop, witness](const UnhandledError&) {
      loop.SetUnhandledErrorHook(nullptr);
      calls += witness->back() == 'x' ? 1 : 0;
    });
    witness.reset();
    loop.CallSoon([] { throw std::runtime_error("planned"); });
    for (int i = 0; i < 4; ++i) co_await Yield();
  });
  EXPECT_EQ(calls, 1);
}

class StopsInStart : public Leaf {
 public:
  explicit StopsInStart(Scope& scope) : scope_(scope) {}
  auto await_suspend(auto awaiting) {
    return Suspend(awaiting, [this] {
      scope_.RequestStop();
      return false;
    });
  }
  void await_resume() {}

 private:
  void OnStop() noexcept override { CompleteStopped(); }
  Scope& scope_;
};

TEST(Leaf, IsToldOfAStopThatItsOwnStartCaused) {
  bool has_joined = false;
  gyre::Run([&]() -> Task<> {
    auto body = [](Scope& scope) -> Task<> { co_await StopsInStart(scope); };
    co_await WithScope(body);
    has_joined = true;
  });
  EXPECT_TRUE(has_joined);
}

class EndsStopped : public Leaf {
 public:
  EndsStopped() {}
  auto await_suspend(auto awaiting) {
    return Suspend(awaiting, [this] {
      CompleteStopped();
      return false;
    });
  }
  void await_resume() {}

 private:
  void OnStop() noexcept override {}
};

TEST(Leaf, MayEndStoppedWithoutAStopOfItsScope) {
  absl::Status status;
  gyre::Run([&]() -> Task<> {
    auto body = [](Scope&) -> Task<absl::Status> {
      co_await EndsStopped();
      co_return absl::InternalError("not reached");
    };
    status = co_await WithScope(body);
  });
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
}

TEST(Leaf, ThatEndsStoppedInAWhenAllStopsTheAwaiting) {
  bool was_stopped = false;
  gyre::Run([&]() -> Task<> {
    auto one = []() -> Task<int> { co_return 1; };
    auto none = []() -> Task<int> {
      co_await EndsStopped();
      co_return 2;
    };
    auto both = co_await AsOutcome(WhenAll(one(), none()));
    was_stopped = both.stopped();
  });
  EXPECT_TRUE(was_stopped);
}

TEST(TaskHandle, JoinKeepsTheTaskUntilItIsAwaited) {
  std::string seen;
  gyre::Run([&]() -> Task<> {
    auto body = [&](Scope& scope) -> Task<> {
      auto give = []() -> Task<std::string> { co_return std::string(100, 'x'); };
      auto joining = scope.Spawn(give).Join();
      for (int i = 0; i < 4; ++i) co_await Yield();
      auto copy_result = [&](auto join) -> Task<> {
        const Outcome<std::string>& outcome = co_await std::move(join);
        seen = outcome.has_value() ? "a value" : "none";
      };
      co_await copy_result(std::move(joining));
    };
    co_await WithScope(body);
  });
  EXPECT_EQ(seen, "a value");
}

struct ThrowsWhenDestroyed {
  ThrowsWhenDestroyed() {}
  ~ThrowsWhenDestroyed() noexcept(false) { throw 1; }
};

Task<std::shared_ptr<int>> ReturnsTwice(std::shared_ptr<int> first) {
  try {
    ThrowsWhenDestroyed guard;
    co_return first;
  } catch (int) {
  }
  co_return std::make_shared<int>(2);
}

TEST(Task, DropsTheFirstValueWhenItReturnsTwice) {
  auto first = std::make_shared<int>(1);
  gyre::Run([&]() -> Task<> {
    std::shared_ptr<int> result = co_await ReturnsTwice(first);
    EXPECT_EQ(*result, 2);
  });
  EXPECT_EQ(first.use_count(), 1);
}

bool g_refuse_memory = false;

TEST(Scope, ReportsAChildsErrorWithoutMemoryForTheReason) {
  internal::SetAllocationHook([](size_t) { return !g_refuse_memory; });
  bool was_caught = false;
  gyre::Run([&]() -> Task<> {
    auto body = [](Scope& scope) -> Task<> {
      auto fail = []() -> Task<> {
        g_refuse_memory = true;
        throw 5;
        co_return;
      };
      scope.Spawn(fail);
      co_await SleepFor(kForever);
    };
    try {
      co_await WithScope(body);
    } catch (int) {
      was_caught = true;
    }
    g_refuse_memory = false;
  });
  internal::SetAllocationHook(nullptr);
  EXPECT_TRUE(was_caught);
}

}  // namespace
}  // namespace gyre
