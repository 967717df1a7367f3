// The two ways in which the load generator does its I/O: epoll, and io_uring where the kernel lets us.
//
// A load generator on epoll spends as much on a message as a server on epoll does, so with one core each a server that
// is faster than that would be held back by its load. The io_uring one is cheaper, so it is taken wherever it works.
//
// Errors: as GenerateLoad. The sockets stay the caller's.
#ifndef GYRE_BENCH_LOAD_ENGINE_H_
#define GYRE_BENCH_LOAD_ENGINE_H_

#include <span>

#include "absl/status/status.h"
#include "gyre/bench/load_stream.h"

namespace gyre::bench {

// Runs `session` to its end over `sockets`, connected and non-blocking, one for each of its streams.
absl::Status DriveWithEpoll(LoadSession& session, std::span<const int> sockets);
absl::Status DriveWithUring(LoadSession& session, std::span<const int> sockets);

// Whether this kernel lets us do the second.
bool UringWorks();

// A server that says nothing for this long has failed.
inline constexpr int kSilenceMsMax = 10'000;
absl::Status SilenceError();

}  // namespace gyre::bench

#endif  // GYRE_BENCH_LOAD_ENGINE_H_
