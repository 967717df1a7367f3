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
#include <vector>

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

// A second, structural look, whatever the model says: each node ends once, and after all that is inside it.
class Nesting {
 public:
  Nesting(const Node& program, const EventLog& log)
      : begins_(static_cast<size_t>(IdLimit(program))), ends_(begins_.size()) {
    for (size_t at = 0; at < log.size(); ++at) {
      const auto id = static_cast<size_t>(log[at].node);
      if (log[at].text == "begins") begins_[id].push_back(at);
      if (IsEnd(log[at].text)) ends_[id].push_back(at);
    }
    Check(program);
  }
  const std::string& complaints() const { return complaints_; }

 private:
  static bool IsEnd(std::string_view text) {
    return text == "value" || text == "stopped" || text.starts_with("status ") || text.starts_with("throw ");
  }
  void Check(const Node& node) {
    const auto id = static_cast<size_t>(node.id);
    if (begins_[id].size() > 1 || begins_[id].size() != ends_[id].size()) Complain(node.id, "begins or ends not once");
    for (const Node& part : node.parts) {
      const bool is_spawn = node.kind == NodeKind::kSpawn || node.kind == NodeKind::kStart;
      if (!IsInside(part, is_spawn ? node.target : node.id)) Complain(part.id, "outlives what is around it");
      Check(part);
    }
  }
  bool IsInside(const Node& part, int around) const {
    const std::vector<size_t>& end = ends_[static_cast<size_t>(part.id)];
    const std::vector<size_t>& outer = ends_[static_cast<size_t>(around)];
    return end.empty() || (!outer.empty() && end.back() < outer.back());
  }
  void Complain(int id, const char* what) { complaints_ += "node " + std::to_string(id) + " " + what + "\n"; }

  std::vector<std::vector<size_t>> begins_;  // positions in the log, by id
  std::vector<std::vector<size_t>> ends_;
  std::string complaints_;
};

// What gyre did, if the model does not.
struct Difference {
  explicit operator bool() const { return !text.empty(); }
  std::string text;
};

Difference Describe(const Node& program, const EventLog& expected, const EventLog& actual) {
  return Difference{ToText(program) + "--- expected\n" + ToText(expected) + "--- actual\n" + ToText(actual)};
}

Difference CompareInCalmWorld(const Node& program, uint64_t seed, Mistake mistake) {
  const EventLog expected = RunModel(program, /*order=*/0, mistake);
  const EventLog actual = RunOnGyre(program, seed, SimOptions::Calm());
  if (expected == actual) return Difference();
  return Describe(program, expected, actual);
}

// The program may depend on the order of what is ready at one instant: then the model must know an order that fits.
constexpr uint64_t kOrdersMax = 2000;

Difference CompareInAnyOrder(const Node& program, uint64_t seed, Mistake mistake) {
  const EventLog in_order = RunOnGyre(program, seed, SimOptions());
  if (const Nesting nesting(program, in_order); !nesting.complaints().empty()) {
    return Difference{nesting.complaints() + ToText(program) + ToText(in_order)};
  }
  const EventLog actual = Sorted(in_order);
  for (uint64_t order = 0; order < kOrdersMax; ++order) {
    if (Sorted(RunModel(program, order, mistake)) == actual) return Difference();
  }
  return Describe(program, Sorted(RunModel(program, 0, mistake)), actual);
}

using Compare = Difference (*)(const Node& program, uint64_t seed, Mistake mistake);

void Explore(Times times, Compare compare) {
  const auto start = std::chrono::steady_clock::now();
  for (uint64_t seed = first_seed; seed < first_seed + seeds; ++seed) {
    auto differs = [&](const Node& program) { return static_cast<bool>(compare(program, seed, Mistake::kNone)); };
    const Node program = MakeProgram(seed, times);
    if (!differs(program)) continue;
    ADD_FAILURE() << "seed " << seed << "\n" << compare(Shrink(program, differs), seed, Mistake::kNone).text;
    break;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf("%llu seeds in %.1f s\n", static_cast<unsigned long long>(seeds), took.count());
}

TEST(ScopeModel, GyreDoesTheSameInTheSameOrderWhereTimersExpireTogether) { Explore(Times::kEqual, CompareInCalmWorld); }

TEST(ScopeModel, GyreDoesTheSameInAnyOrder) { Explore(Times::kDistinct, CompareInAnyOrder); }

TEST(ScopeModel, GyreDoesTheSameInAnyOrderWhereTimersExpireTogether) { Explore(Times::kEqual, CompareInAnyOrder); }

// --- the comparison notices

// The first seed whose program shows the mistake; 0 if none does.
uint64_t SeedThatShows(Mistake mistake, Compare compare) {
  for (uint64_t seed = 1; seed <= 2000; ++seed) {
    if (compare(MakeProgram(seed, Times::kEqual), seed, mistake)) return seed;
  }
  return 0;
}

TEST(ScopeModel, AMistakeOfTheModelIsNoticed) {
  for (int i = 1; i < static_cast<int>(Mistake::kLimit); ++i) {
    const auto mistake = static_cast<Mistake>(i);
    EXPECT_NE(SeedThatShows(mistake, CompareInCalmWorld), 0u) << "mistake " << i;
    EXPECT_NE(SeedThatShows(mistake, CompareInAnyOrder), 0u) << "mistake " << i;
  }
}

TEST(ScopeModel, AProgramShrinksToWhatShowsTheMistake) {
  auto shows = [](const Node& program) {
    return static_cast<bool>(CompareInCalmWorld(program, 1, Mistake::kErrorLeavesSiblingsAlone));
  };
  uint64_t seed = 1;
  while (!shows(MakeProgram(seed, Times::kEqual))) ++seed;
  const Node small = Shrink(MakeProgram(seed, Times::kEqual), shows);
  const std::string text = ToText(small);
  EXPECT_LE(std::count(text.begin(), text.end(), '\n'), 7) << text;
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
