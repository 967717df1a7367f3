// A random walk over Once, Lazy and SingleFlight, beside a plain model: who leads, who waits, and how each ends.
//
// Up to eight tasks ask. The one that leads works until it is told how to end: well, with a bad status, or by an exception; or it
// is stopped. Others are stopped while they wait, and right after the leader's end, when they have been woken, or been made the
// leader, and have not run. After each such burst every task must have ended as the model says, or wait.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/runtime/internal/rng.h"
#include "gyre/runtime/is_unwinding.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/sync/lazy.h"
#include "gyre/sync/once.h"
#include "gyre/sync/single_flight.h"
#include "gyre/tests/support/gate.h"
#include "gyre/tests/support/worlds.h"
#include "gyre/tests/sync/waits.h"

namespace gyre::testing {
namespace {

constexpr size_t kTasks = 8;
constexpr size_t kKeys = 2;
#ifdef GYRE_DEBUG_CHECKS  // the sanitizers' builds: some twenty times slower
constexpr int kOperations = 10'000;
#else
constexpr int kOperations = 50'000;
#endif

enum class How { kWell, kBadStatus, kThrow };

// What the leader of a key is at, until the walk says how it ends.
struct Job {
  Gate finish;
  How how = How::kWell;
  int value = 0;
};

Task<absl::StatusOr<int>> Work(Job& job) {
  co_await job.finish.Wait();
  if (job.how == How::kThrow) throw std::runtime_error("planned");
  if (job.how == How::kBadStatus) co_return absl::DataLossError("planned");
  co_return job.value;
}

std::string Text(const absl::StatusOr<int>& got) { return got.ok() ? std::to_string(*got) : "bad"; }

// The thing itself, so that the walk is compiled once. One may be renewed when nobody asks.
class AnyLed {
 public:
  virtual ~AnyLed() = default;
  virtual Task<std::string> Ask(size_t key) = 0;
  virtual size_t keys() const { return 1; }
  // Keeps what was done, and gives it to whoever comes later.
  virtual bool keeps() const { return true; }
  // What it says of itself: how many keys are being worked for; and what is kept: 0 is nothing.
  virtual size_t in_flight(size_t at_work) { return at_work; }
  virtual int kept(int expected) { return expected; }
  virtual void Renew() {}

  std::array<Job, kKeys> jobs;
};

template <class Form>
class LedOnce final : public AnyLed {
 public:
  Task<std::string> Ask(size_t) override {
    auto work = [this]() -> Task<absl::Status> {
      const absl::StatusOr<int> done = co_await Work(jobs[0]);
      if (done.ok()) kept_ = *done;
      co_return done.status();
    };
    const absl::Status status = co_await once_->Run(work);
    co_return status.ok() ? std::to_string(kept_) : "bad";
  }
  int kept(int) override { return once_->is_done() ? kept_ : 0; }
  void Renew() override { once_ = std::make_unique<BasicOnce<Form>>(); }

 private:
  std::unique_ptr<BasicOnce<Form>> once_ = std::make_unique<BasicOnce<Form>>();
  int kept_ = 0;
};

template <class Form>
class LedLazy final : public AnyLed {
 public:
  LedLazy() { Renew(); }
  Task<std::string> Ask(size_t) override {
    const auto got = co_await lazy_->Get();
    if (!got.ok()) co_return "bad";
    co_return std::to_string(*got);
  }
  int kept(int) override { return lazy_->TryGet() == nullptr ? 0 : *lazy_->TryGet(); }
  void Renew() override {
    lazy_ = std::make_unique<Lazy>([this] { return Work(jobs[0]); });
  }

 private:
  using Lazy = BasicLazy<absl::StatusOr<int>, Form>;
  std::unique_ptr<Lazy> lazy_;
};

class LedFlights final : public AnyLed {
 public:
  Task<std::string> Ask(size_t key) override {
    auto fetch = [this, key] { return Work(jobs[key]); };
    const absl::StatusOr<int> got = co_await flights_.Do(key, fetch);
    co_return Text(got);
  }
  size_t keys() const override { return kKeys; }
  bool keeps() const override { return false; }
  size_t in_flight(size_t) override { return flights_.in_flight(); }

