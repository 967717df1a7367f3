// Stops from real threads race with completion: each await ends exactly once, with its value or stopped, and neither is
// lost. And tasks spawned through posts from real threads all run, once.
#include <array>
#include <atomic>
#include <chrono>
#include <coroutine>
#include <stop_token>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/runtime/leaf.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/stop_handle.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/runtime/with_stop_token.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using testing::OnEpoll;

// Races that one signal to the other thread begins: so they cost their own time, and not that of waking threads.
constexpr int kBatch = 100;
#ifdef GYRE_DEBUG_CHECKS  // the sanitizers' builds: some ten times slower
constexpr int kBatches = 200;
constexpr int kTasks = 20'000;
#else
constexpr int kBatches = 10'000;
constexpr int kTasks = 200'000;
#endif
constexpr int kRaces = kBatches * kBatch;

// Another thread, which acts on each race of a batch while the loop's thread runs them.
class Rival {
 public:
  // act(race) on the other thread.
  template <class Act>
  explicit Rival(Act act) : thread_([this, act](std::stop_token end) { Work(end, act); }) {}
  Rival(const Rival&) = delete;
  Rival& operator=(const Rival&) = delete;
  ~Rival() {
    thread_.request_stop();
    Signal();
  }

  // Returns when the rival is at work: so there is a race, however late its thread was woken.
  void Begin() {
    Signal();
    while (begun_.load(std::memory_order_acquire) != batch_.load(std::memory_order_relaxed)) std::this_thread::yield();
  }
  // Until the rival has acted on the whole batch.
  void AwaitEnd() const {
    for (int done = done_.load(std::memory_order_acquire); done != batch_.load(std::memory_order_relaxed);) {
      done_.wait(done, std::memory_order_acquire);
      done = done_.load(std::memory_order_acquire);
    }
  }

 private:
  static constexpr int kBeforehand = kBatch / 4;

  void Signal() {
    batch_.fetch_add(1, std::memory_order_release);
    batch_.notify_one();
  }

  template <class Act>
  void Work(std::stop_token end, Act act) {
    for (int seen = 0;;) {
      batch_.wait(seen, std::memory_order_acquire);
      if (end.stop_requested()) return;
      for (int race = 0; race < kBeforehand; ++race) act(race);
      begun_.store(++seen, std::memory_order_release);
      for (int race = kBeforehand; race < kBatch; ++race) act(race);
      done_.store(seen, std::memory_order_release);
      done_.notify_one();
    }
  }

  // Signal: release, so that the rival sees what the loop's thread prepared. Work: acquire.
  std::atomic<int> batch_{0};
  // Work: release. Begin: acquire.
  std::atomic<int> begun_{0};
  // Work: release, so that the loop's thread sees what the rival did. AwaitEnd: acquire.
  std::atomic<int> done_{0};
  std::jthread thread_;
};

// How races ended.
struct Tally {
  void Count(const absl::StatusOr<int>& result, int expected) {
    ++(result.ok() ? values : stops);
    if (result.ok() && *result != expected) ++wrong;
  }

  int values = 0;
  int stops = 0;
  int wrong = 0;
};

void ExpectEachEndedOnce(const Tally& tally) {
  EXPECT_EQ(tally.values + tally.stops, kRaces);
  EXPECT_EQ(tally.wrong, 0);
  EXPECT_GT(tally.values, 0) << "no race: the stop always came first";
  EXPECT_GT(tally.stops, 0) << "no race: the stop always came too late";
}

// Turns of the loop in a race, so that the stop falls now before, now after the end.
int TurnsOf(int race) { return race % 7; }

Task<int> GiveAfterTurns(int race) {
  for (int i = 0; i < TurnsOf(race); ++i) co_await Yield();
  co_return race;
}

TEST(StopStress, AStopHandleRacesWithTheEndOfItsTask) {
  Tally tally;
  OnEpoll([&]() -> Task<> {
    std::array<StopHandle, kBatch> stops;
    Rival rival([&](int race) { stops[race].RequestStop(); });
    auto body = [&](Scope& scope) -> Task<> {
      std::array<TaskHandle<int>, kBatch> tasks;
      for (int batch = 0; batch < kBatches; ++batch) {
        for (int race = 0; race < kBatch; ++race) {
          tasks[race] = scope.Spawn(GiveAfterTurns, race);
          stops[race] = tasks[race].stop_handle();
        }
        rival.Begin();
        for (int race = 0; race < kBatch; ++race) {
          const Outcome<int>& outcome = co_await tasks[race].Join();
          tally.Count(outcome.stopped() ? absl::StatusOr<int>(outcome.status()) : outcome.value(), race);
        }
        rival.AwaitEnd();
      }
      EXPECT_FALSE(scope.StopRequested());
    };
    co_await WithScope(body);
  });
  ExpectEachEndedOnce(tally);
}

