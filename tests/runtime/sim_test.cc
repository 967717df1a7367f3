// The simulated world itself: time, seeds, faults, and what it says about programs that hang. That it behaves as the
// kernel does: backend_contract_test.cc.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/runtime/internal/rng.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/sim/sim_world.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/contract_ops.h"

namespace gyre::testing {
namespace {

using namespace std::chrono_literals;

// --- results

TEST(SimWorld, RunGivesTheResultAsTheRealOneDoes) {
  SimWorld world(1);
  EXPECT_EQ(world.Run([]() -> Task<int> { co_return 7; }), 7);
  const absl::Status status = world.Run([](Scope&) -> Task<absl::Status> { co_return absl::NotFoundError("no"); });
  EXPECT_EQ(status, absl::NotFoundError("no"));
  EXPECT_THROW(world.Run([]() -> Task<> {
    throw std::runtime_error("oops");
    co_return;
  }),
               std::runtime_error);
}

TEST(SimWorld, AResultThatIsAReferenceStaysOne) {
  SimWorld world(1);
  int number = 7;
  auto refer = [&number]() -> Task<int&> { co_return number; };
  int& result = world.Run(refer);
  EXPECT_EQ(&result, &number);
  const auto simulated = RunSim(1, refer);
  EXPECT_EQ(&simulated.value, &number);
}

TEST(SimWorld, RunSimGivesTheValueAndTheHash) {
  const SimResult<int> result = RunSim(1, []() -> Task<int> { co_return 7; });
  EXPECT_EQ(result.value, 7);
  EXPECT_NE(result.trace_hash, 0u);
}

// --- time

TEST(SimWorld, TenHoursOfSleepTakeNoTime) {
  SimWorld world(1);
  world.Run([]() -> Task<> {
    for (int hour = 0; hour < 10; ++hour) co_await SleepFor(1h);
  });
  EXPECT_EQ(world.Elapsed(), 10h);
}

TEST(SimWorld, TimersFireExactlyAtTheirDeadlines) {
  SimWorld world(1);
  std::vector<Duration> seen;
  world.Run([&]() -> Task<> {
    Loop& loop = Loop::Current();
    for (const Duration wait : {Duration(7), Duration(1s), Duration(3ms), Duration(1)}) {
      loop.CallLater(wait, [&] { seen.push_back(world.Elapsed()); });
    }
    co_await SleepFor(2s);
  });
  const std::vector<Duration> expected = {Duration(1), Duration(7), Duration(3ms), Duration(1s)};
  EXPECT_EQ(seen, expected);
}

TEST(SimWorld, EqualDeadlinesFireInOrderOfInsertion) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    std::vector<int> order;
    SimWorld world(seed);
    world.Run([&]() -> Task<> {
      Loop& loop = Loop::Current();
      for (int i = 0; i < 10; ++i) loop.CallAt(loop.Now() + 5ms, [&order, i] { order.push_back(i); });
      co_await SleepFor(6ms);
    });
    EXPECT_EQ(order.size(), 10u);
    EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  }
}

TEST(SimWorld, TimeStandsStillWhileTasksAreReady) {
  SimWorld world(1);
  world.Run([]() -> Task<> {
    for (int i = 0; i < 1000; ++i) co_await Yield();
  });
  EXPECT_EQ(world.Elapsed(), Duration::zero());
}

TEST(SimWorld, ALoopThatIsAlwaysBusyStillMeetsItsDeadlines) {
  SimWorld world(1);
  bool is_over = false;
  world.Run([&]() -> Task<> {
    Loop::Current().CallLater(1h, [&] { is_over = true; });
    while (!is_over) co_await Yield();
  });
  EXPECT_EQ(world.Elapsed(), 1h);
}

TEST(SimWorld, TheClockGoesOnFromOneRunToTheNext) {
  SimWorld world(1);
  auto nap = []() -> Task<> { co_await SleepFor(1s); };
  world.Run(nap);
  world.Run(nap);
  EXPECT_EQ(world.Elapsed(), 2s);
}

