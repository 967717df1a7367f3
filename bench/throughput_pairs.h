// RunPairs: checks a claim about one load with rounds in alternating order.
//
// Each round measures raw_epoll and every other server once, and the next round goes through them backwards, so that a
// machine that gets slower or faster favours none. Ratios are taken within a round; the median and quartiles over the
// rounds are printed: against raw_epoll, and for each server of gyre's against every other.
//
// Errors: the first measurement that fails ends the comparison.
#ifndef GYRE_BENCH_THROUGHPUT_PAIRS_H_
#define GYRE_BENCH_THROUGHPUT_PAIRS_H_

#include <ostream>

#include "absl/status/status.h"
#include "gyre/bench/throughput_flags.h"

namespace gyre::bench {

absl::Status RunPairs(const Flags& flags, std::ostream& out);

}  // namespace gyre::bench

#endif  // GYRE_BENCH_THROUGHPUT_PAIRS_H_
