// GenerateLoad: drives one TCP echo server from the calling thread and measures what comes back.
//
// Every connection keeps `depth` messages outstanding: each message that comes back whole is replaced at once, those
// that come back together in one send. The echo must return every byte, which is counted on each connection, and
// after the window all that is outstanding must come back; with `verify_contents` each byte is compared as well.
//
// Thread-safety: everything happens on the calling thread.
// Errors:        the first connection that breaks, falls silent or returns a wrong byte fails the whole load.
// Units:         latency runs from just before a message is handed to the kernel to just after its last byte is read.
// Cost:          nothing is allocated after the connections are set up.
#ifndef GYRE_BENCH_LOAD_GENERATOR_H_
#define GYRE_BENCH_LOAD_GENERATOR_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gyre/bench/latency_histogram.h"
#include "gyre/runtime/time.h"

namespace gyre::bench {

// How the load generator itself does its I/O (see load_engine.h). kUring needs kernel 6.1.
enum class LoadIo { kEpoll, kUring };

// The cheaper of those that work here, so that the load does not hold back what it measures.
LoadIo CheapestLoadIo();

struct LoadOptions {
  int connections = 1;
  int message_bytes = 64;
  int depth = 1;
  Duration warmup = std::chrono::milliseconds(100);  // not measured
  Duration window = std::chrono::milliseconds(800);
  bool verify_contents = false;
  LoadIo io = LoadIo::kEpoll;
};

struct LoadResult {
  std::uint64_t messages = 0;  // that came back within the window
  Duration elapsed{};          // the window as it turned out
  Duration cpu{};              // what the load generator itself used of it
  LatencyHistogram latency;
};

// Called at the two ends of the measured window, on the calling thread.
struct WindowHooks {
  std::function<void()> at_start;
  std::function<void()> at_end;
};

// `port` is on 127.0.0.1.
absl::StatusOr<LoadResult> GenerateLoad(std::uint16_t port, const LoadOptions& options, const WindowHooks& hooks);

}  // namespace gyre::bench

#endif  // GYRE_BENCH_LOAD_GENERATOR_H_
