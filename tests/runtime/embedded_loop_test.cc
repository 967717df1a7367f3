#include "gyre/runtime/embedded_loop.h"

#include <dirent.h>
#include <poll.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "gyre/runtime/backend/sys_table.h"
#include "gyre/runtime/block_on.h"
#include "gyre/runtime/errors.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/run_on.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/counted.h"
#include "gyre/tests/support/gate.h"
#include "gyre/tests/support/host.h"
#include "gyre/tests/support/tasks.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using namespace std::chrono_literals;
using internal::kRealSysTable;
using internal::ScopedSysTable;
using testing::Counted;
using testing::Gate;
using testing::HookLog;
using testing::Host;
using testing::InEveryHost;
using testing::IsReadable;
using testing::Trigger;
using testing::WaitForStop;

size_t CountOpenFds() {
  size_t count = 0;
  DIR* const directory = opendir("/proc/self/fd");
  while (readdir(directory) != nullptr) ++count;
  closedir(directory);
  return count;
}

// --- results

TEST(EmbeddedLoop, GivesTheResultOfWhateverRunTakes) {
  InEveryHost([](Host& host) {
    EXPECT_EQ(host.Run(testing::Give(42)), 42);
    EXPECT_EQ(*host.Run([]() -> Task<std::unique_ptr<int>> { co_return std::make_unique<int>(7); }), 7);
    host.Run([text = std::string("a text too long for the small string buffer")](Scope& scope) -> Task<> {
      scope.Spawn([&text]() -> Task<> {
        co_await Yield();
        EXPECT_EQ(text, "a text too long for the small string buffer");
      });
      co_return;
    });
    int number = 0;
    EXPECT_EQ(&host.Run([&]() -> Task<int&> { co_return number; }), &number);
  });
}

TEST(EmbeddedLoop, RethrowsTheRootsException) {
  InEveryHost([](Host& host) {
    EXPECT_THROW(host.Run(testing::Throw(/*turns=*/2, "root")), std::runtime_error);
    EXPECT_THROW(host.Run([]() -> Task<> { throw std::out_of_range("no coroutine"); }), std::out_of_range);
    EXPECT_THROW(host.Run(testing::EndStoppedByItself()), Stopped);
  });
}

TEST(EmbeddedLoop, RunsNothingBeforeTheFirstPollOnce) {
  bool has_begun = false;
  auto guest = *StartEmbedded([&]() -> Task<> {
    has_begun = true;
    co_return;
  });
  EXPECT_FALSE(has_begun);
  EXPECT_FALSE(guest.IsDone());
  EXPECT_TRUE(IsReadable(guest.fd())) << "or else the host would never call";
  EXPECT_FALSE(guest.PollOnce());
  EXPECT_TRUE(has_begun);
  EXPECT_TRUE(guest.IsDone());
}

TEST(EmbeddedLoop, TheRootsFrameAndCallableAreGoneWhenItIsDone) {
  Counted::Reset();
  auto guest = *StartEmbedded([counted = Counted()]() -> Task<> {
    const Counted local;
    co_await Yield();
  });
  EXPECT_GT(Counted::live(), 0);
  guest.PollOnce();
  EXPECT_TRUE(guest.IsDone());
  EXPECT_EQ(Counted::live(), 0);
}

TEST(EmbeddedLoop, MayBeMovedWhileItsRootRuns) {
  Host host(Trigger::kLevel);
  auto first = *StartEmbedded(testing::GiveAfter(1ms, 42));
  first.PollOnce();
  EmbeddedLoop<int> second = std::move(first);
  host.Watch(second);
  host.PollUntil(second, [] { return false; });
  EXPECT_EQ(second.Result(), 42);
}

// --- where it is

