// The Backend contract, on every backend: a process without descriptors, timers beside bytes, and wake-ups by other
// threads.
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"
#include "gyre/tests/support/contract_backends.h"
#include "gyre/tests/support/contract_ops.h"

namespace gyre::testing {
namespace {

using std::chrono_literals::operator""ms;

class BackendLoopContract : public ContractTest {};
INSTANTIATE_TEST_SUITE_P(All, BackendLoopContract, AllContractBackends(),
                         [](const auto& info) { return NameOf(info.param); });

// --- running out of descriptors

// While it lives, opening soon fails with EMFILE.
class FewDescriptors {
 public:
  static constexpr size_t kMost = 128;

  FewDescriptors() {
    getrlimit(RLIMIT_NOFILE, &before_);
    rlimit few = before_;
    few.rlim_cur = kMost;
    setrlimit(RLIMIT_NOFILE, &few);
  }
  FewDescriptors(const FewDescriptors&) = delete;
  FewDescriptors& operator=(const FewDescriptors&) = delete;
  ~FewDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_;
};

// Opens sockets until there is no descriptor left.
std::vector<DescriptorHandle> TakeAllDescriptors() {
  std::vector<DescriptorHandle> all;
  Descriptor* opened = nullptr;
  int result = 0;
  while ((result = CurrentBackend().OpenStream(AF_INET, &opened)) == 0) all.emplace_back(opened);
  EXPECT_EQ(result, -EMFILE);
  return all;
}

TEST_P(BackendLoopContract, AnAcceptWithoutDescriptorsFailsAndLosesNothing) {
  const FewDescriptors few;
  sim_options().descriptors_max = FewDescriptors::kMost;
  RunOnLoop([](Scope&) -> Task<> {
    DescriptorHandle listener = OpenListener();
    DescriptorHandle client = co_await ConnectTo(LocalAddress(listener));
    std::vector<DescriptorHandle> fillers = TakeAllDescriptors();
    AcceptResult refused = co_await Accept(listener);
    EXPECT_EQ(refused.result, -EMFILE);
    fillers.pop_back();
    AcceptResult accepted = co_await Accept(listener);
    EXPECT_EQ(accepted.result, 0);
    EXPECT_EQ(PeerPort(accepted.stream), ntohs(LocalAddress(client).sin_port));
  });
}

TEST_P(BackendLoopContract, AFullProcessCanShedAConnection) {
  const FewDescriptors few;
  sim_options().descriptors_max = FewDescriptors::kMost;
  RunOnLoop([](Scope&) -> Task<> {
    DescriptorHandle listener = OpenListener();
    DescriptorHandle client = co_await ConnectTo(LocalAddress(listener));
    std::vector<DescriptorHandle> fillers = TakeAllDescriptors();
    EXPECT_TRUE(CurrentBackend().ShedOne(*listener));
    char byte;
    const int result = co_await Receive(client, &byte, 1);
    EXPECT_EQ(result, -ECONNRESET);
    EXPECT_FALSE(CurrentBackend().ShedOne(*listener)) << "nobody waits any more";
  });
}

// --- timers, other threads

TEST_P(BackendLoopContract, TimersFireWhileBytesKeepComing) {
  RunOnLoop([](Scope& scope) -> Task<> {
    SocketPair pair = co_await MakePair();
    bool is_over = false;
    auto echo = [](DescriptorHandle& end) -> Task<> {
      for (;;) {
        char byte;
        const int result = co_await Receive(end, &byte, 1);
        if (result <= 0) break;
        co_await Send(end, "x");
      }
    };
    scope.Spawn(echo, std::ref(pair.client));
    scope.Spawn(echo, std::ref(pair.server));
    co_await Send(pair.client, "x");
    Loop::Current().CallLater(1ms, [&] { is_over = true; });
    co_await SleepFor(2ms);
    EXPECT_TRUE(is_over);
    scope.RequestStop();
  });
}

TEST_P(BackendLoopContract, BytesAreReceivedWhileOtherTasksAreAlwaysReady) {
  sim_options().busy_turns_max = 100;
  RunOnLoop([](Scope& scope) -> Task<> {
    SocketPair pair = co_await MakePair();
    auto receive = [&]() -> Task<std::string> { return ReceiveExactly(pair.server, 3); };
    TaskHandle<std::string> reader = scope.Spawn(receive);
    co_await Send(pair.client, "abc");
    while (!reader.Done()) co_await Yield();
    const Outcome<std::string>& heard = co_await reader.Join();
    EXPECT_EQ(heard.value(), "abc");
  });
}

TEST_P(BackendLoopContract, AnotherThreadWakesASleepingLoop) {
  sim_options().check_deadlock = false;
  RunOnLoop([](Scope&) -> Task<> {
    std::thread other;
    ThreadEvent event;
    event.on_waiting = [&](ThreadEvent& self) { other = std::thread([&self] { self.SetFromAnyThread(); }); };
    co_await event;
    other.join();
  });
}

TEST_P(BackendLoopContract, PostsOfAnotherThreadRunInOrderWhileTheLoopWaitsForBytes) {
  sim_options().check_deadlock = false;
  RunOnLoop([](Scope&) -> Task<> {
    SocketPair pair = co_await MakePair();
    Loop& loop = Loop::Current();
    std::vector<int> order;
    std::thread other([&] {
      for (int i = 0; i < 3; ++i) {
        loop.Post([&, i] {
          order.push_back(i);
          if (i == 2) pair.client.Close();
        });
      }
    });
    char byte;
    const int result = co_await Receive(pair.server, &byte, 1);
    EXPECT_EQ(result, 0);
    other.join();
    EXPECT_EQ(order.size(), 3u);
    EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  });
}

}  // namespace
}  // namespace gyre::testing
