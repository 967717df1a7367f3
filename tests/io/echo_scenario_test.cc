// An echo server and its clients in simulated worlds with faults: short reads and writes, delays, resets, operations
// that fail, descriptors that run out, clients that give up or are stopped. Whatever happens: no byte is torn, lost,
// doubled or out of place, every connection ends, nothing is left behind, and all is over in bounded time.
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/io/buffer.h"
#include "gyre/io/endpoint.h"
#include "gyre/io/serve.h"
#include "gyre/io/tcp_listener.h"
#include "gyre/io/tcp_stream.h"
#include "gyre/runtime/deadline.h"
#include "gyre/runtime/internal/rng.h"
#include "gyre/runtime/log.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/sim/sim_world.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/try.h"
#include "gyre/runtime/with_scope.h"

namespace gyre {
namespace {

using namespace std::chrono_literals;
using internal::Rng;
using testing::SimOptions;
using testing::SimWorld;

#if defined(GYRE_DEBUG_CHECKS)
constexpr uint64_t kSeeds = 500;  // sanitizers, -O0 and -O1
#else
constexpr uint64_t kSeeds = 10'000;
#endif

// --- faults

struct Fault {
  Opcode opcode;
  int error_number;
};
constexpr std::array kFaults = {
    Fault{Opcode::kAccept, EMFILE},
    Fault{Opcode::kAccept, ENOMEM},
    Fault{Opcode::kConnect, ECONNREFUSED},
    Fault{Opcode::kConnect, ETIMEDOUT},
    Fault{Opcode::kSend, EPIPE},
    Fault{Opcode::kSend, ENOBUFS},
    Fault{Opcode::kReceive, ECONNRESET},
    Fault{Opcode::kReceiveBuffer, ETIMEDOUT},
    Fault{Opcode::kReceiveBuffer, ECONNRESET},
};

// Each seed has some of the faults; every tenth has none but the delays and the short I/O of any simulated world.
SimOptions MakeOptions(Rng& rng) {
  SimOptions options;
  constexpr std::array<Duration, 3> kLatencies = {1ms, 20ms, 200ms};
  options.latency_max = kLatencies[rng.Below(kLatencies.size())];
  if (rng.Chance(1, 10)) return options;
  if (rng.Chance(1, 3)) options.reset_one_in = 5 + static_cast<uint32_t>(rng.Below(50));
  if (rng.Chance(1, 3)) options.descriptors_max = 3 + rng.Below(6);
  if (rng.Chance(1, 3)) options.send_buffer_bytes = 1024;
  for (uint64_t faults = rng.Below(4); faults > 0; --faults) {
    const Fault& fault = kFaults[rng.Below(kFaults.size())];
    options.Fail(fault.opcode, 1 + rng.Below(12), fault.error_number);
  }
  return options;
}

// --- the scenario

// Bytes that tell their position.
std::string Pattern(size_t size, Rng& rng) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(rng.Next());
  return bytes;
}

// What both ends of one connection saw. Both ends write to it: they are one process here.
struct Conversation {
  std::string message;
  // The client's end.
  bool has_sent_all = false;
  bool has_heard_end = false;
  std::string heard;
  // The server's.
  std::string received;
  bool has_served = false;  // up to the client's end of stream
};

std::string WhatIsWrong(const Conversation& talk) {
  const bool is_over_there = talk.has_served && talk.has_sent_all;
  const bool is_over_here = talk.has_served && talk.has_heard_end;
  if (!talk.message.starts_with(talk.received)) return "the server got a wrong byte";
  if (!talk.received.starts_with(talk.heard)) return "the client got a wrong byte";
  if (is_over_there && talk.received.size() != talk.message.size()) return "bytes were lost on the way there";
  if (is_over_here && talk.heard.size() != talk.received.size()) return "bytes were lost on the way back";
  return "";
}

// How the clients' attempts ended, over all seeds: shows that the faults were there.
struct Tally {
  int done = 0;
  int failed = 0;
  int timed_out = 0;
  int stopped = 0;
  uint64_t accept_pauses = 0;
};

class Scenario {
 public:
  Scenario(uint64_t seed, Tally& tally) : rng_(seed), tally_(tally) {}

  Rng& rng() { return rng_; }