// --- seeds

std::string OrderOfTasks(uint64_t seed) {
  std::string order;
  RunSim(seed, [&](Scope& scope) -> Task<> {
    auto append = [&](char name) -> Task<> {
      order += name;
      co_return;
    };
    for (char name = 'a'; name <= 'h'; ++name) scope.Spawn(append, name);
    co_return;
  });
  return order;
}

TEST(SimSeed, ChoosesTheOrderOfReadyTasks) {
  std::vector<std::string> orders;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    orders.push_back(OrderOfTasks(seed));
    EXPECT_EQ(orders.back(), OrderOfTasks(seed));
  }
  std::sort(orders.begin(), orders.end());
  EXPECT_GT(std::unique(orders.begin(), orders.end()) - orders.begin(), 5);
}

TEST(SimSeed, LeavesPostedCallbacksInTheirOrder) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    std::vector<int> order;
    RunSim(seed, [&]() -> Task<> {
      for (int i = 0; i < 10; ++i) Loop::Current().CallSoon([&order, i] { order.push_back(i); });
      co_await SleepFor(1ms);
    });
    EXPECT_EQ(order.size(), 10u);
    EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  }
}

TEST(SimSeed, WithoutShuffleTasksRunInOrderOfArrival) {
  std::string order;
  RunSim(1, SimOptions::Calm(), [&](Scope& scope) -> Task<> {
    auto append = [&](char name) -> Task<> {
      order += name;
      co_return;
    };
    for (char name = 'a'; name <= 'd'; ++name) scope.Spawn(append, name);
    co_return;
  });
  EXPECT_EQ(order, "abcd");
}

// --- an echo server and its clients, under every fault at once

// What a run of the scenario saw; the sum shows that the faults were there at all.
struct EchoTally {
  int finished = 0;  // clients that got every byte back
  int cut_off = 0;   // ... that met a reset
  int stopped = 0;   // ... that were stopped midway
};

Task<> EchoConnection(DescriptorHandle stream) {
  for (;;) {
    ReceivedBuffer chunk = co_await ReceiveBuffer(stream);
    if (chunk.result <= 0) break;
    const int sent = co_await Send(stream, chunk.text());
    if (sent < 0) break;
  }
}

Task<> EchoServer(DescriptorHandle& listener) {
  auto serve = [&](Scope& scope) -> Task<> {
    for (;;) {
      AcceptResult accepted = co_await Accept(listener);
      GYRE_CHECK(accepted.result == 0, "accepting goes on");
      scope.Spawn(EchoConnection, std::move(accepted.stream));
    }
  };
  co_await WithScope(serve);
}

Task<> SendAndFinish(DescriptorHandle& to, const std::string& bytes) {
  const int sent = co_await Send(to, bytes);
  if (sent == 0) CurrentBackend().Shutdown(*to, SHUT_WR);
}

// Sends a message and reads it back at the same time; checks every byte that comes.
Task<> EchoClient(sockaddr_in server, uint64_t seed, EchoTally& tally) {
  internal::Rng rng(seed);
  const uint64_t size = rng.Chance(1, 4) ? rng.Below(200000) : rng.Below(2000);
  const std::string message = Pattern(size, static_cast<uint32_t>(seed));
  DescriptorHandle stream = OpenStream();
  const int connected = co_await Connect(stream, server);
  GYRE_CHECK(connected == 0, "the server listens");
  auto talk = [&](Scope& scope) -> Task<> {
    scope.Spawn(SendAndFinish, std::ref(stream), std::cref(message));
    int last = 1;
    const std::string heard = co_await ReceiveAll(stream, &last);
    EXPECT_TRUE(heard == message.substr(0, heard.size())) << "a wrong byte";
    if (last == 0 && heard.size() == message.size()) {
      ++tally.finished;
    } else {
      ++tally.cut_off;
    }
    scope.RequestStop();
  };
  co_await WithScope(talk);
}