TEST(EmbeddedLoop, IsCurrentInsidePollOnceAlone) {
  auto guest = *StartEmbedded([]() -> Task<> {
    EXPECT_TRUE(Loop::Current().IsRunning());
    Loop::Current().CallSoon([&loop = Loop::Current()] { EXPECT_EQ(&Loop::Current(), &loop); });
    co_await WaitForStop();
  });
  guest.PollOnce();
  EXPECT_EQ(Loop::TryCurrent(), nullptr);
  EXPECT_TRUE(guest.loop().IsRunning());
  guest.RequestStop();
  guest.PollOnce();
  EXPECT_FALSE(guest.loop().IsRunning());
}

TEST(EmbeddedLoop, TwoLiveSideBySideOnAThreadAndTalk) {
  InEveryHost([](Host& host) {
    auto ponger = *StartEmbedded(WaitForStop);
    int rounds = 0;
    auto pinger = *StartEmbedded([&]() -> Task<> {
      for (; rounds < 100; ++rounds) {
        Loop* there = co_await RunOn(ponger.loop(), []() -> Task<Loop*> { co_return &Loop::Current(); });
        EXPECT_EQ(there, &ponger.loop());
        EXPECT_NE(there, &Loop::Current());
      }
    });
    host.Watch(ponger);
    host.Watch(pinger);
    while (!pinger.IsDone()) {
      if (host.Await() == pinger.fd()) {
        pinger.PollOnce();
      } else {
        ponger.PollOnce();
      }
    }
    EXPECT_EQ(rounds, 100);
  });
}

TEST(EmbeddedLoop, ARunOnTheSameThreadFindsItsPlaceBetweenTwoPolls) {
  Host host(Trigger::kLevel);
  auto guest = *StartEmbedded(testing::GiveAfter(1ms, 42));
  host.Watch(guest);
  guest.PollOnce();
  EXPECT_EQ(gyre::Run(testing::GiveAfter(1ms, 7)), 7);
  host.PollUntil(guest, [] { return false; });
  EXPECT_EQ(guest.Result(), 42);
}

// --- stopping

TEST(EmbeddedLoop, AStopFromTheHostOrAThreadEndsTheRoot) {
  InEveryHost([](Host& host) {
    for (const bool from_thread : {false, true}) {
      auto guest = *StartEmbedded([]() -> Task<absl::Status> {
        co_await WaitForStop();
        co_return absl::OkStatus();
      });
      host.Watch(guest);
      host.PollUntilIdle(guest);
      if (from_thread) {
        std::thread([stop = guest.stop_handle()] { stop.RequestStop("lunch"); }).join();
      } else {
        guest.RequestStop("lunch");
      }
      EXPECT_FALSE(guest.IsDone()) << "the root runs in PollOnce alone";
      host.PollUntil(guest, [] { return false; });
      const absl::Status status = guest.Result();
      EXPECT_TRUE(absl::IsCancelled(status)) << status;
      EXPECT_NE(status.message().find("lunch"), absl::string_view::npos) << status;
      guest.RequestStop();  // too late, and harmless
    }
  });
}

TEST(EmbeddedLoop, AStopHandleMayOutliveIt) {
  StopHandle stop;
  {
    auto guest = *StartEmbedded(WaitForStop);
    stop = guest.stop_handle();
  }
  stop.RequestStop();
}

TEST(EmbeddedLoop, DestroyedItStopsItsRootAndRunsItToTheEnd) {
  Counted::Reset();
  std::string log;
  {
    auto guest = *StartEmbedded([&, counted = Counted()]() -> Task<> {
      const testing::NotesStop end(log, "root ");
      int stops = 0;
      const int value = co_await testing::GiveStubbornly(1ms, stops, 1);  // takes its time to stop
      log += std::to_string(value) + " ";
      co_await WaitForStop();
    });
    guest.PollOnce();
  }
  EXPECT_EQ(log, "1 root stopped ");
  EXPECT_EQ(Counted::live(), 0);
}

TEST(EmbeddedLoop, DestroyedBeforeItsFirstPollItRunsItsRootStopped) {
  bool went_on = false;
  {
    auto guest = *StartEmbedded([&]() -> Task<> {
      co_await WaitForStop();
      went_on = true;
    });
  }
  EXPECT_FALSE(went_on);
}

