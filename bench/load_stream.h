// LoadStream and LoadSession: what the load generator knows about its connections, whichever way it does its I/O.
//
// Thread-safety: one thread.
// Cost:          no allocation after construction.
#ifndef GYRE_BENCH_LOAD_STREAM_H_
#define GYRE_BENCH_LOAD_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "gyre/bench/load_generator.h"
#include "gyre/runtime/time.h"

namespace gyre::bench {

// The bytes that connections carry: a fixed random sequence that repeats with a prime period, so that a byte which is
// lost, doubled or swapped shows, while a stream of any length needs no storage of its own.
class Pattern {
 public:
  // `run_max`: the longest piece that At() is asked for.
  explicit Pattern(std::size_t run_max);

  std::span<const char> At(std::uint64_t offset, std::size_t bytes) const {
    return {bytes_.data() + offset % kPeriod, bytes};
  }

 private:
  static constexpr std::size_t kPeriod = 4093;
  std::vector<char> bytes_;
};

// One connection's ledger: how much of its stream was planned, handed to the kernel and received.
class LoadStream {
 public:
  LoadStream(const LoadOptions& options, int number)
      : message_bytes_(options.message_bytes), salt_(number * 131), started_at_(options.depth) {}

  std::uint64_t unsent_bytes() const { return planned_messages_ * message_bytes_ - sent_bytes_; }
  bool is_whole() const { return received_bytes_ == sent_bytes_ && unsent_bytes() == 0; }

 private:
  friend class LoadSession;

  const std::uint64_t message_bytes_;
  const std::uint64_t salt_;  // where in the pattern this connection's stream begins
  std::uint64_t planned_messages_ = 0;
  std::uint64_t sent_bytes_ = 0;
  std::uint64_t received_bytes_ = 0;
  std::uint64_t received_messages_ = 0;
  std::vector<TimePoint> started_at_;  // of the outstanding messages, a ring
};

// The load as a whole: warm-up, window and drain, over all streams.
class LoadSession {
 public:
  LoadSession(const LoadOptions& options, const WindowHooks& hooks);
  LoadSession(const LoadSession&) = delete;
  LoadSession& operator=(const LoadSession&) = delete;

  int connections() const { return static_cast<int>(streams_.size()); }
  LoadStream& stream(int number) { return streams_[number]; }

  // The most that can be outstanding on one connection.
  std::size_t round_bytes() const { return static_cast<std::size_t>(options_.message_bytes) * options_.depth; }

  // Starts the clock and plans each connection's first `depth` messages.
  void Start(TimePoint now);

  // What is to be sent next on `stream`; empty if nothing is.
  std::span<const char> Unsent(const LoadStream& stream) const;
  void Sent(LoadStream& stream, std::size_t bytes) { stream.sent_bytes_ += bytes; }

  // `bytes` arrived: counts the messages that are now whole and plans as many new ones.
  absl::Status Received(LoadStream& stream, std::span<const char> bytes, TimePoint now);

  // True when the window is over and all that was outstanding has come back.
  bool IsDone() const { return phase_ == Phase::kDraining && outstanding_messages_ == 0; }

  const LoadResult& result() const { return result_; }

 private:
  // kWarmingUp and kMeasuring last until their time is up (Received leaves them); kDraining is the last.
  enum class Phase { kWarmingUp, kMeasuring, kDraining };

  void Plan(LoadStream& stream, std::uint64_t messages, TimePoint now);
  void EnterNextPhase(TimePoint now);

  const LoadOptions options_;
  const WindowHooks hooks_;
  const Pattern pattern_;
  std::vector<LoadStream> streams_;
  Phase phase_ = Phase::kWarmingUp;
  TimePoint phase_ends_at_{};
  TimePoint window_started_at_{};
  Duration cpu_at_start_{};
  std::uint64_t outstanding_messages_ = 0;
  LoadResult result_;
};

}  // namespace gyre::bench

#endif  // GYRE_BENCH_LOAD_STREAM_H_