Task<> EchoScenario(uint64_t seed, EchoTally& tally) {
  DescriptorHandle listener = OpenListener();
  internal::Rng rng(seed);
  auto play = [&](Scope& scope) -> Task<> {
    TaskHandle<> server = scope.Spawn(EchoServer, std::ref(listener));
    std::vector<TaskHandle<>> clients;
    for (int i = 0; i < 4; ++i) {
      clients.push_back(scope.Spawn(EchoClient, LocalAddress(listener), rng.Next(), std::ref(tally)));
    }
    if (rng.Chance(1, 2)) {
      const auto wait = static_cast<int64_t>(rng.Below(30'000'000));
      co_await SleepFor(Duration(wait));
      clients.front().RequestStop();
    }
    for (TaskHandle<>& client : clients) {
      const Outcome<>& outcome = co_await client.Join();
      if (outcome.stopped()) ++tally.stopped;
    }
    server.RequestStop();
  };
  co_await WithScope(play);
  EXPECT_EQ(Loop::Current().buffer_pool().leased(), 0u);
}

uint64_t RunEcho(uint64_t seed, EchoTally& tally) {
  SimOptions options;
  options.reset_one_in = seed % 3 == 0 ? 20 : 0;
  SimWorld world(seed, options);
  world.Run([&] { return EchoScenario(seed, tally); });
  EXPECT_EQ(world.open_descriptors(), 0u);
  return world.trace_hash();
}

TEST(SimEcho, EveryByteComesBackUnderAThousandSeeds) {
  const auto start = std::chrono::steady_clock::now();
  EchoTally tally;
  for (uint64_t seed = 1; seed <= 1000 && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RunEcho(seed, tally);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf("1000 seeds in %.2f s: %d clients finished, %d were cut off, %d stopped\n", took.count(), tally.finished,
              tally.cut_off, tally.stopped);
  EXPECT_GT(tally.finished, 1000);
  EXPECT_GT(tally.cut_off, 0);
  EXPECT_GT(tally.stopped, 0);
}

TEST(SimEcho, TheSameSeedTakesTheSameCourseAndAnotherOneDoesNot) {
  std::vector<uint64_t> hashes;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    EchoTally tally;
    const uint64_t hash = RunEcho(seed, tally);
    EXPECT_EQ(hash, RunEcho(seed, tally)) << "seed " << seed;
    hashes.push_back(hash);
  }
  std::sort(hashes.begin(), hashes.end());
  EXPECT_EQ(std::adjacent_find(hashes.begin(), hashes.end()), hashes.end());
}

// --- faults

TEST(SimFaults, AConnectIntoABlackHoleTimesOut) {
  SimOptions options;
  options.is_blackhole = true;
  SimWorld world(1, options);
  const int result = world.Run([]() -> Task<int> {
    DescriptorHandle client = OpenStream();
    const int result = co_await Connect(client, Loopback(80));
    co_return result;
  });
  EXPECT_EQ(result, -ETIMEDOUT);
  EXPECT_EQ(world.Elapsed(), options.connect_timeout);
}

TEST(SimFaults, AFullBacklogMakesConnectTryAgainLater) {
  SimWorld world(1, SimOptions::Calm());
  world.Run([](Scope& scope) -> Task<> {
    DescriptorHandle listener = OpenListener(/*backlog=*/0);
    DescriptorHandle first = co_await ConnectTo(LocalAddress(listener));
    auto connect = [&]() -> Task<> { co_await ConnectTo(LocalAddress(listener)); };
    TaskHandle<> second = scope.Spawn(connect);
    co_await SleepFor(10ms);
    EXPECT_FALSE(second.Done());
    co_await Accept(listener);
    co_await second.Join();
  });
  EXPECT_GT(world.Elapsed(), 1s);
  EXPECT_LT(world.Elapsed(), 2s);
}

