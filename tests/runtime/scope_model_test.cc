// Random programs of scopes, tasks, stops, deadlines, shields and errors run on gyre and on a simple model: no
// difference.
//
// In calm worlds, where many timers expire together, gyre must do exactly what the model does, in the same order.
// Worlds that shuffle what is ready may do what the model does in some order: time after time, mostly the only one
// there is.
//
// A long campaign by hand: scope_model_test --first_seed=1000000 --seeds=5000000
#include "gyre/tests/support/scope_model.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <tuple>

#include "gtest/gtest.h"
#include "gyre/runtime/sim/sim_options.h"
#include "gyre/tests/support/scope_interpreter.h"
#include "gyre/tests/support/scope_program.h"

namespace gyre::testing {
namespace {

#if defined(GYRE_DEBUG_CHECKS)
constexpr uint64_t kSeeds = 3'000;  // sanitizers, -O0 and -O1
#else
constexpr uint64_t kSeeds = 100'000;
#endif

uint64_t first_seed = 1;
uint64_t seeds = kSeeds;

EventLog Sorted(EventLog log) {
  std::sort(log.begin(), log.end(), [](const Event& a, const Event& b) {
    return std::tie(a.node, a.time, a.text) < std::tie(b.node, b.time, b.text);
  });
  return log;
}

// What gyre did, if the model does not.
class Difference {
 public:
  explicit operator bool() const { return !text.empty(); }
  std::string text;
};

Difference Describe(const Node& program, const EventLog& expected, const EventLog& actual) {
  Difference difference;
  difference.text = ToText(program) + "--- expected\n" + ToText(expected) + "--- actual\n" + ToText(actual);
  return difference;
}

Difference CompareInCalmWorld(const Node& program, uint64_t seed, Mistake mistake) {
  const EventLog expected = RunModel(program, /*order=*/0, mistake);
  const EventLog actual = RunOnGyre(program, seed, SimOptions::Calm());
  if (expected == actual) return Difference();
  return Describe(program, expected, actual);
}

// The program may depend on the order of what is ready at one instant: then the model must know an order that fits.
constexpr uint64_t kOrdersMax = 2000;

Difference CompareInWorld(const Node& program, uint64_t seed, Mistake mistake, uint64_t& orders) {
  const EventLog actual = Sorted(RunOnGyre(program, seed, SimOptions()));
  for (uint64_t order = 0; order < kOrdersMax; ++order) {
    ++orders;
    if (Sorted(RunModel(program, order, mistake)) == actual) return Difference();
  }
  return Describe(program, Sorted(RunModel(program, 0, mistake)), actual);
}

using Compare = Difference (*)(const Node& program, uint64_t seed);

Difference CompareCalm(const Node& program, uint64_t seed) { return CompareInCalmWorld(program, seed, Mistake::kNone); }

uint64_t orders_tried = 0;
Difference CompareShuffled(const Node& program, uint64_t seed) {
  return CompareInWorld(program, seed, Mistake::kNone, orders_tried);
}

void Explore(Times times, Compare compare) {
  const auto start = std::chrono::steady_clock::now();
  for (uint64_t seed = first_seed; seed < first_seed + seeds; ++seed) {
    const Node program = MakeProgram(seed, times);
    if (!compare(program, seed)) continue;
    const Node small = Shrink(program, [&](const Node& smaller) { return static_cast<bool>(compare(smaller, seed)); });
    ADD_FAILURE() << "seed " << seed << "\n" << compare(small, seed).text;
    break;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf("%llu seeds in %.1f s\n", static_cast<unsigned long long>(seeds), took.count());
}

TEST(ScopeModel, GyreDoesTheSameInTheSameOrderWhereTimersExpireTogether) { Explore(Times::kEqual, CompareCalm); }

TEST(ScopeModel, GyreDoesTheSameInAnyOrder) {
  orders_tried = 0;
  Explore(Times::kDistinct, CompareShuffled);
  std::printf("%llu orders tried\n", static_cast<unsigned long long>(orders_tried));
}

// --- the comparison notices

TEST(ScopeModel, EveryMistakeIsNoticed) {
  for (int i = 1; i < static_cast<int>(Mistake::kLimit); ++i) {
    const auto mistake = static_cast<Mistake>(i);
    uint64_t seed = 1;
    while (seed <= 20'000 && !CompareInCalmWorld(MakeProgram(seed, Times::kEqual), seed, mistake)) ++seed;
    EXPECT_LE(seed, 20'000u) << "mistake " << i;
    std::printf("mistake %d: seed %llu\n", i, static_cast<unsigned long long>(seed));
  }
}

uint64_t NumberAfter(std::string_view argument, std::string_view name, uint64_t otherwise) {
  if (!argument.starts_with(name)) return otherwise;
  argument.remove_prefix(name.size());
  std::from_chars(argument.data(), argument.data() + argument.size(), otherwise);
  return otherwise;
}

}  // namespace
}  // namespace gyre::testing

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    gyre::testing::first_seed = gyre::testing::NumberAfter(argv[i], "--first_seed=", gyre::testing::first_seed);
    gyre::testing::seeds = gyre::testing::NumberAfter(argv[i], "--seeds=", gyre::testing::seeds);
  }
  return RUN_ALL_TESTS();
}
