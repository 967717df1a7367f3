// What an EmbeddedLoop's host sees: when the descriptor is readable, and how long PollOnce takes.
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/io/buffer.h"
#include "gyre/io/tcp_stream.h"
#include "gyre/runtime/backend/sys_table.h"
#include "gyre/runtime/check.h"
#include "gyre/runtime/embedded_loop.h"
#include "gyre/runtime/errors.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/host.h"
#include "gyre/tests/support/tasks.h"

namespace gyre {
namespace {

using namespace std::chrono_literals;
using internal::kRealSysTable;
using internal::ScopedSysTable;
using testing::Host;
using testing::InEveryHost;
using testing::IsReadable;
using testing::WaitForStop;

// --- what makes it readable

TEST(EmbeddedLoopHost, TimersFireInOrder) {
  InEveryHost([](Host& host) {
    std::string log;
    host.Run([&](Scope& scope) -> Task<> {
      auto sleeper = [&log](Duration wait, char name) -> Task<> {
        co_await SleepFor(wait);
        log += name;
      };
      scope.Spawn(sleeper, 3ms, 'c');
      scope.Spawn(sleeper, 1ms, 'a');
      scope.Spawn(sleeper, 2ms, 'b');
      co_await SleepFor(4ms);
      log += 'd';
    });
    EXPECT_EQ(log, "abcd");
  });
}

// The alarm stays set for a timer that was cancelled, and must not be taken for one that rings for the next.
TEST(EmbeddedLoopHost, ATimerRingsWhateverBecameOfThoseBeforeIt) {
  InEveryHost([](Host& host) {
    host.Run([]() -> Task<> {
      for (int i = 0; i < 50; ++i) {
        Timer cancelled = Loop::Current().CallLater(100us * (i % 4), [] {});
        co_await Yield();
        cancelled.Cancel();
        co_await SleepFor(70us * (i % 7));
      }
    });
  });
}

TEST(EmbeddedLoopHost, TimersThatAreSetAnewAndAgainCostNoSystemCalls) {
  auto guest = *StartEmbedded(WaitForStop);
  Loop& loop = guest.loop();
  Timer timer;
  auto rearm = [&] {
    timer.Cancel();
    timer = Loop::Current().CallLater(1h, [] {});
  };
  loop.Post(rearm);
  guest.PollOnce();
  const BackendCounters& counters = loop.backend().counters();
  const uint64_t before = counters.syscalls.value();
  for (int i = 0; i < 100; ++i) {
    loop.Post(rearm);
    guest.PollOnce();
  }
  EXPECT_EQ(counters.syscalls.value() - before, 100u) << "one wait each";
}

TEST(EmbeddedLoopHost, APostFromAnotherThreadReachesItAsleepOrAwake) {
  InEveryHost([](Host& host) {
    constexpr int kPosts = 2000;
    auto guest = *StartEmbedded(WaitForStop);
    host.Watch(guest);
    std::array<int, 2> made{};
    std::vector<std::thread> threads;
    for (int& mine : made) {
      threads.emplace_back([&mine, &loop = guest.loop()] {
        for (int i = 0; i < kPosts; ++i) {
          loop.Post([&mine] { ++mine; });
          if (i % 8 == 0) std::this_thread::yield();
        }
      });
    }
    host.PollUntil(guest, [&] { return made[0] + made[1] == 2 * kPosts; });
    for (std::thread& thread : threads) thread.join();
  });
}

TEST(EmbeddedLoopHost, EachPostToASleepingLoopIsOneReadiness) {
  InEveryHost([](Host& host) {
    auto guest = *StartEmbedded(WaitForStop);
    host.Watch(guest);
    host.PollUntilIdle(guest);
    for (int i = 0; i < 100; ++i) {
      int made = 0;
      std::thread([&] { guest.loop().Post([&] { ++made; }); }).join();
      EXPECT_EQ(host.Await(), guest.fd());
      EXPECT_FALSE(guest.PollOnce());
      EXPECT_EQ(made, 1);
      EXPECT_EQ(host.Poll(), -1) << "it sleeps again";
    }
  });
}

// Whoever adopts `inside` closes it.
class SocketPair {
 public:
  SocketPair() {
    std::array<int, 2> fds;
    GYRE_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()) == 0, "the test needs a socket pair");
    inside = fds[0];
    outside_ = fds[1];
  }
  SocketPair(const SocketPair&) = delete;
  SocketPair& operator=(const SocketPair&) = delete;
  ~SocketPair() { close(outside_); }

