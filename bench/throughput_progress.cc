#include "gyre/bench/throughput_progress.h"

#include <unistd.h>

#include <cstdio>

#include "absl/strings/str_cat.h"

namespace gyre::bench {

Progress::Progress(int steps) : steps_(steps), is_terminal_(isatty(STDERR_FILENO) == 1) {}

void Progress::Step(const std::string& what) {
  ++done_;
  const std::string place = steps_ > 0 ? absl::StrCat("[", done_, "/", steps_, "] ") : absl::StrCat("[", done_, "] ");
  const std::string line = is_terminal_ ? absl::StrCat("\r\x1b[K", place, what) : absl::StrCat(place, what, "\n");
  std::fputs(line.c_str(), stderr);
  std::fflush(stderr);
}

void Progress::Clear() {
  if (is_terminal_) std::fputs("\r\x1b[K", stderr);
}

}  // namespace gyre::bench
