// Bugs as programs have them, each planted once: the explorer must find it, and name the await where it shows, whose
// line says "// bug: NAME". Runs with this file beside it.
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <deque>
#include <fstream>
#include <functional>
#include <list>
#include <source_location>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/io/endpoint.h"
#include "gyre/io/tcp_listener.h"
#include "gyre/io/tcp_stream.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/leaf.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/sim/explorer.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/try.h"
#include "gyre/runtime/with_scope.h"

namespace gyre::testing {
namespace {

using namespace std::chrono_literals;

// The line of this file that says "// bug: NAME".
uint_least32_t LineOfBug(const std::string& name) {
  std::ifstream source(__FILE__);
  std::string line;
  for (uint_least32_t number = 1; std::getline(source, line); ++number) {
    if (line.ends_with("// bug: " + name)) return number;
  }
  return 0;
}

// Some failure says `what`, and its await, or one around it, is at the bug.
::testing::AssertionResult Finds(const std::string& name, const ExplorerReport& report, std::string_view what) {
  const uint_least32_t line = LineOfBug(name);
  for (const ExplorerFailure& failure : report.failures()) {
    std::vector<std::source_location> places = failure.callers;
    places.push_back(failure.where);
    for (const std::source_location& place : places) {
      if (place.line() != line || std::string_view(place.file_name()) != __FILE__) continue;
      if (failure.what.find(what) != std::string::npos) return ::testing::AssertionSuccess();
    }
  }
  return ::testing::AssertionFailure() << "none at line " << line << " says \"" << what << "\": " << report;
}

ExplorerOptions OnlyPass(ExplorerPass pass) { return ExplorerOptions().set_passes(std::vector<ExplorerPass>(1, pass)); }

// --- what a stop leaves behind

TEST(PlantedBug, APermitIsNotGivenBack) {
  int permits = 3;
  auto body = [&]() -> Task<> {
    co_await Yield();
    --permits;
    co_await SleepFor(1s);  // bug: permit
    ++permits;
  };
  const ExplorerReport report = StopAtEveryAwait(ExplorerOptions().Track("permits", [&] { return permits; }), body);
  EXPECT_TRUE(Finds("permit", report, "permits: 3 before the run, 2 after it"));
}

Task<absl::Status> SendPing(TcpListener& listener) {
  TcpStream stream = co_await Try(co_await TcpStream::Connect(co_await Try(listener.local_endpoint())));
  BareDescriptor released = co_await Try(stream.Release());
  const int fd = released.TakeFd();
  co_await SleepFor(1ms);  // bug: descriptor
  TcpStream again = co_await Try(TcpStream::Adopt(fd));
  co_return co_await again.Send("ping");
}

TEST(PlantedBug, AReleasedDescriptorIsNotClosed) {
  const ExplorerReport report = StopAtEveryAwait([]() -> Task<absl::Status> {
    TcpListener listener = co_await Try(TcpListener::Bind(Endpoint::Loopback(0)));
    co_return co_await SendPing(listener);
  });
  EXPECT_TRUE(Finds("descriptor", report, "1 descriptors released and not closed"));
}

TEST(PlantedBug, ATimerIsNotCancelled) {
  auto body = []() -> Task<> {
    Timer alarm = Loop::Current().CallLater(1h, [] {});
    co_await SleepFor(1s);  // bug: timer
    alarm.Cancel();
  };
  EXPECT_TRUE(Finds("timer", StopAtEveryAwait(body), "1 timers (CallLater, CallAt or an Alarm) neither fired nor cancelled"));
}

TEST(PlantedBug, ATaskHandleOutlivesItsLoop) {
  std::list<TaskHandle<>> handles;
  auto body = [&](Scope& scope) -> Task<> {
    handles.push_back(scope.Spawn([]() -> Task<> { co_return; }));
    co_await SleepFor(1s);  // bug: handle
    handles.clear();
  };
  EXPECT_TRUE(Finds("handle", StopAtEveryAwait(body), "coroutine frames or task handles"));
}

// A session that says so when somebody uses it after its end.
struct Session {
  explicit Session(int& open) : open(open) { ++open; }
  ~Session() { --open; }
  int& open;
};

TEST(PlantedBug, AScopeIsLeftBeforeItsChild) {
  int open_sessions = 0;
  bool was_used_after = false;
  auto child = [&]() -> Task<> {
    struct Use {
      Use(int& open, bool& late) : open(open), late(late) {}
      ~Use() { late = late || open == 0; }
      int& open;
      bool& late;
    } use(open_sessions, was_used_after);
    co_await SleepFor(1s);
  };
  auto serve = [&](Scope& longer_lived) -> Task<> {
    const Session session(open_sessions);
    TaskHandle<> handle = longer_lived.Spawn(std::ref(child));
    static_cast<void>(co_await handle.Join());  // bug: scope
  };
  ExplorerOptions options;
  options.AddInvariant("children end before their session", [&](const ExploredRun&) { return !was_used_after; });
  const ExplorerReport report = StopAtEveryAwait(options, [&](Scope& scope) -> Task<> { co_await serve(scope); });
  EXPECT_TRUE(Finds("scope", report, "does not hold: children end before their session"));
}

// D25: no exception unwinds, so the guard believes in success; it should ask IsUnwinding().
struct CommitOnSuccess {
  explicit CommitOnSuccess(bool& is_committed) : is_committed(is_committed) {}
  ~CommitOnSuccess() { is_committed = std::uncaught_exceptions() == 0; }
  bool& is_committed;
};

TEST(PlantedBug, AGuardCommitsWhileAStopUnwinds) {
  bool is_committed = false;
  auto body = [&]() -> Task<> {
    is_committed = false;
    const CommitOnSuccess guard(is_committed);
    co_await SleepFor(1s);  // bug: guard
  };
  ExplorerOptions options;
  options.AddInvariant("only what was done is committed", [&](const ExploredRun& run) {
    return run.outcome.ok() || run.pass == ExplorerPass::kUnstarted || !is_committed;
  });
  EXPECT_TRUE(Finds("guard", StopAtEveryAwait(options, body), "does not hold: only what was done is committed"));
}

// --- leaves that break the contract of leaf.h

enum class Flaw {
  kStaysQueued,    // OnStop forgets to leave the queue
  kNeverEnds,      // OnStop does nothing
  kLosesHandOver,  // Undo says that it gave the item back, and did not
};

// How a taker is told.
enum class Wake {
  kOnItsLoop,
  kFromAnyThread,  // as what several loops share does it
};

// A queue of numbers.
class FlawedQueue {
 public:
  explicit FlawedQueue(Flaw flaw, Wake wake = Wake::kOnItsLoop) : flaw_(flaw), wake_(wake) {}