  void Write() const { EXPECT_EQ(write(outside_, "!", 1), 1); }

  int inside;

 private:
  int outside_;
};

// One epoll wait tells of 512 at most, and nobody here cares about those: an edge-triggered host has to hear of the rest.
TEST(EmbeddedLoopHost, WhatOneWaitDoesNotTellIsToldByTheNext) {
  InEveryHost([](Host& host) {
    std::vector<SocketPair> indifferent(600);
    SocketPair witness;
    size_t heard = 0;
    auto hear_once = [&heard](TcpStream stream) -> Task<> {
      const absl::StatusOr<Buffer> chunk = co_await stream.Receive();
      EXPECT_TRUE(chunk.ok());
      ++heard;
      co_await WaitForStop();
    };
    auto guest = *StartEmbedded([&](Scope& scope) -> Task<> {
      for (SocketPair& pair : indifferent) scope.Spawn(hear_once, *TcpStream::Adopt(pair.inside));
      scope.Spawn(hear_once, *TcpStream::Adopt(witness.inside));
      co_return;
    });
    host.Watch(guest);
    host.PollUntilIdle(guest);
    for (const SocketPair& pair : indifferent) pair.Write();
    host.PollUntil(guest, [&] { return heard == indifferent.size(); });
    host.PollUntilIdle(guest);
    for (const SocketPair& pair : indifferent) pair.Write();
    witness.Write();
    host.PollUntil(guest, [&] { return heard == indifferent.size() + 1; });
    guest.RequestStop();
  });
}

TEST(EmbeddedLoopHost, WithNothingToDoItIsNotReadable) {
  InEveryHost([](Host& host) {
    SocketPair pair;
    auto guest = *StartEmbedded([&](Scope& scope) -> Task<> {
      scope.Spawn(testing::GiveAfter(1ms, 1));
      TcpStream stream = *TcpStream::Adopt(pair.inside);
      std::ignore = co_await stream.Receive();
    });
    host.Watch(guest);
    bool has_fired = false;
    guest.loop().Post([&] { (void)Loop::Current().CallLater(2ms, [&] { has_fired = true; }); });
    host.PollUntil(guest, [&] { return has_fired; });
    host.PollUntilIdle(guest);
    EXPECT_EQ(host.Poll(/*timeout_ms=*/20), -1);
    EXPECT_FALSE(IsReadable(guest.fd()));
    EXPECT_FALSE(guest.IsDone());
  });
}

TEST(EmbeddedLoopHost, OneThatStillPollsWhenItsGuestIsDoneDoesNotSpin) {
  InEveryHost([](Host& host) {
    auto guest = *StartEmbedded([]() -> Task<> { co_await SleepFor(1ms); });
    host.Watch(guest);
    guest.PollOnce();
    guest.RequestStop();
    while (!guest.IsDone()) guest.PollOnce();
    host.Await();  // the alarm, which nobody has taken back
    guest.PollOnce();
    EXPECT_EQ(host.Poll(), -1);
    EXPECT_FALSE(IsReadable(guest.fd()));
    EXPECT_THROW(guest.Result(), Stopped);
  });
}

// --- sharing the thread

