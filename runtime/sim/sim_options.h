// SimOptions: what a simulated world does to its programs. Fields may be changed while the world runs.
//
// Every "one in n" is a chance of 1/n per occasion; 0 means never.
//
// Thread-safety: none; the simulation's thread.
// Units:         durations of virtual time, bytes.
#ifndef GYRE_RUNTIME_SIM_SIM_OPTIONS_H_
#define GYRE_RUNTIME_SIM_SIM_OPTIONS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "gyre/runtime/op.h"
#include "gyre/runtime/time.h"

namespace gyre::testing {

struct SimOptions {
  SimOptions() {}  // not an aggregate: gcc 12 breaks those as temporaries beside co_await

  // A polite world: a fixed latency, whole segments, operations that finish at once where they can. Order still is the
  // seed's unless `shuffle` is turned off too.
  static SimOptions Calm() {
    SimOptions calm;
    calm.shuffle = false;
    calm.latency_min = calm.latency_max = std::chrono::microseconds(50);
    calm.wake_latency_min = calm.wake_latency_max = Duration::zero();
    calm.job_delay_min = calm.job_delay_max = std::chrono::microseconds(50);
    calm.forced_suspension_one_in = calm.short_read_one_in = calm.short_write_one_in = calm.small_segment_one_in = 0;
    calm.run_ahead_one_in = calm.late_cancel_one_in = calm.in_place_completion_one_in = calm.spurious_wake_one_in = 0;
    return calm;
  }

  // The `nth` operation (from 1) with this opcode that the program submits fails with `error_number`, untried.
  SimOptions& Fail(Opcode opcode, uint64_t nth, int error_number) {
    failures.emplace_back(opcode, nth, error_number);
    return *this;
  }

  // --- order
  bool shuffle = true;                    // the ready queue, at each turn; and which loop has the next turn
  uint32_t forced_suspension_one_in = 4;  // an operation that could finish at once goes through the ready queue
  uint32_t in_place_completion_one_in =
      2;                               // a completion brings its result (io_uring's way) or a wish to try (epoll's)
  uint32_t spurious_wake_one_in = 16;  // a waiting operation is tried though nothing happened
  uint32_t run_ahead_one_in = 2;       // kAccept and kReceiveBuffer take items that nobody has asked for
  uint32_t late_cancel_one_in = 3;     // a cancel takes effect later, and may lose to a result

  // --- several loops
  Duration wake_latency_min = Duration::zero();  // from a message to a loop that sleeps, until it looks
  Duration wake_latency_max = std::chrono::microseconds(50);

  // --- network
  Duration latency_min = std::chrono::microseconds(50);
  Duration latency_max = std::chrono::milliseconds(5);
  uint32_t short_read_one_in = 4;
  uint32_t short_write_one_in = 4;
  uint32_t small_segment_one_in = 8;  // the others carry up to segment_bytes_max
  size_t segment_bytes_max = 64 * 1024;
  size_t send_buffer_bytes = 64 * 1024;  // accepted from a sender and not read by its peer yet
  uint32_t reset_one_in = 0;             // per segment: the connection breaks in the middle
  uint32_t first_listener_one_in = 0;    // of those that share an address; 1: the others get nothing
  bool is_blackhole = false;             // connection requests vanish
  Duration connect_timeout = std::chrono::seconds(127);

  // --- offloaded jobs: when they run, after their submission
  Duration job_delay_min = std::chrono::microseconds(20);
  Duration job_delay_max = std::chrono::milliseconds(5);
  uint32_t job_refused_one_in = 0;  // no thread can be had
  size_t jobs_max = 1024;           // more than that wait: the queue is full

  // --- resources
  size_t descriptors_max = 1024;

  // --- when nothing can happen any more
  bool check_deadlock = true;       // false: waits for another thread's Post
  uint64_t busy_turns_max = 20000;  // a loop's turns at one instant, after which time moves on although tasks are ready

  struct Failure {
    Failure(Opcode opcode, uint64_t nth, int error_number) : opcode(opcode), nth(nth), error_number(error_number) {}
    Opcode opcode;
    uint64_t nth;
    int error_number;
  };
  std::vector<Failure> failures;
};

}  // namespace gyre::testing

#endif  // GYRE_RUNTIME_SIM_SIM_OPTIONS_H_
