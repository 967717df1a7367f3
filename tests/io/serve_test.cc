#include "gyre/io/serve.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "gyre/io/buffer.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/sim/sim_world.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/try.h"
#include "gyre/runtime/with_scope.h"

namespace gyre {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kGrace = seconds(10);

// What Echo obeys instead of sending it back: one byte each, since bytes come in pieces of any size.
constexpr std::string_view kFail = "!";
constexpr std::string_view kThrow = "?";

Task<absl::Status> Echo(TcpStream peer) {
  for (;;) {
    Buffer chunk = co_await Try(co_await peer.Receive());
    if (chunk.empty()) co_return absl::OkStatus();
    if (chunk.string_view().starts_with(kFail)) co_return absl::DataLossError("as asked");
    if (chunk.string_view().starts_with(kThrow)) throw std::runtime_error("as asked");
    co_await Try(co_await peer.Send(chunk));
  }
}

Task<absl::Status> Say(TcpStream& stream, std::string_view text) {
  co_await Try(co_await stream.Send(text));
  std::string echoed;
  while (echoed.size() < text.size()) {
    Buffer chunk = co_await Try(co_await stream.Receive());
    if (chunk.empty()) co_return absl::UnavailableError("the server hung up");
    echoed += chunk.string_view();
  }
  EXPECT_EQ(echoed, text);
  co_return absl::OkStatus();
}

// Says `text`, then hangs up.
Task<absl::Status> Visit(Endpoint server, std::string_view text) {
  TcpStream stream = co_await Try(co_await TcpStream::Connect(server));
  co_return co_await Say(stream, text);
}

// Says something, and stays until the server hangs up, or until `leave_after`.
Task<absl::Status> Stay(Endpoint server, Duration leave_after) {
  TcpStream stream = co_await Try(co_await TcpStream::Connect(server));
  co_await Try(co_await Say(stream, "hello"));
  co_await SleepFor(leave_after);
  co_return absl::OkStatus();
}

using Clients = std::function<Task<absl::Status>(Scope& scope, Endpoint server)>;

// Runs a server until virtual time `stop_after`, with `clients` beside it.
Task<absl::StatusOr<ServeReport>> ServeBeside(Duration stop_after, Clients clients, ServeOptions options) {
  TcpListener listener = co_await Try(TcpListener::Bind(Endpoint::Loopback(0)));
  const Endpoint server = co_await Try(listener.local_endpoint());
  absl::StatusOr<ServeReport> report = ServeReport();
  auto body = [&](Scope& scope) -> Task<absl::Status> {
    co_await Try(co_await clients(scope, server));
    report = co_await Serve(std::move(listener), Echo, kGrace, SleepFor(stop_after), options);
    co_return report.status();
  };
  co_await Try(co_await WithScope(body));
  co_return report;
}

class ServeTest : public ::testing::TestWithParam<uint64_t> {
 protected:
  ServeReport RunServer(Duration stop_after, Clients clients, ServeOptions options = ServeOptions()) {
    absl::StatusOr<ServeReport> report = world_.Run(ServeBeside(stop_after, std::move(clients), std::move(options)));
    EXPECT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(world_.open_descriptors(), 0u);
    return report.value_or(ServeReport());
  }

  gyre::testing::SimWorld& world() { return world_; }

