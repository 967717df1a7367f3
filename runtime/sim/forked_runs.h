// ForkedRuns: makes runs one after the other in child processes, so that one that crashes or hangs is a result like any
// other. A child makes runs until one fails; the next child, a fork of the unspoilt parent, goes on behind it.
//
// What children write to stdout and stderr is caught, and kept for runs that fail. A failed GoogleTest expectation
// fails its run, where GoogleTest is linked.
//
// Thread-safety: a process with one thread: a fork takes only the calling one along.
// Errors:        no memory for a pipe, a file or a process: a check failure.
// Cost:          a fork for the first run and for each behind a failure: about a millisecond, several under sanitizers.
#ifndef GYRE_RUNTIME_SIM_FORKED_RUNS_H_
#define GYRE_RUNTIME_SIM_FORKED_RUNS_H_

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "gyre/runtime/sim/explorer_run.h"
#include "gyre/runtime/time.h"

namespace gyre::internal {

class ForkedRuns {
 public:
  using MakeRun = std::function<RunResult(size_t index, RunProgress& progress, const GiveUp& give_up)>;

  // `hang_limit`: real time that a run may take.
  ForkedRuns(MakeRun make_run, Duration hang_limit);
  ForkedRuns(const ForkedRuns&) = delete;
  ForkedRuns& operator=(const ForkedRuns&) = delete;
  ~ForkedRuns();

  // Runs `first` to `count` - 1, or up to the first that fails: the last of those given.
  std::vector<RunResult> RunUntilFailure(size_t first, size_t count);

 private:
  [[noreturn]] void BeChild(size_t first, size_t count, int to_parent);
  bool ReceiveResult(int from_child, RunResult& result, std::string& trouble);
  RunResult ResultOfDead(pid_t child, const std::string& trouble);
  std::string ReadOutput() const;

  const MakeRun make_run_;
  const int hang_limit_ms_;
  RunProgress* progress_;  // shared with the child
  int output_fd_;          // a file in memory that the child writes to
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_SIM_FORKED_RUNS_H_