  class [[nodiscard]] Taker final : public Leaf {
   public:
    explicit Taker(FlawedQueue& queue) : queue_(queue) {}
    template <class P>
    bool await_suspend(std::coroutine_handle<P> awaiting) {
      return Suspend(awaiting, [this] { return queue_.GiveOrQueue(*this); });
    }
    int await_resume() const { return item_; }

   private:
    friend class FlawedQueue;
    void OnStop() noexcept override {
      if (queue_.flaw_ == Flaw::kNeverEnds || is_under_way_) return;
      if (queue_.flaw_ != Flaw::kStaysQueued) queue_.takers_.remove(this);
      CompleteStopped();
    }
    bool Undo() noexcept override { return queue_.flaw_ == Flaw::kLosesHandOver; }

    FlawedQueue& queue_;
    int item_ = 0;
    bool is_under_way_ = false;
  };
  class [[nodiscard]] TakeOperation {
   public:
    explicit TakeOperation(FlawedQueue& queue) : queue_(queue) {}
    Taker operator co_await() && { return Taker(queue_); }

   private:
    FlawedQueue& queue_;
  };

  TakeOperation Take() { return TakeOperation(*this); }
  void Put(int item) {
    if (takers_.empty()) return items_.push_back(item);
    Taker* const first = takers_.front();
    takers_.pop_front();
    first->item_ = item;
    first->is_under_way_ = true;
    wake_ == Wake::kOnItsLoop ? first->Complete() : first->CompleteFromAnyThread();
  }
  int64_t items() const { return static_cast<int64_t>(items_.size()); }
  int64_t takers() const { return static_cast<int64_t>(takers_.size()); }

