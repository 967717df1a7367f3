// The backends that the contract suite runs on, and how it runs there: each body in a scope on a fresh loop, once for
// each seed, with a look for leaks behind it.
#ifndef GYRE_TESTS_SUPPORT_CONTRACT_BACKENDS_H_
#define GYRE_TESTS_SUPPORT_CONTRACT_BACKENDS_H_

#include <dirent.h>

#include <cstddef>
#include <cstdint>
#include <ostream>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "gyre/runtime/backend.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/sim/sim_world.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/contract_ops.h"

namespace gyre::testing {

enum class ContractBackend {
  kEpoll,
  kCalmSimulation,
  kSimulation,  // under many seeds
};

inline std::string NameOf(ContractBackend backend) {
  switch (backend) {
    case ContractBackend::kEpoll:
      return "Epoll";
    case ContractBackend::kCalmSimulation:
      return "CalmSimulation";
    case ContractBackend::kSimulation:
      return "Simulation";
  }
  return "";
}
inline void PrintTo(ContractBackend backend, std::ostream* out) { *out << NameOf(backend); }

inline auto AllContractBackends() {
  return ::testing::Values(ContractBackend::kEpoll, ContractBackend::kCalmSimulation, ContractBackend::kSimulation);
}

inline size_t CountOpenFds() {
  size_t count = 0;
  DIR* const directory = opendir("/proc/self/fd");
  while (readdir(directory) != nullptr) ++count;
  closedir(directory);
  return count;
}

// What was on its way before has been seen by the loop: simulated time passes, or the kernel is asked at least twice.
inline Task<> Settle() {
  if (CurrentBackend().name() == "sim") {
    co_await SleepFor(std::chrono::seconds(1));
    co_return;
  }
  SocketPair pair = co_await MakePair();
  for (int round = 0; round < 2; ++round) {
    char byte = 'x';
    co_await Send(pair.client, std::string_view(&byte, 1));
    co_await Receive(pair.server, &byte, 1);
  }
}

template <class Body>
Task<> RunAndLookForLeaks(Body& body) {
  co_await WithScope(body);
  EXPECT_EQ(Loop::Current().buffer_pool().leased(), 0u);
  EXPECT_EQ(CurrentBackend().live_descriptors(), 0u);
}

// Parametrised tests derive from this and call RunOnLoop with a callable that takes a Scope& and gives a Task<>.
class ContractTest : public ::testing::TestWithParam<ContractBackend> {
 protected:
  static constexpr uint64_t kSeeds = 50;

  bool is_simulated() const { return GetParam() != ContractBackend::kEpoll; }
  // Changes the simulated world; means nothing to the kernel's.
  SimOptions& sim_options() { return sim_options_; }
  uint64_t seed() const { return seed_; }

  template <class Body>
  void RunOnLoop(Body body) {
    if (!is_simulated()) {
      const size_t before = CountOpenFds();
      gyre::Run(RunOptions().set_backend(BackendKind::kEpoll), RunAndLookForLeaks(body));
      EXPECT_EQ(CountOpenFds(), before);
      return;
    }
    const uint64_t seeds = GetParam() == ContractBackend::kSimulation ? kSeeds : 1;
    for (seed_ = 1; seed_ <= seeds && !HasFailure(); ++seed_) {
      SCOPED_TRACE("seed " + std::to_string(seed_));
      SimWorld world(seed_, sim_options_);
      world.Run(RunAndLookForLeaks(body));
      EXPECT_EQ(world.open_descriptors(), 0u);
      EXPECT_EQ(world.open_sockets(), 0u);
    }
  }

 private:
  SimOptions sim_options_ = GetParam() == ContractBackend::kCalmSimulation ? SimOptions::Calm() : SimOptions();
  uint64_t seed_ = 1;
};

}  // namespace gyre::testing

#endif  // GYRE_TESTS_SUPPORT_CONTRACT_BACKENDS_H_