 private:
  SingleFlight<size_t, absl::StatusOr<int>> flights_;
};

using Ends = std::map<int, std::string>;

// Of one key.
class Model {
 public:
  void Ask(int task) {
    if (kept != 0) {
      ends[task] = std::to_string(kept);
    } else if (leader == 0) {
      leader = task;
    } else {
      waiting.push_back(task);
    }
  }
  // The leader ends, and stops `then` before any of those that it has woken has run.
  void Finish(How how, int value, bool keeps, const std::set<int>& then) {
    const int first = std::exchange(leader, 0);
    ends[first] = how == How::kWell ? std::to_string(value) : how == How::kThrow ? "thrown" : "bad";
    if (how != How::kWell) {
      Lead();
      for (const int task : then) Stop(task);
      return;
    }
    kept = keeps ? value : 0;
    for (const int task : std::exchange(waiting, {})) ends[task] = then.contains(task) ? "stopped" : std::to_string(value);
  }
  void Stop(int task) {
    std::erase(waiting, task);
    ends[task] = "stopped";
    if (leader == task) Lead();
  }
  bool Knows(int task) const { return leader == task || std::count(waiting.begin(), waiting.end(), task) != 0; }

  int leader = 0;
  int kept = 0;
  std::vector<int> waiting;  // in order of arrival
  Ends ends;                 // since the last look

 private:
  void Lead() {
    leader = waiting.empty() ? 0 : waiting.front();
    if (leader != 0) waiting.erase(waiting.begin());
  }
};

class Walk {
 public:
  Walk(AnyLed& led, uint64_t seed) : led_(led), rng_(seed) {}

  Task<> Run() {
    auto body = [this](Scope& scope) -> Task<> {
      while (operations_ < kOperations && !::testing::Test::HasFailure()) {
        Burst(scope);
        ++bursts_;
        for (size_t i = 0; i < kTasks + 4; ++i) co_await Yield();
        Check();
      }
      scope.RequestStop();
    };
    co_await WithScope(body);
    const size_t many = kOperations / 100;
    for (const char* how : {"bad", "thrown", "stopped"}) EXPECT_GT(seen_[how], many) << how;
    EXPECT_GT(seen_["value"], 3 * many);
    EXPECT_GT(leaders_stopped_, many);
    EXPECT_GT(heirs_stopped_, many) << "stops that met one that had been made the leader, and had not run";
    EXPECT_GT(woken_stopped_, many / 4) << "stops that met one that had been told that it is done";
  }

 private:
  void Burst(Scope& scope) {
    const size_t key = rng_.Below(led_.keys());
    switch (rng_.Below(8)) {
      case 0:
        return StopSome(rng_.Below(3) + 1);
      case 1:
        return StopLeader(key);
      case 2:
      case 3:
        Finish(key);
        if (rng_.Below(2) == 0) Ask(scope, key);  // when the leader has ended, and the others have not run
        return;
      default:
        for (uint64_t i = rng_.Below(3) + 1; i != 0; --i) Ask(scope, rng_.Below(led_.keys()));
    }
  }
  void Ask(Scope& scope, size_t key) {
    if (models_[0].kept != 0 && tasks_.empty()) Renew();
    if (tasks_.size() >= kTasks) return;
    ++operations_;
    const int task = ++last_;
    tasks_.emplace(task, scope.Spawn(&Walk::Go, this, task, key));
    models_[key].Ask(task);
  }
  void Renew() {
    led_.Renew();
    models_[0] = Model();
  }
  void Finish(size_t key) {
    Model& model = models_[key];
    if (model.leader == 0) return;
    ++operations_;
    Job& job = led_.jobs[key];
    job.how = static_cast<How>(rng_.Below(3));
    job.value = ++last_value_;
    const std::set<int> then = ChooseWaiting(model);
    woken_stopped_ += job.how == How::kWell ? then.size() : 0;
    heirs_stopped_ += job.how != How::kWell && !then.empty() && then.contains(model.waiting.front());
    then_[model.leader] = then;
    model.Finish(job.how, job.value, led_.keeps(), then);
    ASSERT_EQ(job.finish.waiting(), 1u) << "one is at work";
    job.finish.LetOnePass();
  }
  void StopLeader(size_t key) {
    Model& model = models_[key];
    if (model.leader == 0) return;
    ++operations_;
    ++leaders_stopped_;
    const std::set<int> then = ChooseWaiting(model);
    heirs_stopped_ += !then.empty() && then.contains(model.waiting.front());
    then_[model.leader] = then;
    tasks_.at(model.leader).RequestStop();
    model.Stop(model.leader);
    for (const int task : then) model.Stop(task);
  }
  // Of those that wait.
  std::set<int> ChooseWaiting(const Model& model) {
    std::set<int> chosen;
    if (rng_.Below(2) == 0) return chosen;
    for (const int task : model.waiting) {
      if (rng_.Below(2) == 0) chosen.insert(task);
    }
    return chosen;
  }
  void StopSome(uint64_t count) {
    for (; count != 0 && !tasks_.empty(); --count) {
      auto& [task, handle] = *std::next(tasks_.begin(), static_cast<long>(rng_.Below(tasks_.size())));
      for (Model& model : models_) {
        if (!model.Knows(task)) continue;
        ++operations_;
        handle.RequestStop();
        model.Stop(task);
      }
    }
  }

