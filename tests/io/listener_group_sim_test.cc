// ListenerGroup on several loops of one simulated world: an echo server on three of them, its clients on a fourth.
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/io/buffer.h"
#include "gyre/io/listener_group.h"
#include "gyre/io/serve.h"
#include "gyre/runtime/internal/rng.h"
#include "gyre/runtime/runtime.h"
#include "gyre/runtime/sim/sim_world.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/try.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/closing.h"

namespace gyre {
namespace {

using namespace std::chrono_literals;
using testing::Closing;
using testing::SimOptions;
using testing::SimWorld;

constexpr size_t kMembers = 3;
constexpr int kClients = 12;

Task<absl::Status> Echo(TcpStream peer) {
  for (;;) {
    Buffer chunk = co_await Try(co_await peer.Receive());
    if (chunk.empty()) co_return absl::OkStatus();
    co_await Try(co_await peer.Send(chunk));
  }
}

enum class End {
  kByCall,
  kBySignal,
};

// One world: what its server and its clients saw.
class EchoWorld {
 public:
  EchoWorld(uint64_t seed, AcceptBalance balance, const SimOptions& options = SimOptions())
      : world_(seed, options),
        rng_(seed),
        group_(Endpoint::Loopback(7777), kMembers, ListenOptions().set_balance(balance)),
        closing_(kMembers) {}

  void Run(End end = End::kByCall) {
    end_ = end;
    Runtime runtime(world_.Loops(kMembers + 1));
    auto play = [this](size_t loop) { return loop < kMembers ? ServeMember(loop) : PlayClients(); };
    const absl::Status status = runtime.RunOnEveryLoop(play);
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(world_.open_descriptors(), 0u);
    EXPECT_EQ(world_.open_sockets(), 0u);
  }

  uint64_t trace_hash() const { return world_.trace_hash(); }

  ServeReport total;
  int finished = 0;  // clients that had every byte back
  int64_t most = 0;  // connections of the fullest member, when all clients were there
  int64_t least = 0;

 private:
  Task<absl::Status> ServeMember(size_t member) {
    TcpListener listener = co_await Try(group_.Listen(member));
    Task<absl::StatusOr<ServeReport>> serving =
        end_ == End::kBySignal ? ServeUntilSignal(std::move(listener), Echo, kForever)
                               : Serve(std::move(listener), Echo, kForever, closing_[member].Wait());
    ++listening_;  // and, if it is to be, watching for the signal
    total += co_await Try(co_await std::move(serving));
    co_return absl::OkStatus();
  }

  Task<absl::Status> PlayClients() {
    while (listening_ < kMembers) co_await SleepFor(1ms);
    auto body = [this](Scope& scope) -> Task<> {
      for (int i = 0; i < kClients; ++i) scope.Spawn([this] { return Client(); });
      while (waiting_ < kClients) co_await SleepFor(1ms);
      const auto connections = {group_.connections(0), group_.connections(1), group_.connections(2)};
      most = std::max(connections);
      least = std::min(connections);
      may_leave_ = true;
    };
    co_await WithScope(body);
    if (end_ == End::kBySignal) {
      raise(SIGTERM);
    } else {
      for (Closing& member : closing_) member.Close();
    }
    co_return absl::OkStatus();
  }

  // Has all that it sends back, waits until all the others have, too, and leaves.
  Task<> Client() {
    TcpStream stream = *co_await TcpStream::Connect(where_);
    const std::string message(1 + rng_.Below(20000), static_cast<char>('a' + rng_.Below(26)));
    auto talk = [&](Scope& scope) -> Task<> {
      scope.Spawn([&]() -> Task<absl::Status> { co_return co_await stream.Send(message); });
      std::string heard;
      while (heard.size() < message.size()) {
        const Buffer chunk = *co_await stream.Receive();
        EXPECT_FALSE(chunk.empty());
        heard += chunk.string_view();
      }
      EXPECT_EQ(heard, message);
    };
    co_await WithScope(talk);
    ++finished;
    ++waiting_;
    while (!may_leave_) co_await SleepFor(1ms);
  }

  SimWorld world_;
  End end_ = End::kByCall;
  internal::Rng rng_;
  ListenerGroup group_;
  std::vector<Closing> closing_;
  const Endpoint where_ = Endpoint::Loopback(7777);
  size_t listening_ = 0;
  int waiting_ = 0;
  bool may_leave_ = false;
};

TEST(ListenerGroupInSimulation, ServesEveryClientOnceOnThreeLoopsWhateverTheBalance) {
  uint64_t handed_over = 0;
  for (const AcceptBalance balance :
       {AcceptBalance::kCorrected, AcceptBalance::kKernel, AcceptBalance::kCpu, AcceptBalance::kExact}) {
    for (uint64_t seed = 1; seed <= 50 && !::testing::Test::HasFailure(); ++seed) {
      SCOPED_TRACE("seed " + std::to_string(seed));
      EchoWorld world(seed, balance);
      world.Run();
      EXPECT_EQ(world.finished, kClients);
      EXPECT_EQ(world.total.ToString(), "12 served, 0 cut off");
      if (balance == AcceptBalance::kExact) {
        EXPECT_LE(world.most - world.least, 1);
      }
      handed_over += world.total.handed_over;
    }
  }
  EXPECT_GT(handed_over, 100u);
}

TEST(ListenerGroupInSimulation, WhatOneMemberIsDealtIsSpreadOverTheLoops) {
  SimOptions options;
  options.first_listener_one_in = 1;
  EchoWorld world(1, AcceptBalance::kExact, options);
  world.Run();
  EXPECT_EQ(world.most, kClients / 3);
  EXPECT_EQ(world.least, kClients / 3);
  EXPECT_EQ(world.total.handed_over, 8u);
}

TEST(ListenerGroupInSimulation, ASignalEndsTheServerOnEveryLoop) {
  for (uint64_t seed = 1; seed <= 20 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    EchoWorld world(seed, AcceptBalance::kCorrected);
    world.Run(End::kBySignal);
    EXPECT_EQ(world.total.ToString(), "12 served, 0 cut off");
  }
}

TEST(ListenerGroupInSimulation, TheSameSeedTakesTheSameCourse) {
  std::vector<uint64_t> hashes;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    EchoWorld world(seed, AcceptBalance::kExact);
    world.Run();
    EchoWorld again(seed, AcceptBalance::kExact);
    again.Run();
    EXPECT_EQ(world.trace_hash(), again.trace_hash()) << "seed " << seed;
    hashes.push_back(world.trace_hash());
  }
  std::ranges::sort(hashes);
  EXPECT_EQ(std::ranges::adjacent_find(hashes), hashes.end());
}

}  // namespace
}  // namespace gyre