TEST(EmbeddedLoopHost, AGuestThatIsNeverIdleGivesTheHostItsTurn) {
  InEveryHost([](Host& host) {
    auto guest = *StartEmbedded([]() -> Task<> {
      for (;;) co_await Yield();
    });
    host.Watch(guest);
    bool was_told = false;
    for (int i = 0; i < 10; ++i) {
      EXPECT_EQ(host.Await(), guest.fd());
      EXPECT_TRUE(guest.PollOnce());
      EXPECT_TRUE(IsReadable(guest.fd()));
    }
    guest.loop().Post([&] { was_told = true; });
    guest.PollOnce();
    EXPECT_TRUE(was_told);
  });
}

TEST(EmbeddedLoopHost, AGuestThatIsNeverIdleHearsFromItsSockets) {
  InEveryHost([](Host& host) {
    SocketPair pair;
    bool has_heard = false;
    auto guest = *StartEmbedded([&](Scope& scope) -> Task<> {
      auto listen = [&]() -> Task<> {
        TcpStream stream = *TcpStream::Adopt(pair.inside);
        std::ignore = co_await stream.Receive();
        has_heard = true;
      };
      scope.Spawn(listen);
      while (!has_heard) co_await Yield();
    });
    host.Watch(guest);
    guest.PollOnce();
    pair.Write();
    host.PollUntil(guest, [] { return false; });
    EXPECT_TRUE(has_heard);
  });
}

// The waits that the backend asked for; -1 for ever.
std::vector<int64_t>& Waits() {
  static std::vector<int64_t> waits;
  return waits;
}
int NotingWait(int epoll_fd, epoll_event* events, int max, const timespec* wait, const sigset_t* mask) {
  Waits().push_back(wait == nullptr ? -1 : wait->tv_sec * 1'000'000'000 + wait->tv_nsec);
  return kRealSysTable.epoll_pwait2(epoll_fd, events, max, wait, mask);
}

TEST(EmbeddedLoopHost, PollOnceDoesNotWaitUnlessToldTo) {
  ScopedSysTable sys;
  sys->epoll_pwait2 = NotingWait;
  auto guest = *StartEmbedded(WaitForStop);
  Waits().clear();
  for (int i = 0; i < 3; ++i) guest.PollOnce();
  EXPECT_EQ(Waits(), (std::vector<int64_t>{0, 0, 0}));
}

TEST(EmbeddedLoopHost, PollOnceWaitsUntilItsTimeIfNothingIsReady) {
  ScopedSysTable sys;
  sys->epoll_pwait2 = NotingWait;
  auto guest = *StartEmbedded(WaitForStop);
  guest.PollOnce();
  Waits().clear();
  const TimePoint until = guest.loop().ReadClock() + 3ms;
  EXPECT_FALSE(guest.PollOnce(until));
  ASSERT_EQ(Waits().size(), 1u);
  EXPECT_GT(Waits()[0], 0);
  EXPECT_LE(Waits()[0], 3'000'000);
  EXPECT_FALSE(guest.IsDone());
}

TEST(EmbeddedLoopHost, PollOnceWaitsNoLongerThanForATimer) {
  int fired = 0;
  auto guest = *StartEmbedded([&]() -> Task<> {
    co_await SleepFor(1ms);
    ++fired;
    co_await WaitForStop();
  });
  guest.PollOnce();
  while (fired == 0) guest.PollOnce(kNever);
  EXPECT_EQ(fired, 1);
}

// Or a host that looks for what its guest has done would wait for what nobody does.
TEST(EmbeddedLoopHost, PollOnceDoesNotWaitOnceItHasRunSomething) {
  ScopedSysTable sys;
  sys->epoll_pwait2 = NotingWait;
  auto guest = *StartEmbedded(WaitForStop);
  Waits().clear();
  guest.PollOnce(kNever);
  bool was_told = false;
  guest.loop().Post([&] { was_told = true; });
  guest.PollOnce(kNever);
  EXPECT_TRUE(was_told);
  EXPECT_EQ(Waits(), (std::vector<int64_t>{0, 0}));
}

}  // namespace
}  // namespace gyre