  Task<absl::Status> Run() {
    ListenOptions options;
    if (rng_.Chance(1, 3)) options.set_overload_policy(OverloadPolicy::kReset);
    TcpListener listener = co_await Try(TcpListener::Bind(Endpoint::Loopback(0), options));
    server_ = co_await Try(listener.local_endpoint());
    auto echo = [this](TcpStream peer) { return Echo(std::move(peer)); };
    const ServeReport report = co_await Try(co_await Serve(std::move(listener), echo, /*grace=*/1s, RunClients()));
    EXPECT_EQ(report.served + report.failed + report.cut_off, accepted_) << report.ToString();
    EXPECT_EQ(live_, 0);
    EXPECT_EQ(Loop::Current().buffer_pool().leased(), 0u);
    tally_.accept_pauses += Loop::Current().backend().counters().accept_pauses.value();
    co_return absl::OkStatus();
  }

  void CheckConversations() const {
    for (const auto& [port, talk] : conversations_) {
      if (port == 0) continue;  // ended before the server could ask who it was
      EXPECT_EQ(WhatIsWrong(talk), "");
    }
  }

 private:
  // Counts the coroutines that are under way.
  class Live {
   public:
    explicit Live(int& count) : count_(count) { ++count_; }
    Live(const Live&) = delete;
    Live& operator=(const Live&) = delete;
    ~Live() { --count_; }

   private:
    int& count_;
  };

  Conversation& ConversationAt(const absl::StatusOr<Endpoint>& client) {
    return conversations_[client.ok() ? client->port() : uint16_t{0}];
  }

  Task<absl::Status> Echo(TcpStream peer) {
    const Live live(live_);
    ++accepted_;
    Conversation& talk = ConversationAt(peer.peer_endpoint());
    for (;;) {
      const Buffer chunk = co_await Try(co_await peer.Receive());
      if (chunk.empty()) break;
      talk.received += chunk.string_view();
      co_await Try(co_await peer.Send(chunk));
    }
    talk.has_served = true;
    co_return absl::OkStatus();
  }

  Task<> RunClients() {
    auto body = [this](Scope& scope) -> Task<> {
      std::vector<TaskHandle<>> clients;
      for (uint64_t count = 2 + rng_.Below(4); count > 0; --count) {
        auto client = [this, seed = rng_.Next()] { return RunClient(seed); };
        clients.push_back(scope.Spawn(client));
      }
      if (rng_.Chance(1, 3)) {
        co_await SleepFor(Duration(static_cast<int64_t>(rng_.Below(300'000'000))));
        clients.front().RequestStop();
      }
      for (TaskHandle<>& client : clients) {
        const Outcome<>& outcome = co_await client.Join();
        if (outcome.stopped()) ++tally_.stopped;
      }
    };
    co_await WithScope(body);
  }

  // Tries again after an error, as clients do.
  Task<> RunClient(uint64_t seed) {
    const Live live(live_);
    Rng rng(seed);
    for (int attempt = 0; attempt < 3; ++attempt) {
      const absl::Status status = co_await Timeout(5s, Talk(rng));
      Count(status);
      if (status.ok()) break;
      co_await SleepFor(Duration(static_cast<int64_t>(rng.Below(100'000'000))));
    }
  }
  void Count(const absl::Status& status) {
    if (status.ok()) {
      ++tally_.done;
    } else if (absl::IsDeadlineExceeded(status)) {
      ++tally_.timed_out;
    } else {
      ++tally_.failed;
    }
  }