TEST(EmbeddedLoop, AFailureThatNobodyTakesGoesToTheHook) {
  HookLog hook;
  {
    auto thrown = *StartEmbedded(hook.Options(), testing::Throw(/*turns=*/0, "lost"));
    thrown.PollOnce();
    auto status = *StartEmbedded(hook.Options(), []() -> Task<absl::Status> { co_return absl::DataLossError("lost, too"); });
    status.PollOnce();
    auto taken = *StartEmbedded(hook.Options(), testing::Throw(/*turns=*/0, "taken"));
    taken.PollOnce();
    EXPECT_THROW(taken.Result(), std::runtime_error);
    auto stopped = *StartEmbedded(hook.Options(), WaitForStop);
    stopped.PollOnce();
  }
  EXPECT_EQ(hook.Texts(), (std::vector<std::string>{"DATA_LOSS: lost, too", "lost"}));
}

std::atomic<bool> g_is_writing{false};
std::atomic<bool> g_may_write{false};
const std::thread::id kMainThread = std::this_thread::get_id();

ssize_t WaitingWrite(int fd, const void* bytes, size_t size) {
  if (std::this_thread::get_id() != kMainThread) {
    g_is_writing = true;
    g_is_writing.notify_all();
    g_may_write.wait(false);
  }
  return kRealSysTable.write(fd, bytes, size);
}
int PermittingPoll(pollfd* watched, nfds_t count, int timeout_ms) {
  g_may_write = true;
  g_may_write.notify_all();
  return kRealSysTable.poll(watched, count, timeout_ms);
}

// It counts its own wakes, too: or it would take one of them for that of a thread which is still on its way.
TEST(EmbeddedLoop, ItsEndWaitsForAThreadThatIsAboutToWakeIt) {
  ScopedSysTable sys;
  sys->write = WaitingWrite;
  sys->poll = PermittingPoll;
  Gate gate;
  auto guest = *StartEmbedded(testing::WaitAt(gate));
  guest.PollOnce();
  std::thread poster([&] { guest.loop().Post([&] { gate.Open(); }); });
  g_is_writing.wait(false);
  guest.PollOnce();
  EXPECT_TRUE(guest.IsDone());
  EXPECT_TRUE(g_may_write) << "the end did not wait";
  g_may_write = true;
  g_may_write.notify_all();
  poster.join();
}

TEST(EmbeddedLoop, WorkSentToItFromAThreadIsStoppedAndWaitedForAtItsEnd) {
  InEveryHost([](Host& host) {
    auto guest = *StartEmbedded(WaitForStop);
    host.Watch(guest);
    bool is_here = false;
    absl::Status status;
    std::thread caller([&] {
      status = BlockOn(guest.loop(), [&]() -> Task<absl::Status> {
        is_here = true;
        co_await WaitForStop();
        co_return absl::OkStatus();
      });
    });
    host.PollUntil(guest, [&] { return is_here; });
    guest.RequestStop();
    host.PollUntil(guest, [] { return false; });
    caller.join();
    EXPECT_TRUE(absl::IsCancelled(status)) << status;
    EXPECT_TRUE(guest.IsDone());
  });
}

// --- the start and what is left

TEST(EmbeddedLoop, HearsTheOptionsOfRun) {
  RunReport report;
  Loop* told = nullptr;
  RunOptions options;
  options.set_report(&report).set_on_start([&](Loop& loop) { told = &loop; });
  auto guest = *StartEmbedded(options, []() -> Task<> {
    (void)Loop::Current().CallLater(1h, [] {});
    co_return;
  });
  EXPECT_EQ(told, &guest.loop());
  guest.PollOnce();
  EXPECT_EQ(report.dropped_timers, 1u);
  EXPECT_EQ(report.backend, "epoll");
}