 private:
  gyre::testing::SimWorld world_{GetParam()};
};

TEST_P(ServeTest, WithNobodyThereItEndsWhenToldTo) {
  const ServeReport report = RunServer(seconds(5), [](Scope&, Endpoint) -> Task<absl::Status> {
    co_return absl::OkStatus();
  });
  EXPECT_EQ(report.ToString(), "0 served, 0 cut off");
  EXPECT_EQ(world().Elapsed(), seconds(5));
}

TEST_P(ServeTest, EveryConnectionCountsOnce) {
  const ServeReport report = RunServer(seconds(5), [](Scope& scope, Endpoint server) -> Task<absl::Status> {
    for (int i = 0; i < 20; ++i) scope.Spawn(Visit(server, "hello"));
    co_return absl::OkStatus();
  });
  EXPECT_EQ(report.ToString(), "20 served, 0 cut off");
}

TEST_P(ServeTest, ConnectionThatFailsIsCountedAndEndsNobodyElse) {
  std::vector<std::string> errors;
  ServeOptions options;
  options.set_on_error([&](const TaskInfo&, const Outcome<>& outcome) {
    errors.emplace_back(outcome.status().message());
  });
  const ServeReport report = RunServer(
      seconds(5),
      [](Scope& scope, Endpoint server) -> Task<absl::Status> {
        auto visitors = [](Endpoint where) -> Task<> {
          const std::array<std::string_view, 3> texts = {kFail, kThrow, "hello"};
          for (const std::string_view text : texts) {
            const absl::Status status = co_await Visit(where, text);
            EXPECT_EQ(status.ok(), text == "hello") << status;
          }
        };
        scope.Spawn(visitors, server);
        co_return absl::OkStatus();
      },
      options);
  EXPECT_EQ(report.ToString(), "1 served, 0 cut off, 2 failed");
  EXPECT_EQ(errors, (std::vector<std::string>{"as asked", "as asked"}));
}

TEST_P(ServeTest, NewClientsAreRefusedOnceItWasToldToStop) {
  const ServeReport report = RunServer(seconds(5), [](Scope& scope, Endpoint server) -> Task<absl::Status> {
    auto late = [](Endpoint where) -> Task<> {
      co_await SleepFor(seconds(6));
      const absl::Status status = co_await Visit(where, "hello");
      EXPECT_EQ(ErrnoOf(status), ECONNREFUSED) << status;
    };
    scope.Spawn(Stay(server, seconds(8)));  // keeps the server draining
    scope.Spawn(late, server);
    co_return absl::OkStatus();
  });
  EXPECT_EQ(report.ToString(), "1 served, 0 cut off");
}

TEST_P(ServeTest, ClientsThatWaitToBeAcceptedAreServedThoughItWasToldToStop) {
  const ServeReport report = RunServer(seconds(0), [](Scope& scope, Endpoint server) -> Task<absl::Status> {
    auto visits = [](Endpoint where) -> Task<> {
      const absl::Status status = co_await Visit(where, "hello");
      EXPECT_TRUE(status.ok()) << status;
    };
    for (int i = 0; i < 20; ++i) scope.Spawn(visits, server);
    co_await SleepFor(seconds(1));  // they are connected, and nobody has accepted them
    co_return absl::OkStatus();
  });
  EXPECT_EQ(report.ToString(), "20 served, 0 cut off");
}

TEST_P(ServeTest, ItEndsWhenTheLastConnectionHasNotWhenTheGraceTimeIsOver) {
  const ServeReport report = RunServer(seconds(5), [](Scope& scope, Endpoint server) -> Task<absl::Status> {
    scope.Spawn(Stay(server, seconds(7)));
    co_return absl::OkStatus();
  });
  EXPECT_EQ(report.ToString(), "1 served, 0 cut off");
  EXPECT_LT(world().Elapsed(), seconds(8));
}

TEST_P(ServeTest, ConnectionsThatOutstayTheGraceTimeAreCutOff) {
  Duration ended_after{};
  const ServeReport report = RunServer(seconds(5), [&](Scope& scope, Endpoint server) -> Task<absl::Status> {
    auto stays_on = [&](Endpoint where) -> Task<absl::Status> {
      TcpStream stream = co_await Try(co_await TcpStream::Connect(where));
      co_await Try(co_await Say(stream, "hello"));
      Buffer end = co_await Try(co_await stream.Receive());
      EXPECT_TRUE(end.empty());
      ended_after = world().Elapsed();
      co_return absl::OkStatus();
    };
    scope.Spawn(stays_on, server);
    scope.Spawn(stays_on, server);
    scope.Spawn(Visit(server, "hello"));
    co_return absl::OkStatus();
  });
  EXPECT_EQ(report.ToString(), "1 served, 2 cut off");
  EXPECT_GE(ended_after, seconds(15));
  EXPECT_LT(ended_after, seconds(15) + milliseconds(50));
}

TEST_P(ServeTest, PeerThatNeverReadsHoldsNobodyUp) {
  const ServeReport report = RunServer(seconds(5), [](Scope& scope, Endpoint server) -> Task<absl::Status> {
    auto floods = [](Endpoint where) -> Task<absl::Status> {
      TcpStream stream = co_await Try(co_await TcpStream::Connect(where));
      const std::string flood(1 << 20, 'f');
      for (;;) {
        const absl::Status status = co_await stream.Send(flood);
        if (!status.ok()) co_return absl::OkStatus();  // the server hung up
      }
    };
    scope.Spawn(floods, server);
    for (int i = 0; i < 5; ++i) scope.Spawn(Visit(server, "hello"));
    co_return absl::OkStatus();
  });
  EXPECT_EQ(report.ToString(), "5 served, 1 cut off");
}

TEST_P(ServeTest, StoppedFromOutsideItEndsAtOnce) {
  const absl::Status status = world().Run([](Scope& scope) -> Task<absl::Status> {
    TcpListener listener = co_await Try(TcpListener::Bind(Endpoint::Loopback(0)));
    const Endpoint server = co_await Try(listener.local_endpoint());
    auto serving = scope.Spawn(Serve(std::move(listener), Echo, kGrace, SleepFor(kForever)));
    scope.Spawn(Stay(server, seconds(1)));
    co_await SleepFor(milliseconds(500));
    serving.RequestStop();
    const auto& outcome = co_await serving.Join();
    EXPECT_TRUE(outcome.stopped());
    co_return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_LT(world().Elapsed(), seconds(2));
  EXPECT_EQ(world().open_descriptors(), 0u);
}

TEST_P(ServeTest, StoppedWhileItDrainsItLeavesNoTimerBehind) {
  RunReport left;
  RunOptions options;
  options.set_report(&left);
  const absl::Status status = world().Run(options, [](Scope& scope) -> Task<absl::Status> {
    TcpListener listener = co_await Try(TcpListener::Bind(Endpoint::Loopback(0)));
    const Endpoint server = co_await Try(listener.local_endpoint());
    auto serving = scope.Spawn(Serve(std::move(listener), Echo, kGrace, SleepFor(milliseconds(100))));
    scope.Spawn(Stay(server, milliseconds(800)));
    co_await SleepFor(milliseconds(500));
    serving.RequestStop();
    const auto& outcome = co_await serving.Join();
    EXPECT_TRUE(outcome.stopped());
    co_return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(left.dropped_timers, 0u);
}

TEST_P(ServeTest, ExceptionOfUntilComesOutUnchanged) {
  auto fails = []() -> Task<> {
    co_await SleepFor(seconds(1));
    throw std::logic_error("no signal today");
  };
  auto serve = [&]() -> Task<absl::Status> {
    TcpListener listener = co_await Try(TcpListener::Bind(Endpoint::Loopback(0)));
    auto serving = co_await Serve(std::move(listener), Echo, kGrace, fails());
    co_return serving.status();
  };
  EXPECT_THROW(static_cast<void>(world().Run(serve)), std::logic_error);
  EXPECT_EQ(world().open_descriptors(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, ServeTest, ::testing::Range<uint64_t>(1, 9));

TEST(ServeUntilSignal, BothSignalsEndIt) {
  for (const int number : {SIGTERM, SIGINT}) {
    const absl::StatusOr<ServeReport> report = gyre::Run([&]() -> Task<absl::StatusOr<ServeReport>> {
      TcpListener listener = co_await Try(TcpListener::Bind(Endpoint::Loopback(0)));
      auto serving = ServeUntilSignal(std::move(listener), Echo, kGrace);
      std::raise(number);  // watched before the task is awaited
      co_return co_await std::move(serving);
    });
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->ToString(), "0 served, 0 cut off");
  }
}

TEST(ServeUntilSignal, ASecondSignalEndsTheGraceTime) {
  absl::StatusOr<ServeReport> report = ServeReport();
  const absl::Status status = gyre::Run([&](Scope& scope) -> Task<absl::Status> {
    TcpListener listener = co_await Try(TcpListener::Bind(Endpoint::Loopback(0)));
    const Endpoint server = co_await Try(listener.local_endpoint());
    auto serving = scope.Spawn(ServeUntilSignal(std::move(listener), Echo, kForever));
    TcpStream stream = co_await Try(co_await TcpStream::Connect(server));
    co_await Try(co_await Say(stream, "hello"));
    std::raise(SIGTERM);
    co_await Try(co_await Say(stream, "still here"));
    EXPECT_FALSE(serving.Done());
    std::raise(SIGINT);
    const Buffer end = co_await Try(co_await stream.Receive());
    EXPECT_TRUE(end.empty());
    const auto& outcome = co_await serving.Join();
    report = outcome.value();
    co_return absl::OkStatus();
  });
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(report->ToString(), "0 served, 1 cut off");
}

TEST(ServeDeathTest, AnEmptyHandlerIsRefusedAtTheCall) {
  auto misuse = [](auto serve) {
    gyre::Run([&]() -> Task<absl::Status> {
      TcpListener listener = co_await Try(TcpListener::Bind(Endpoint::Loopback(0)));
      const auto serving = serve(std::move(listener));
      co_return absl::OkStatus();
    }).IgnoreError();
  };
  const ConnectionHandler empty;
  constexpr const char* kMessage = "Serve was given an empty handler";
  EXPECT_DEATH(misuse([&](TcpListener l) { return Serve(std::move(l), empty, Shutdown(kGrace)); }), kMessage);
  EXPECT_DEATH(misuse([&](TcpListener l) { return Serve(std::move(l), empty, kGrace, SleepFor(kGrace)); }), kMessage);
  EXPECT_DEATH(misuse([&](TcpListener l) { return ServeUntilSignal(std::move(l), empty, kGrace); }), kMessage);
}

TEST(ServeReport, Adds) {
  ServeReport total;
  total.served = 1;
  ServeReport more;
  more.served = 2;
  more.cut_off = 3;
  more.failed = 4;
  total += more;
  EXPECT_EQ(total.ToString(), "3 served, 3 cut off, 4 failed");
}

}  // namespace
}  // namespace gyre