TEST(SimFaults, TheNthOperationFailsAsToldAndOnlyThatOne) {
  SimOptions options;
  options.Fail(Opcode::kSend, 2, EPIPE).Fail(Opcode::kReceive, 1, ETIMEDOUT).Fail(Opcode::kAccept, 2, ENOMEM);
  RunSim(1, options, []() -> Task<> {
    SocketPair pair = co_await MakePair();
    std::vector<int> sent;
    for (int i = 0; i < 3; ++i) sent.push_back(co_await Send(pair.client, "x"));
    EXPECT_EQ(sent, std::vector<int>({0, -EPIPE, 0}));
    char byte;
    const int failed = co_await Receive(pair.server, &byte, 1);
    EXPECT_EQ(failed, -ETIMEDOUT);
    const std::string both = co_await ReceiveExactly(pair.server, 2);
    EXPECT_EQ(both, "xx");
    DescriptorHandle listener = OpenListener();
    AcceptResult accepted = co_await Accept(listener);
    EXPECT_EQ(accepted.result, -ENOMEM);
  });
}

TEST(SimFaults, DescriptorsRunOutAtTheLimitAndAreReusedLowestFirst) {
  SimOptions options;
  options.descriptors_max = 3;
  RunSim(1, options, []() -> Task<> {
    std::vector<DescriptorHandle> open;
    for (int i = 0; i < 3; ++i) open.push_back(OpenStream());
    Descriptor* refused = nullptr;
    EXPECT_EQ(CurrentBackend().OpenStream(AF_INET, &refused), -EMFILE);
    const int middle = open[1]->fd();
    open[1].Close();
    EXPECT_EQ(OpenStream()->fd(), middle);
    co_return;
  });
}

TEST(SimFaults, ConnectionsBreakInTheMiddleWhenTold) {
  SimOptions options;
  options.reset_one_in = 1;
  RunSim(1, options, []() -> Task<> {
    SocketPair pair = co_await MakePair();
    co_await Send(pair.client, "x");
    char byte;
    const int received = co_await Receive(pair.server, &byte, 1);
    EXPECT_EQ(received, -ECONNRESET);
    const int answer = co_await Receive(pair.client, &byte, 1);
    EXPECT_EQ(answer, -ECONNRESET);
  });
}

TEST(SimFaults, LatencyIsAsTold) {
  SimOptions options = SimOptions::Calm();
  options.latency_min = options.latency_max = 30ms;
  SimWorld world(1, options);
  world.Run([&]() -> Task<> {
    SocketPair pair = co_await MakePair();
    const Duration connected = world.Elapsed();
    EXPECT_EQ(connected, 60ms) << "there and back";
    co_await Send(pair.client, "x");
    co_await ReceiveExactly(pair.server, 1);
    EXPECT_EQ(world.Elapsed(), connected + 30ms);
  });
}

// --- programs that hang

TEST(SimDeadlock, ATaskThatNothingCanWakeIsACheckFailure) {
  auto hang = [] {
    RunSim(1, []() -> Task<> {
      SocketPair pair = co_await MakePair();
      char byte;
      co_await Receive(pair.server, &byte, 1);
    });
  };
  EXPECT_DEATH(hang(), "deadlock: every task waits.*2 open descriptors, 1 waiting operations");
}

TEST(SimDeadlock, IsNotSaidOfALoopThatAnotherThreadWakes) {
  SimOptions options;
  options.check_deadlock = false;
  RunSim(1, options, []() -> Task<> {
    std::thread other;
    ThreadEvent event;
    event.on_waiting = [&](ThreadEvent& self) { other = std::thread([&self] { self.SetFromAnyThread(); }); };
    co_await event;
    other.join();
  });
}

}  // namespace
}  // namespace gyre::testing
