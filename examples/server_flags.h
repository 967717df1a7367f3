// ServerFlags: the command line of the example servers.
//
// Errors: ParseServerFlags: kInvalidArgument, one line that says what was expected.
#ifndef GYRE_EXAMPLES_SERVER_FLAGS_H_
#define GYRE_EXAMPLES_SERVER_FLAGS_H_

#include <string_view>

#include "absl/status/statusor.h"
#include "gyre/gyre.h"

namespace examples {

struct ServerFlags {
  bool help = false;
  gyre::Endpoint where = gyre::Endpoint::Loopback(7777);
  int loops = 1;
  gyre::RunOptions run_options;
  gyre::Duration grace = std::chrono::seconds(10);
};

// One line for each flag, for --help.
inline constexpr std::string_view kServerFlagsHelp =
    "  --address ADDRESS  where to listen (127.0.0.1)\n"
    "  --port PORT        0: any free one (7777)\n"
    "  --loops COUNT      event loops, each with a thread and a listener of its own (1)\n"
    "  --backend NAME     auto, epoll or io_uring (auto: GYRE_BACKEND, or else the best that works)\n"
    "  --grace DURATION   how long open connections may go on after SIGTERM (10s)\n";

// Takes "--name VALUE" and "--name=VALUE".
absl::StatusOr<ServerFlags> ParseServerFlags(int argc, const char* const* argv);

}  // namespace examples

#endif  // GYRE_EXAMPLES_SERVER_FLAGS_H_
