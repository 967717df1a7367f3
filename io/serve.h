// Serve: accepts connections and runs a handler for each, until it is told to stop; then lets them finish for a while.
//
//   gyre::ServeReport report = co_await gyre::Try(co_await gyre::ServeUntilSignal(std::move(listener), Echo, 10s));
//   gyre::ServeReport report = co_await gyre::Try(co_await gyre::Serve(std::move(listener), Echo, shutdown));
//
// Told to stop, it accepts what has been waiting for that (4096 connections at most, and no more where there is no
// descriptor or memory for one; what is left is reset), and closes the listener: new clients are refused.
// Connections that are open may go on until the grace time is over; then they are stopped and awaited. It ends as soon
// as the last one has, and reports.
//
// Serves that share a Shutdown are told together: nobody's connections are cut off before all have closed their listeners, and
// the grace time is over for all at once. Their reports add up.
//
// With a listener of a ListenerGroup, connections may come from, and go to, the other members' Serves. Each is served
// and reported by one. A Serve that is closing takes no more of them.
//
// Thread-safety: the listener's loop only.
// Lifetime:      takes the listener over and keeps the handler as long as a connection; the TcpStream is the handler's,
//                and is closed when that ends.
// Cancellation:  stops all at once, without grace.
// Errors:        a handler that ends with a bad status or an exception is counted, and told to the options' on_error;
//                it ends nobody else. A shortage of descriptors leaves clients waiting (see TcpListener). The
//                listener's own error, or that of `until`, stops the connections and is what the await gives. Other Serves
//                of its Shutdown go on, unless whoever runs them ends them, as Runtime::RunOnEveryLoop does. An empty handler
//                is a check failure, at the call.
// Units:         the grace time may be 0 (stop at once) or kForever.
// Cost:          a task for each connection, and a getpeername to name it by. What a connection holds is the handler's
//                business: one that awaits Send before it receives again holds one leased buffer at most, also when its
//                peer never reads.
#ifndef GYRE_IO_SERVE_H_
#define GYRE_IO_SERVE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gyre/io/endpoint.h"
#include "gyre/io/tcp_listener.h"
#include "gyre/io/tcp_stream.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/shutdown.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/time.h"

namespace gyre {

using ConnectionHandler = std::function<Task<absl::Status>(TcpStream)>;

// A connection that was still open when the grace time was over.
class LateConnection {
 public:
  LateConnection() {}

  Endpoint peer;              // 0.0.0.0:0 if it was gone already when it was accepted
  size_t loop = 0;            // the number of its loop in its Runtime
  bool is_lingering = false;  // it had not ended a second after it was stopped

  // "127.0.0.1:50312 on loop 2", and ", still there 1 s after its stop" if it was.
  std::string ToString() const;
};

// How the connections ended; each counts once in the first three.
class ServeReport {
 public:
  ServeReport() {}

  static constexpr size_t kLateMax = 16;

  uint64_t served = 0;       // their handler ended well
  uint64_t failed = 0;       // ... with an error
  uint64_t cut_off = 0;      // still open when the grace time was over
  uint64_t lingering = 0;    // of these: had not ended a second after they were stopped. Logged at that moment
  uint64_t handed_over = 0;  // accepted here, but served and counted by another member of the group

  std::vector<LateConnection> late;  // of those cut off, kLateMax at most

  ServeReport& operator+=(const ServeReport& other);
  // "3 served, 1 cut off", and ", 2 failed" if any did.
  std::string ToString() const;
};

class ServeOptions {
 public:
  ServeOptions() {}

  // Called on the loop for each connection that fails.
  ServeOptions& set_on_error(OnChildError on_error) {
    on_error_ = std::move(on_error);
    return *this;
  }
  const OnChildError& on_error() const { return on_error_; }

 private:
  OnChildError on_error_;
};

// Serves until `shutdown` is requested, and drains in its grace time. One that begins later takes what waits, closes and
// drains at once.
Task<absl::StatusOr<ServeReport>> Serve(TcpListener listener, ConnectionHandler handler, Shutdown shutdown,
                                        ServeOptions options = ServeOptions());

// Serves until SIGTERM or SIGINT, which it watches from the call on: before the task is awaited. A second one ends the
// grace time; then it watches no more. For several loops, see ShutdownOnSignal.
Task<absl::StatusOr<ServeReport>> ServeUntilSignal(TcpListener listener, ConnectionHandler handler, Duration grace,
                                                   ServeOptions options = ServeOptions());

namespace internal {

Task<absl::StatusOr<ServeReport>> ServeUntil(TcpListener listener, ConnectionHandler handler, Duration grace,
                                             Task<> until, ServeOptions options);

template <Awaitable A>
Task<> WithoutResult(A awaitable) {
  static_cast<void>(co_await std::move(awaitable));
}

}  // namespace internal

// Serves until `until` (any awaitable) ends, with a grace time of its own; its result, unless an exception, is nobody's.
template <internal::Awaitable Until>
Task<absl::StatusOr<ServeReport>> Serve(TcpListener listener, ConnectionHandler handler, Duration grace, Until until,
                                        ServeOptions options = ServeOptions()) {
  return internal::ServeUntil(std::move(listener), std::move(handler), grace,
                              internal::WithoutResult(std::move(until)), std::move(options));
}

}  // namespace gyre

#endif  // GYRE_IO_SERVE_H_