TEST(EmbeddedLoop, WhatOnStartThrowsIsItsResult) {
  RunOptions options;
  options.set_on_start([](Loop& loop) {
    loop.CallSoon([] { ADD_FAILURE(); });
    throw std::runtime_error("no");
  });
  auto guest = *StartEmbedded(options, WaitForStop);
  EXPECT_TRUE(IsReadable(guest.fd()));
  guest.PollOnce();
  EXPECT_TRUE(guest.IsDone());
  EXPECT_THROW(guest.Result(), std::runtime_error);
}

int FailingTimer(clockid_t, int) {
  errno = EMFILE;
  return -1;
}
int FailingForTimers(int epoll_fd, int what, int fd, epoll_event* event) {
  static int calls = 0;
  if (++calls % 2 == 1) return kRealSysTable.epoll_ctl(epoll_fd, what, fd, event);  // the eventfd
  errno = ENOSPC;
  return -1;
}

TEST(EmbeddedLoop, WhatItNeedsAndCantHaveIsAStatusAndNothingStaysOpen) {
  const size_t before = CountOpenFds();
  {
    ScopedSysTable sys;
    sys->timerfd_create = FailingTimer;
    EXPECT_EQ(ErrnoOf(StartEmbedded(WaitForStop).status()), EMFILE);
  }
  {
    ScopedSysTable sys;
    sys->epoll_ctl = FailingForTimers;
    EXPECT_EQ(ErrnoOf(StartEmbedded(WaitForStop).status()), ENOSPC);
  }
  for (int i = 0; i < 100; ++i) {
    auto guest = *StartEmbedded(testing::Give(1));
    guest.PollOnce();
    EXPECT_EQ(guest.Result(), 1);
  }
  EXPECT_EQ(CountOpenFds(), before);
}

// --- misuse

TEST(EmbeddedLoopDeathTest, PollOnceInsideALoopIsAUsageError) {
  auto guest = *StartEmbedded(WaitForStop);
  auto root = [&]() -> Task<> {
    guest.PollOnce();
    co_return;
  };
  EXPECT_DEATH(gyre::Run(root), "PollOnce was called by a task or a callback of a loop: only the host loop may call it");
  auto nested = [&] {
    guest.loop().Post([&] { guest.PollOnce(); });
    guest.PollOnce();
  };
  EXPECT_DEATH(nested(), "PollOnce was called by a task or a callback of a loop");
}

TEST(EmbeddedLoopDeathTest, PollOnceOnAnotherThreadIsAUsageError) {
  auto guest = *StartEmbedded(WaitForStop);
  guest.PollOnce();
  EXPECT_DEATH(std::thread([&] { guest.PollOnce(); }).join(), "PollOnce was called on another thread than before");
}

TEST(EmbeddedLoopDeathTest, BetweenTwoPollsTheHostMayOnlyPost) {
  auto guest = *StartEmbedded(WaitForStop);
  guest.PollOnce();
  EXPECT_EQ(guest.loop().Post([] {}), PostResult::kAccepted);
  EXPECT_DEATH(guest.loop().CallSoon([] {}), "a Loop was used outside of its loop, which does not run just now: Post to it");
  EXPECT_DEATH(guest.loop().CallLater(1s, [] {}), "a Loop was used outside of its loop");
}

TEST(EmbeddedLoopDeathTest, DestroyingItInsideALoopIsAUsageError) {
  auto destroys = [] {
    std::optional<EmbeddedLoop<>> guest = *StartEmbedded(WaitForStop);
    guest->loop().Post([&] { guest.reset(); });
    guest->PollOnce();
  };
  EXPECT_DEATH(destroys(), "an EmbeddedLoop was destroyed inside a loop while its root still ran");
}

TEST(EmbeddedLoopDeathTest, AResultComesOnceAndNotBeforeTheEnd) {
  auto guest = *StartEmbedded(testing::Give(1));
  EXPECT_DEATH((void)guest.Result(), "Result was called before the root had ended: ask IsDone\\(\\) first");
  guest.PollOnce();
  EXPECT_EQ(guest.Result(), 1);
  EXPECT_DEATH((void)guest.Result(), "Result was called twice");
}

}  // namespace
}  // namespace gyre
