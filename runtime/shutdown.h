// Shutdown: the end of a program as one act on all its loops: a request, a grace time that all share, then the stop.
//
//   gyre::Shutdown shutdown(/*grace=*/10s);
//   runtime.RunOnEveryLoop([&](size_t loop) -> gyre::Task<absl::Status> {
//     ...
//     reports[loop] = co_await gyre::Try(co_await gyre::Serve(std::move(listener), Echo, shutdown));
//   });
//   shutdown.Request("out of disk");   // by any thread, at any time; for SIGTERM and SIGINT see ShutdownOnSignal
//
// It has three steps. Each is taken once, for all loops together:
//   1. The request. Requested() ends: whoever lets work in stops doing so, and closes its Intake.
//   2. The grace time. What is under way may go on until deadline(), which is the same for all.
//   3. The cut. GraceOver() ends, when the grace time is over and every Intake is closed: nobody is cut off while another
//      loop still accepts. Whoever has work left stops it.
//
// Work that is no Serve takes part by looking, or by waiting:
//
//   while (!shutdown.requested()) co_await NextPiece();                        // ends by itself, at a place that it chooses
//   auto race = co_await gyre::WhenAny(Work(), shutdown.GraceOver());          // is stopped when the grace time is over
//   gyre::Offload([token = shutdown.stop_token()] { ... });                    // on another thread
//
// A loop that is stuck holds up its own connections and nobody else's: an Intake that is open a second after the grace time
// is logged and waited for no longer. The runtime waits for the loop itself.
//
// Thread-safety: any thread, but not a signal handler; Requested and GraceOver on any loops, as many as you like.
// Lifetime:      a handle: copies refer to the same shutdown, which lives as long as one of them and depends on no loop. A
//                request may come before a loop has begun (what begins later finds it) and after all have ended (nobody
//                hears of it). For one shutdown: there is no way back.
// Cancellation:  Requested and GraceOver end at once when stopped. The shutdown itself stops nobody: those who take part do.
// Errors:        none. Only the first Request counts, with its reason and time; later ones change nothing.
// Units:         a grace time of 0 cuts off as soon as nobody accepts; with kForever only CutShort does. The time is that of the
//                loop which requests; of a request from outside all loops, the steady clock's, or in a simulation that of the first
//                loop that hears of it.
// Cost:          one allocation. A request is a message to each loop that waits.
#ifndef GYRE_RUNTIME_SHUTDOWN_H_
#define GYRE_RUNTIME_SHUTDOWN_H_

#include <memory>
#include <stop_token>
#include <utility>

#include "gyre/runtime/stop_reason.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/time.h"

namespace gyre {
namespace internal {
class ShutdownState;
}

class Shutdown {
 public:
  class Intake;

  explicit Shutdown(Duration grace);

  // Begins. True for the first call.
  bool Request(StopReason reason = StopReason()) const noexcept;
  // Ends the grace time now; begins first, if nobody has. True unless the grace time was over: by an earlier call, or because
  // its deadline has passed, whether anybody has waited for that or not.
  bool CutShort(StopReason reason = StopReason()) const noexcept;

  bool requested() const;
  // Of the call that began; blank before.
  StopReason reason() const;
  // When the grace time is over; kNever before the request.
  TimePoint deadline() const;
  // Set by the request, which runs its callbacks on the requesting thread, after the loops have been told.
  std::stop_token stop_token() const;

  // Waits for the request.
  Task<> Requested() const;
  // Waits for the cut.
  Task<> GraceOver() const;

 private:
  std::shared_ptr<internal::ShutdownState> state_;
};

// Something that lets new work in, such as a listener: while one is open, nobody is cut off.
//
//   gyre::Shutdown::Intake intake(shutdown);
//   co_await shutdown.Requested();
//   listener.Close();
//   intake.Close();
//
// Thread-safety: any thread, one at a time.
class [[nodiscard]] Shutdown::Intake {
 public:
  explicit Intake(const Shutdown& shutdown);
  Intake(Intake&& other) noexcept : state_(std::move(other.state_)) {}
  Intake& operator=(Intake&& other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~Intake() { Close(); }

  // Idempotent.
  void Close() noexcept;

 private:
  std::shared_ptr<internal::ShutdownState> state_;  // null once closed
};

}  // namespace gyre

#endif  // GYRE_RUNTIME_SHUTDOWN_H_
