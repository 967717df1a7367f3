// Placement: which CPUs a server of so many loops and its load run on.
//
// Where there is a CPU for each loop and one more, each has its own, and the load generator the last. Elsewhere nothing
// is pinned: they share what there is, as the system sees fit, and the load takes time from the server.
#ifndef GYRE_BENCH_THROUGHPUT_PLACEMENT_H_
#define GYRE_BENCH_THROUGHPUT_PLACEMENT_H_

#include <span>
#include <string>

namespace gyre::bench {

struct Placement {
  std::span<const int> loops;  // one for each; empty: nothing is pinned
  std::span<const int> load;   // one, or empty

  bool is_pinned() const { return !loops.empty(); }
};

Placement PlaceFor(int loops);

// A line that says what PlaceFor does.
std::string DescribePlacement(int loops);

}  // namespace gyre::bench

#endif  // GYRE_BENCH_THROUGHPUT_PLACEMENT_H_
