// gyre's own frames under this compiler: layout, alignment, order of destruction, and the forms that users are shown.
#include <chrono>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/try.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/tests/compiler_probe.h"

namespace gyre {
namespace {

Task<> Inner(Counted, Counted) {
  Counted c('c');
  Counted d('d');
  co_await SleepFor(std::chrono::hours(1));
}
Task<> Outer() {
  Counted o('o');
  co_await Inner(Counted('a'), Counted('b'));
}

TEST(GyreFrame, StoppedTasksDestroyTheInnermostFirstAndLocalsBeforeParameters) {
  gyre::Run([](Scope& scope) -> Task<> {
    scope.Spawn(Outer);
    co_await Yield();
    co_await Yield();
    Ledger::Get().ForgetOrder();
    scope.RequestStop();
  });
  const std::string order = Ledger::Get().order();
  EXPECT_EQ(order.substr(0, 2), "dc") << "Inner's locals, in reverse";
  EXPECT_TRUE(order.substr(2, 2) == "ba" || order.substr(2, 2) == "ab")
      << "its parameters: gcc 12 does not reverse them";
  EXPECT_EQ(order.substr(4), "bao")
      << "what the parameters were made of, to the end of the full-expression; then Outer's";
}

template <int N>
struct alignas(N) Aligned {
  char bytes[N] = {};
  bool IsAligned() const { return reinterpret_cast<uintptr_t>(this) % N == 0; }
};

Task<bool> HasAlignedLocals(int depth) {
  char odd = 1;
  Aligned<64> before;
  char odder = 2;
  Aligned<32> small;
  bool is_aligned_below = true;
  if (depth > 0) is_aligned_below = co_await HasAlignedLocals(depth - 1);
  Aligned<64> after;
  co_await Yield();
  co_return before.IsAligned() && small.IsAligned() && after.IsAligned() && is_aligned_below&& odd + odder == 3;
}

TEST(GyreFrame, AlignsLocalsWhoseTypeIsOverAligned) { EXPECT_TRUE(gyre::Run(HasAlignedLocals(/*depth=*/10))); }

// gcc 12 forgets the alignas of a variable that lives in a frame; that of its type it keeps.
bool IsMisaligned(const volatile char* address) { return reinterpret_cast<uintptr_t>(address) % 16 != 0; }

Task<int> CountMisalignedVariables() {
  char odd[1] = {};
  alignas(16) char first[16] = {};
  char odder[1] = {};
  alignas(16) char second[16] = {};
  co_await Yield();
  co_return IsMisaligned(first) + IsMisaligned(second) + odd[0] + odder[0];
}

#ifdef GYRE_INTERNAL_GCC12
TEST(GyreFrame, IsNotAlignedForAVariableDeclaredAlignasOnGcc12) {
  EXPECT_GT(gyre::Run(CountMisalignedVariables()), 0) << "gcc 12 has a fix: correct CONTRIBUTING.md";
}
#else
TEST(GyreFrame, AlignsAVariableDeclaredAlignas) { EXPECT_EQ(gyre::Run(CountMisalignedVariables()), 0); }
#endif

// gcc 12 places the promise of such coroutines 8 bytes off (PR 106188). The check in get_return_object turns the jump
// to garbage into a message.
Task<int> One() { co_return 1; }
Task<int> IfWithoutLocals() {
  if (co_await One()) co_return 2;  // tidy: allow(condition): because this is the test of it
  co_return 3;
}
Task<int> WhileWithoutLocals() {
  while (co_await One()) co_return 2;  // tidy: allow(condition): because this is the test of it
  co_return 3;
}
Task<int> DoWithoutLocals() {
  do {
  } while (co_await One() == 0);  // tidy: allow(condition): because this is the test of it
  co_return 2;
}
Task<int> SwitchWithoutLocals() {
  switch (co_await One()) {  // tidy: allow(condition): because this is the test of it
    case 1:
      co_return 2;
  }
  co_return 3;
}

#ifdef GYRE_INTERNAL_GCC12
TEST(ConditionWithoutLocalsDeathTest, IsCaughtWhenTheFrameIsMade) {
  const char message[] = "gcc 12 laid out a coroutine frame wrongly .PR 106188.*bind the result to a named local first";
  EXPECT_DEATH(gyre::Run(IfWithoutLocals()), message);
  EXPECT_DEATH(gyre::Run(WhileWithoutLocals()), message);
  EXPECT_DEATH(gyre::Run(DoWithoutLocals()), message);
  EXPECT_DEATH(gyre::Run(SwitchWithoutLocals()), message);
}
#else
TEST(ConditionWithoutLocals, IsFineElsewhere) {
  EXPECT_EQ(gyre::Run(IfWithoutLocals()), 2);
  EXPECT_EQ(gyre::Run(WhileWithoutLocals()), 2);
  EXPECT_EQ(gyre::Run(DoWithoutLocals()), 2);
  EXPECT_EQ(gyre::Run(SwitchWithoutLocals()), 2);
}
#endif

// The forms that gyre's headers and documents show to users, run to the end and stopped at each of their awaits.
Task<absl::StatusOr<Counted>> Fetch(Counted object) {
  co_await Yield();
  co_return object;
}
Task<absl::Status> Keep(Counted object, const Counted&) {
  co_await Yield();
  co_return object.value() == 1 ? absl::OkStatus() : absl::InternalError("value");
}
Task<absl::Status> AsUsersWriteIt() {
  Counted local;
  co_await Try(co_await Keep(co_await Try(co_await Fetch(Counted())), Counted()));
  Outcome<absl::Status> outcome = co_await AsOutcome(Keep(local, Counted()));
  auto body = [held = Counted(), &local](Scope& scope) -> Task<absl::Status> {
    scope.Spawn([object = Counted()]() -> Task<absl::Status> { co_return co_await Keep(object, Counted()); });
    scope.Spawn(Keep, held, Counted());
    co_await Yield();
    co_return co_await Keep(local, held);
  };
  co_await Try(co_await WithScope(body));
  co_return co_await WithScope([&](Scope& scope) -> Task<absl::Status> {
    scope.Spawn(Keep(local, local));
    co_return co_await Keep(local, local);
  });
}

TEST(GyreIdioms, DestroyEachObjectOnceStoppedAfterAnyNumberOfTurns) {
  bool was_finished = false;
  for (int turns = 0; !was_finished; ++turns) {
    ASSERT_LT(turns, 100);
    Ledger::Get().Reset();
    gyre::Run([&](Scope& scope) -> Task<> {
      TaskHandle<absl::Status> handle = scope.Spawn(AsUsersWriteIt);
      for (int i = 0; i < turns; ++i) co_await Yield();
      was_finished = handle.Done();
      scope.RequestStop();
    });
    EXPECT_EQ(Ledger::Get().Faults(), 0) << "stopped after " << turns << " turns";
  }
}

}  // namespace
}  // namespace gyre
