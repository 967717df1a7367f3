// Where the threads of a benchmark run.
//
// Thread-safety: UsableCpus is called once, by main, before anything is pinned; then from any thread.
// Errors:        pinning is best effort: with a CPU that was taken offline since, the figures say so themselves.
#ifndef GYRE_BENCH_CPUS_H_
#define GYRE_BENCH_CPUS_H_

#include <span>

namespace gyre::bench {

// Those that this process might use when this was first called, in ascending order.
std::span<const int> UsableCpus();

// The calling thread, and those that it starts, run on one of `cpus` from now on; on any usable one if that is empty.
void RunOnlyOn(std::span<const int> cpus);

}  // namespace gyre::bench

#endif  // GYRE_BENCH_CPUS_H_