TEST(StopStress, AStopHandleRacesWithTheEndOfItsScope) {
  Tally tally;
  OnEpoll([&]() -> Task<> {
    std::array<StopHandle, kBatch> stops;
    Rival rival([&](int race) { stops[race].RequestStop(); });
    int ready = 0;
    auto run_one = [&](int race) -> Task<> {
      auto body = [&](Scope& scope) -> Task<absl::StatusOr<int>> {
        stops[race] = scope.stop_handle();
        if (++ready == kBatch) rival.Begin();
        co_return co_await GiveAfterTurns(race);
      };
      tally.Count(co_await WithScope(body), race);
    };
    for (int batch = 0; batch < kBatches; ++batch) {
      ready = 0;
      auto all = [&](Scope& scope) -> Task<> {
        for (int race = 0; race < kBatch; ++race) scope.Spawn(run_one, race);
        co_return;
      };
      co_await WithScope(all);
      rival.AwaitEnd();
    }
  });
  ExpectEachEndedOnce(tally);
}

TEST(StopStress, AStopTokenRacesWithTheEndOfItsAwaitable) {
  Tally tally;
  OnEpoll([&]() -> Task<> {
    std::array<std::stop_source, kBatch> sources;
    Rival rival([&](int race) { sources[race].request_stop(); });
    auto run_one = [&](int race) -> Task<> {
      tally.Count(co_await WithStopToken(sources[race].get_token(), GiveAfterTurns(race)), race);
    };
    for (int batch = 0; batch < kBatches; ++batch) {
      for (std::stop_source& source : sources) source = std::stop_source();
      rival.Begin();
      auto all = [&](Scope& scope) -> Task<> {
        for (int race = 0; race < kBatch; ++race) scope.Spawn(run_one, race);
        co_return;
      };
      co_await WithScope(all);
      rival.AwaitEnd();
    }
  });
  ExpectEachEndedOnce(tally);
}

// Completed by another thread, which alone ends the wait.
class [[nodiscard]] FromThread final : public Leaf {
 public:
  FromThread(FromThread*& place, int& waiting, Rival& rival) : place_(place), waiting_(waiting), rival_(rival) {}
  template <class P>
  bool await_suspend(std::coroutine_handle<P> awaiting) {
    return Suspend(awaiting, [this] {
      place_ = this;
      if (++waiting_ == kBatch) rival_.Begin();
      return false;
    });
  }
  int await_resume() const { return value_; }
  // The leaf must not be touched afterwards.
  void Set(int value) {
    value_ = value;
    CompleteFromAnyThread();
  }

 private:
  void OnStop() noexcept override {}
  bool Undo() noexcept override { return false; }  // a value is delivered

  FromThread*& place_;
  int& waiting_;
  Rival& rival_;
  int value_ = 0;
};

TEST(StopStress, ACompletionFromAThreadIsDeliveredWhateverMomentTheStopFallsOn) {
  int delivered = 0;
  OnEpoll([&]() -> Task<> {
    std::array<FromThread*, kBatch> places{};
    int waiting = 0;
    Rival rival([&](int race) { places[race]->Set(race); });
    auto work = [&](int race) -> Task<> {
      const int value = co_await FromThread(places[race], waiting, rival);
      delivered += value == race ? 1 : 0;
    };
    for (int batch = 0; batch < kBatches; ++batch) {
      waiting = 0;
      auto all = [&](Scope& scope) -> Task<> {
        for (int race = 0; race < kBatch; ++race) scope.Spawn(work, race);
        while (waiting < kBatch) co_await Yield();
        for (int i = 0; i < TurnsOf(batch); ++i) co_await Yield();
        scope.RequestStop();
      };
      co_await WithScope(all);
      rival.AwaitEnd();
    }
  });
  EXPECT_EQ(delivered, kRaces);
}

TEST(SpawnStress, TasksSpawnedByPostsFromFourThreadsRunOnceEach) {
  int ran = 0;
  OnEpoll([&]() -> Task<> {
    constexpr int kThreads = 4;
    int spawned = 0;
    auto child = [&ran]() -> Task<> {
      co_await Yield();
      ++ran;
    };
    auto body = [&](Scope& scope) -> Task<> {
      std::vector<std::jthread> threads;
      for (int who = 0; who < kThreads; ++who) {
        threads.emplace_back([&, &loop = Loop::Current()] {
          for (int i = 0; i < kTasks / kThreads; ++i) {
            loop.Post([&] {
              scope.Spawn(child);
              ++spawned;
            });
          }
        });
      }
      while (spawned < kTasks) co_await SleepFor(std::chrono::microseconds(100));
    };
    co_await WithScope(body);
  });
  EXPECT_EQ(ran, kTasks);
}

}  // namespace
}  // namespace gyre
