// Progress: says on stderr what is being measured; on a terminal in one line that is overwritten.
#ifndef GYRE_BENCH_THROUGHPUT_PROGRESS_H_
#define GYRE_BENCH_THROUGHPUT_PROGRESS_H_

#include <string>

namespace gyre::bench {

class Progress {
 public:
  // `steps` is 0 where nobody knows how many there will be.
  explicit Progress(int steps);

  void Step(const std::string& what);

  // Takes the line away before something else is printed, and at the end.
  void Clear();

 private:
  const int steps_;
  const bool is_terminal_;
  int done_ = 0;
};

}  // namespace gyre::bench

#endif  // GYRE_BENCH_THROUGHPUT_PROGRESS_H_