  // Sends a message and reads it back at the same time.
  Task<absl::Status> Talk(Rng& rng) {
    TcpStream stream = co_await Try(co_await TcpStream::Connect(server_));
    Conversation& talk = ConversationAt(co_await Try(stream.local_endpoint()));
    talk.message = Pattern(rng.Chance(1, 8) ? rng.Below(100'000) : rng.Below(3000), rng);
    const bool leases = rng.Chance(1, 2);
    auto body = [&](Scope& scope) -> Task<absl::Status> {
      scope.Spawn(&Scenario::SendAll, std::ref(stream), std::ref(talk));
      for (;;) {
        const size_t before = talk.heard.size();
        co_await Try(co_await ReceiveSome(stream, talk.heard, leases));
        if (talk.heard.size() == before) break;
      }
      talk.has_heard_end = true;
      co_return absl::OkStatus();
    };
    co_return co_await WithScope(body);
  }
  static Task<absl::Status> SendAll(TcpStream& stream, Conversation& talk) {
    std::string_view left = talk.message;
    while (!left.empty()) {
      const std::string_view piece = left.substr(0, 10'000);
      co_await Try(co_await stream.Send(piece));
      left.remove_prefix(piece.size());
    }
    talk.has_sent_all = true;
    co_return stream.ShutdownSend();
  }
  // Both ways to receive; adds nothing at the end of the stream.
  static Task<absl::Status> ReceiveSome(TcpStream& stream, std::string& heard, bool leases) {
    if (leases) {
      const Buffer chunk = co_await Try(co_await stream.Receive());
      heard += chunk.string_view();
    } else {
      std::array<char, 256> bytes;
      const size_t count = co_await Try(co_await stream.Receive(std::as_writable_bytes(std::span(bytes))));
      heard.append(bytes.data(), count);
    }
    co_return absl::OkStatus();
  }

  Rng rng_;
  Tally& tally_;
  Endpoint server_ = Endpoint::Loopback(0);
  uint64_t accepted_ = 0;
  int live_ = 0;
  std::map<uint16_t, Conversation> conversations_;  // by the client's port
};

// Three attempts of five seconds each, and the server's grace; a client that nobody answers waits no longer.
constexpr Duration kTimeMax = 20s;

uint64_t RunScenario(uint64_t seed, Tally& tally) {
  Scenario scenario(seed, tally);
  SimWorld world(seed, MakeOptions(scenario.rng()));
  RunReport report;
  const absl::Status status = world.Run(RunOptions().set_report(&report), [&] { return scenario.Run(); });
  EXPECT_TRUE(status.ok()) << status;
  scenario.CheckConversations();
  EXPECT_LT(world.Elapsed(), kTimeMax);
  EXPECT_EQ(world.open_descriptors(), 0u);
  EXPECT_EQ(world.open_sockets(), 0u);
  EXPECT_EQ(report.dropped_callbacks + report.dropped_timers + report.closed_descriptors, 0u);
  return world.trace_hash();
}

class EchoScenario : public ::testing::Test {
 protected:
  EchoScenario() {
    SetLogSink([](std::string_view) {});
  }
  ~EchoScenario() override { SetLogSink(nullptr); }
};

TEST_F(EchoScenario, LosesNothingAndLeavesNothingUnderFaults) {
  const auto start = std::chrono::steady_clock::now();
  Tally tally;
  for (uint64_t seed = 1; seed <= kSeeds && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RunScenario(seed, tally);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf("%d seeds in %.1f s; attempts: %d done, %d failed, %d timed out, %d stopped; %d pauses of accepting\n",
              static_cast<int>(kSeeds), took.count(), tally.done, tally.failed, tally.timed_out, tally.stopped,
              static_cast<int>(tally.accept_pauses));
  for (const int count : {tally.done, tally.failed, tally.timed_out, tally.stopped}) EXPECT_GT(count, 0);
  EXPECT_GT(tally.accept_pauses, 0u);
}

TEST_F(EchoScenario, NoticesBytesThatAreTornLostDoubledOrOutOfPlace) {
  Conversation talk;
  talk.message = talk.received = talk.heard = "abcdef";
  talk.has_sent_all = talk.has_heard_end = talk.has_served = true;
  EXPECT_EQ(WhatIsWrong(talk), "");
  for (const char* heard : {"abc", "abdef", "abccdef", "abdcef", "abcdefa"}) {
    talk.heard = heard;
    EXPECT_NE(WhatIsWrong(talk), "") << heard;
  }
  talk.received = talk.heard = "abc";
  EXPECT_NE(WhatIsWrong(talk), "") << "half a message served as a whole one";
  talk.has_served = false;
  EXPECT_EQ(WhatIsWrong(talk), "") << "a connection that broke";
}

TEST_F(EchoScenario, TakesTheSameCourseUnderTheSameSeed) {
  Tally tally;
  for (uint64_t seed = 1; seed <= kSeeds / 100; ++seed) {
    EXPECT_EQ(RunScenario(seed, tally), RunScenario(seed, tally)) << "seed " << seed;
  }
}

}  // namespace
}  // namespace gyre
