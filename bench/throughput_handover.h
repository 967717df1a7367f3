// CompareHandover: times one handover on gyre and its peers, in rounds of alternating order, and prints a table of it.
//
// How many operations make up a round is found for each peer beforehand, so that all are measured for about equally
// long; a million at most. Ratios are taken within a round; medians and quartiles over the rounds are printed.
//
// Errors: an operation that did not run fails the comparison, and no table is printed.
// Units:  CPU time is that of all threads of the process: pools that wait without sleeping show there.
#ifndef GYRE_BENCH_THROUGHPUT_HANDOVER_H_
#define GYRE_BENCH_THROUGHPUT_HANDOVER_H_

#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "gyre/bench/peers/handover.h"
#include "gyre/runtime/time.h"

namespace gyre::bench {

struct HandoverOptions {
  int rounds = 5;
  Duration window = std::chrono::milliseconds(100);  // of one peer in one round
  bool is_self_check = false;                        // the yardstick once more, as if it were another
};

absl::Status CompareHandover(const Handover& handover, const HandoverOptions& options, std::ostream& out);

// A line that says where the threads run.
std::string DescribeHandoverPlacement();

}  // namespace gyre::bench

#endif  // GYRE_BENCH_THROUGHPUT_HANDOVER_H_
