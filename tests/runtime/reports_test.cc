// What gyre says on its own about programs that are probably wrong.
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/log.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

using testing::InEveryWorld;

std::vector<std::string>& Lines() {
  static std::vector<std::string> lines;
  return lines;
}

// Collects what is logged while it lives.
class LogCapture {
 public:
  LogCapture() : before_(SetLogSink([](std::string_view line) { Lines().emplace_back(line); })) { Lines().clear(); }
  LogCapture(const LogCapture&) = delete;
  LogCapture& operator=(const LogCapture&) = delete;
  ~LogCapture() { SetLogSink(before_); }

  size_t Count(std::string_view text) const {
    size_t count = 0;
    for (const std::string& line : Lines()) count += line.find(text) != std::string::npos;
    return count;
  }

 private:
  LogSink before_;
};

Task<> ForgottenErrand() { co_return; }

TEST(Task, ThatIsDestroyedUnawaitedIsReportedWithItsCoroutineInDebugBuilds) {
  const LogCapture log;
  {
    Task<> forgotten = ForgottenErrand();
    Task<> moved = std::move(forgotten);
  }
#ifdef GYRE_DEBUG_CHECKS
  EXPECT_EQ(log.Count("without having been awaited or spawned"), 1u);
  EXPECT_EQ(log.Count("ForgottenErrand"), 1u);
  EXPECT_EQ(log.Count("reports_test.cc"), 1u);
#else
  EXPECT_TRUE(Lines().empty());
#endif
}

TEST(Task, ThatIsAwaitedOrSpawnedIsNotReported) {
  const LogCapture log;
  InEveryWorld([]() -> Task<> {
    co_await ForgottenErrand();
    auto body = [](Scope& scope) -> Task<> {
      scope.Spawn(ForgottenErrand());
      co_return;
    };
    co_await WithScope(body);
  });
  EXPECT_TRUE(Lines().empty());
}

TEST(AsOutcome, ATaskThatIgnoresAThousandStopsInARowIsReportedOnce) {
  InEveryWorld([]() -> Task<> {
    const LogCapture log;
    auto body = [](Scope& scope) -> Task<> {
      auto ignore = []() -> Task<> {
        for (int i = 0; i < 2500; ++i) {
          const Outcome<> outcome = co_await AsOutcome(Yield());
          EXPECT_TRUE(outcome.stopped());
        }
      };
      scope.SpawnNamed("stubborn", ignore);
      scope.RequestStop();
      co_return;
    };
    co_await WithScope(body);
    EXPECT_EQ(log.Count("\"stubborn\" has ignored 1000 stops in a row"), 1u);
    EXPECT_EQ(log.Count("reports_test.cc"), 1u);
  });
}

}  // namespace
}  // namespace gyre
