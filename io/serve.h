// Serve: accepts connections and runs a handler for each, until it is told to stop; then lets them finish for a while.
//
//   gyre::ServeReport report = co_await gyre::Try(co_await gyre::ServeUntilSignal(std::move(listener), Echo, 10s));
//
// Told to stop, it accepts what has been waiting for that (4096 connections at most, and no more where there is no
// descriptor or memory for one; what is left is reset), and closes the listener: new clients are refused.
// Connections that are open may go on until the grace time is over; then they are stopped and awaited. It ends as soon
// as the last one has, and reports.
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
//                listener's own error, or that of `until`, stops the connections and is what the await gives.
// Units:         the grace time may be 0 (stop at once) or kForever.
// Cost:          a task for each connection. What a connection holds is the handler's business: one that awaits Send
//                before it receives again holds one leased buffer at most, also when its peer never reads.
#ifndef GYRE_IO_SERVE_H_
#define GYRE_IO_SERVE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gyre/io/tcp_listener.h"
#include "gyre/io/tcp_stream.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/time.h"

namespace gyre {

using ConnectionHandler = std::function<Task<absl::Status>(TcpStream)>;

// How the connections ended; each counts once in the first three.
class ServeReport {
 public:
  ServeReport() {}

  uint64_t served = 0;       // their handler ended well
  uint64_t failed = 0;       // ... with an error
  uint64_t cut_off = 0;      // still open when the grace time was over
  uint64_t handed_over = 0;  // accepted here, but served and counted by another member of the group

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

// Serves until SIGTERM or SIGINT, which it watches from the call on: before the task is awaited.
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

// Serves until `until` (any awaitable) ends; its result, unless an exception, is nobody's.
template <internal::Awaitable Until>
Task<absl::StatusOr<ServeReport>> Serve(TcpListener listener, ConnectionHandler handler, Duration grace, Until until,
                                        ServeOptions options = ServeOptions()) {
  return internal::ServeUntil(std::move(listener), std::move(handler), grace,
                              internal::WithoutResult(std::move(until)), std::move(options));
}

}  // namespace gyre

#endif  // GYRE_IO_SERVE_H_