 private:
  bool GiveOrQueue(Taker& taker) {
    if (items_.empty()) return takers_.push_back(&taker), false;
    taker.item_ = items_.front();
    items_.pop_front();
    return true;
  }

  const Flaw flaw_;
  const Wake wake_;
  std::deque<int> items_;
  std::list<Taker*> takers_;
};

TEST(PlantedBug, AStoppedLeafStaysQueued) {
  FlawedQueue queue(Flaw::kStaysQueued);
  auto body = [&](Scope& scope) -> Task<> {
    scope.Spawn([&]() -> Task<> {
      co_await Yield();
      co_await Yield();
      queue.Put(1);
    });
    static_cast<void>(co_await queue.Take());  // bug: stays queued
  };
  const ExplorerReport report =
      StopAtEveryAwait(ExplorerOptions().Track("takers", [&] { return queue.takers(); }), body);
  EXPECT_TRUE(Finds("stays queued", report, "takers: 0 before the run, 1 after it"));
}

TEST(PlantedBug, ALeafThatStaysQueuedIsCompletedWhenItsFrameIsGone) {
  FlawedQueue queue(Flaw::kStaysQueued);
  auto body = [&](Scope& scope) -> Task<> {
    scope.Spawn([&]() -> Task<> {
      static_cast<void>(co_await queue.Take());  // bug: use after free
    });
    co_await SleepFor(1ms);
    queue.Put(1);
    co_await SleepFor(1ms);
  };
  EXPECT_TRUE(Finds("use after free", StopAtEveryAwait(OnlyPass(ExplorerPass::kStopTaskDuring), body), "the run "));
}

TEST(PlantedBug, AStoppedLeafNeverEnds) {
  FlawedQueue queue(Flaw::kNeverEnds);
  auto body = [&](Scope& scope) -> Task<> {
    scope.Spawn([&]() -> Task<> {
      co_await SleepFor(1ms);
      queue.Put(1);
    });
    static_cast<void>(co_await queue.Take());  // bug: hang
  };
  const ExplorerReport report = StopAtEveryAwait(body);
  EXPECT_TRUE(Finds("hang", report, "deadlock: every task waits"));
  const std::string waiting = "waiting at " __FILE__ ":" + std::to_string(LineOfBug("hang"));
  EXPECT_TRUE(Finds("hang", report, waiting)) << "the report says who hangs, and where";
}

void ExpectADroppedItemIsFound(Wake wake) {
  FlawedQueue queue(Flaw::kLosesHandOver, wake);
  int put = 0;
  int taken = 0;
  auto body = [&](Scope& scope) -> Task<> {
    scope.Spawn([&]() -> Task<> {
      co_await SleepFor(1ms);
      ++put;
      queue.Put(1);
    });
    static_cast<void>(co_await queue.Take());  // bug: dropped item
    ++taken;
  };
  ExplorerOptions options;
  options.AddInvariant("no item is lost", [&](const ExploredRun&) { return put == taken + queue.items(); });
  const ExplorerReport report = StopAtEveryAwait(options, body);
  EXPECT_TRUE(Finds("dropped item", report, "does not hold: no item is lost"));
  for (const ExplorerFailure& failure : report.failures()) {
    EXPECT_TRUE(failure.run.starts_with("calm/stop-after/")) << "only there it has the item: " << failure.ToString();
  }
}

TEST(PlantedBug, ALeafDropsTheItemThatItHadBeenGiven) { ExpectADroppedItemIsFound(Wake::kOnItsLoop); }
TEST(PlantedBug, ALeafDropsTheItemThatItHadBeenGivenFromAnyThread) { ExpectADroppedItemIsFound(Wake::kFromAnyThread); }

TEST(PlantedBug, AStoppedWaiterSwallowsAWakeUpThatOthersNeed) {
  auto worker = [](FlawedQueue& permits) -> Task<> {
    const int permit = co_await permits.Take();  // bug: lost wake-up
    co_await SleepFor(1ms);
    permits.Put(permit);
  };
  auto body = [&]() -> Task<> {
    FlawedQueue permits(Flaw::kLosesHandOver);
    permits.Put(1);
    co_await WithScope([&](Scope& scope) -> Task<> {
      for (int i = 0; i < 3; ++i) scope.Spawn(worker, std::ref(permits));
      co_return;
    });
  };
  const ExplorerReport report = StopAtEveryAwait(OnlyPass(ExplorerPass::kStopTaskAfter), body);
  EXPECT_TRUE(Finds("lost wake-up", report, "deadlock"));
}

// --- what programs get wrong about a stop

TEST(PlantedBug, ALoopAroundAsOutcomeIgnoresThatItIsStopped) {
  auto body = []() -> Task<> {
    for (int tries = 0; tries < 3;) {
      const Outcome<> nap = co_await AsOutcome(SleepFor(1s));  // bug: spin
      if (nap.ok()) ++tries;
    }
  };
  EXPECT_TRUE(Finds("spin", StopAtEveryAwait(body), "a loop that goes on although it is stopped?"));
}

Task<absl::Status> Drain(TcpListener& listener) {
  TcpStream peer = co_await Try(co_await listener.Accept());
  for (;;) {
    co_await SleepFor(1ms);
    const Buffer chunk = co_await Try(co_await peer.Receive());
    if (chunk.empty()) co_return absl::OkStatus();
  }
}

TEST(PlantedBug, BytesInFlightAreOffAfterASendThatIsStopped) {
  int64_t in_flight = 0;
  auto body = [&](Scope& scope) -> Task<absl::Status> {
    TcpListener listener = co_await Try(TcpListener::Bind(Endpoint::Loopback(0)));
    scope.Spawn(Drain, std::ref(listener));
    const Endpoint where = co_await Try(listener.local_endpoint());
    TcpStream stream = co_await Try(co_await TcpStream::Connect(where));
    const std::string text(300'000, 'x');
    in_flight += 300'000;
    const absl::Status sent = co_await stream.Send(text);  // bug: bytes
    in_flight -= 300'000;
    co_return sent;
  };
  const ExplorerReport report = StopAtEveryAwait(ExplorerOptions().Track("bytes", [&] { return in_flight; }), body);
  EXPECT_TRUE(Finds("bytes", report, "bytes: 0 before the run, 300000 after it"));
}

// --- errors that nobody sees

Task<absl::Status> Greet(TcpListener& listener) {
  TcpStream peer = co_await Try(co_await listener.Accept());
  static_cast<void>(co_await peer.Send("hello\n"));  // bug: ignored status
  co_return absl::OkStatus();
}

TEST(PlantedBug, AStatusIsIgnored) {
  auto body = [](Scope& scope) -> Task<absl::Status> {
    TcpListener listener = co_await Try(TcpListener::Bind(Endpoint::Loopback(0)));
    scope.Spawn(Greet, std::ref(listener));
    const Endpoint where = co_await Try(listener.local_endpoint());
    TcpStream stream = co_await Try(co_await TcpStream::Connect(where));
    co_await SleepFor(1s);
    co_return absl::OkStatus();
  };
  const ExplorerReport report = StopAtEveryAwait(ExplorerOptions().set_must_report_errors(true), body);
  EXPECT_TRUE(Finds("ignored status", report, "the error was ignored or swallowed"));
}

TEST(PlantedBug, AnErrorIsSwallowedByCatchAll) {
  auto body = []() -> Task<> {
    const Endpoint nobody = Endpoint::Loopback(9);
    try {
      TcpListener listener = TcpListener::Bind(nobody).value();
      auto stream = co_await TcpStream::Connect(nobody);  // bug: catch all
      stream.value();
    } catch (...) {
    }
  };
  const ExplorerReport report = StopAtEveryAwait(ExplorerOptions().set_must_report_errors(true), body);
  EXPECT_TRUE(Finds("catch all", report, "the error was ignored or swallowed"));
}

}  // namespace
}  // namespace gyre::testing
