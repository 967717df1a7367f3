// Here, Story and Hits: a test in which who wakes is on one loop, and who waits on others, in simulations that choose whose turn
// it is: on which loop each goes on, and what becomes of what was handed over to one that is stopped, from its own loop, before it
// has run. tests/stress/ has threads.
#ifndef GYRE_TESTS_SYNC_CROSS_LOOP_H_
#define GYRE_TESTS_SYNC_CROSS_LOOP_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "gyre/runtime/check.h"
#include "gyre/runtime/is_unwinding.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/runtime.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/simulated_loops.h"

namespace gyre::testing {

inline constexpr size_t kLoops = 3;

// A task, and the loop on which it began: that it is there still, after each await and as it ends.
class Here {
 public:
  explicit Here(std::string& log) : log_(log), home_(Loop::Current()) {}
  Here(const Here&) = delete;
  Here& operator=(const Here&) = delete;
  ~Here() {
    if (IsUnwinding()) Add("!" + Name());
    CheckHome();
  }

  size_t loop() const { return home_.number(); }
  // "1", or "1=5": it went on.
  void Note(const std::string& how = "") { Add(Name() + how); }
  void CheckHome() const { EXPECT_EQ(Loop::TryCurrent(), &home_) << "began on loop " << Name(); }

 private:
  std::string Name() const { return std::to_string(home_.number()); }
  void Add(const std::string& note) {
    CheckHome();
    log_ += note + " ";
  }

  std::string& log_;
  Loop& home_;
};

// A task on loop 1 waits, and behind it one on loop 2. Loop 0 wakes; and loop 1 stops its own as soon as it can tell, which is
// mostly before that one has run. All loops share one thread.
class Story {
 public:
  using Wait = std::function<Task<>(Here&)>;
  using Wake = std::function<Task<>()>;

  // `wait` is for both; what it notes it notes right after its await.
  void Play(Runtime& runtime, const Wait& wait, const Wake& wake) {
    auto part = [&, this](size_t loop) { return loop == 0 ? wake() : loop == 1 ? First(wait) : Second(wait); };
    const absl::Status status = runtime.RunOnEveryLoop(part);
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_TRUE(is_decided_) << "nobody was woken";
  }

  // For who wakes.
  Task<> UntilBothWait() {
    has_begun_ = true;
    return Until(do_both_wait_);
  }
  // Loop 1 may stop its own from now on.
  void Tell() { is_told_ = true; }
  Task<> UntilStopped() { return Until(is_decided_); }
  Task<> UntilFirstEnds() { return Until(has_first_ended_); }
  Task<> UntilNoted(std::string note) {
    for (int turns = 0; !Has(note); ++turns) {
      CheckTurns(turns);
      co_await SleepFor(std::chrono::microseconds(1));  // so that time passes: loop 2 sleeps
    }
  }

  // The stop met a task that had not run since.
  bool is_hit() const { return is_hit_; }
  const std::string& log() const { return log_; }
  bool Has(const std::string& note) const { return (" " + log_).find(" " + note + " ") != std::string::npos; }

 private:
  // What never comes is a failure, not a hang.
  static void CheckTurns(int turns) { GYRE_CHECK(turns < 100'000, "a story of several loops does not go on"); }
  static Task<> Until(const bool& holds) {
    int turns = 0;
    while (!holds) {
      CheckTurns(++turns);
      co_await Yield();
    }
  }

  Task<> First(const Wait& wait) {
    co_await Until(has_begun_);
    auto body = [&, this](Scope& scope) -> Task<> {
      TaskHandle<> task = scope.Spawn(&Story::Visit, this, std::cref(wait));
      co_await Until(is_told_);
      is_hit_ = log_.empty();
      is_decided_ = true;
      if (is_hit_) task.RequestStop();
    };
    co_await WithScope(body);
    has_first_ended_ = true;
  }
  Task<> Second(const Wait& wait) {
    co_await Until(does_first_wait_);
    co_await Visit(wait);
  }
  Task<> Visit(const Wait& wait) {
    Here here(log_);
    do_both_wait_ = does_first_wait_;
    does_first_wait_ = true;
    co_await wait(here);
    here.CheckHome();
  }

  std::string log_;
  bool has_begun_ = false;
  bool does_first_wait_ = false;
  bool do_both_wait_ = false;
  bool is_told_ = false;
  bool is_decided_ = false;
  bool is_hit_ = false;
  bool has_first_ended_ = false;
};

// How often a stop came between the hand-over and the task, in all the worlds of a test.
class Hits {
 public:
  ~Hits() { EXPECT_GT(hits_, kSimulatedLoopsSeeds / 4) << "stops that met one that had been handed what it waited for"; }
  void Count(const Story& story) { hits_ += story.is_hit(); }

 private:
  uint64_t hits_ = 0;
};

}  // namespace gyre::testing

#endif  // GYRE_TESTS_SYNC_CROSS_LOOP_H_