  // Notes how the task ends; and stops others, if that was planned, at this very moment.
  class Ending {
   public:
    Ending(Walk& walk, int task) : walk_(walk), task_(task) {}
    ~Ending() {
      if (IsUnwinding()) walk_.ends_[task_] = "stopped";
      for (const int other : walk_.then_[task_]) walk_.tasks_.at(other).RequestStop();
      walk_.then_.erase(task_);
    }

   private:
    Walk& walk_;
    const int task_;
  };
  Task<> Go(int task, size_t key) {
    const Ending ending(*this, task);
    std::string how;
    try {
      how = co_await led_.Ask(key);
    } catch (const std::runtime_error&) {
      how = "thrown";
    }
    ends_[task] = how;
  }

  void Check() {
    Ends expected;
    size_t at_work = 0;
    for (Model& model : models_) {
      expected.merge(model.ends);
      model.ends.clear();
      at_work += model.leader != 0;
    }
    EXPECT_EQ(ends_, expected) << "burst " << bursts_;
    EXPECT_EQ(led_.in_flight(at_work), at_work);
    EXPECT_EQ(led_.kept(models_[0].kept), models_[0].kept);
    for (size_t key = 0; key < led_.keys(); ++key) EXPECT_EQ(led_.jobs[key].finish.waiting(), models_[key].leader == 0 ? 0u : 1u);
    for (const auto& [task, how] : ends_) {
      EXPECT_TRUE(tasks_.at(task).Done());
      tasks_.erase(task);
      ++seen_[how == "bad" || how == "thrown" || how == "stopped" ? how : "value"];
    }
    ends_.clear();
  }

  AnyLed& led_;
  gyre::internal::Rng rng_;
  std::array<Model, kKeys> models_;
  std::map<int, TaskHandle<>> tasks_;
  std::map<int, std::set<int>> then_;  // whom a task stops as it ends
  Ends ends_;
  std::map<std::string, size_t> seen_;
  int last_ = 0;
  int last_value_ = 0;
  int operations_ = 0;
  int bursts_ = 0;
  size_t leaders_stopped_ = 0;
  size_t heirs_stopped_ = 0;
  size_t woken_stopped_ = 0;
};

template <class Led>
void WalkAlong() {
  for (const uint64_t seed : {1u, 2u}) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    InCalmSimulation([seed]() -> Task<> {
      Led led;
      Walk walk(led, seed);
      co_await walk.Run();
    });
  }
}

template <class Form>
class LeaderWalk : public ::testing::Test {};
TYPED_TEST_SUITE(LeaderWalk, Forms);

TYPED_TEST(LeaderWalk, Once) { WalkAlong<LedOnce<TypeParam>>(); }
TYPED_TEST(LeaderWalk, Lazy) { WalkAlong<LedLazy<TypeParam>>(); }
TEST(LeaderWalk, SingleFlight) { WalkAlong<LedFlights>(); }

}  // namespace
}  // namespace gyre::testing
