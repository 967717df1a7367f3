#include "gyre/bench/load_stream.h"

#include <time.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "absl/strings/str_cat.h"
#include "gyre/runtime/check.h"

namespace gyre::bench {
namespace {

Duration OwnCpu() {
  timespec used{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

// No read or send is longer than this, so that the pattern stays small.
constexpr std::size_t kRunMax = 256 * 1024;

}  // namespace

Pattern::Pattern(std::size_t run_max) : bytes_(kPeriod + run_max) {
  std::mt19937 random(1);
  for (std::size_t i = 0; i < kPeriod; ++i) bytes_[i] = static_cast<char>(random());
  for (std::size_t i = kPeriod; i < bytes_.size(); ++i) bytes_[i] = bytes_[i - kPeriod];
}

LoadSession::LoadSession(const LoadOptions& options, const WindowHooks& hooks)
    : options_(options), hooks_(hooks), pattern_(kRunMax) {
  streams_.reserve(options.connections);
  for (int number = 0; number < options.connections; ++number) streams_.emplace_back(options, number);
}

void LoadSession::Start(TimePoint now) {
  phase_ends_at_ = now + options_.warmup;
  for (LoadStream& stream : streams_) Plan(stream, options_.depth, now);
}

std::span<const char> LoadSession::Unsent(const LoadStream& stream) const {
  const std::size_t bytes = std::min<std::uint64_t>(stream.unsent_bytes(), kRunMax);
  return pattern_.At(stream.salt_ + stream.sent_bytes_, bytes);
}

absl::Status LoadSession::Received(LoadStream& stream, std::span<const char> bytes, TimePoint now) {
  if (now >= phase_ends_at_) EnterNextPhase(now);
  if (stream.received_bytes_ + bytes.size() > stream.sent_bytes_) {
    return absl::DataLossError(absl::StrCat("more came back than was sent: ", stream.received_bytes_ + bytes.size(),
                                            " bytes of ", stream.sent_bytes_));
  }
  if (options_.verify_contents) {
    GYRE_CHECK(bytes.size() <= kRunMax, "a read is at most kRunMax bytes");
    const auto expected = pattern_.At(stream.salt_ + stream.received_bytes_, bytes.size());
    if (std::memcmp(expected.data(), bytes.data(), bytes.size()) != 0) {
      return absl::DataLossError(absl::StrCat("a wrong byte came back after byte ", stream.received_bytes_));
    }
  }
  stream.received_bytes_ += bytes.size();
  const std::uint64_t before = stream.received_messages_;
  while ((stream.received_messages_ + 1) * stream.message_bytes_ <= stream.received_bytes_) {
    const TimePoint started_at = stream.started_at_[stream.received_messages_ % stream.started_at_.size()];
    if (phase_ == Phase::kMeasuring) result_.latency.Add((now - started_at).count());
    ++stream.received_messages_;
  }
  const std::uint64_t whole = stream.received_messages_ - before;
  outstanding_messages_ -= whole;
  if (phase_ == Phase::kMeasuring) result_.messages += whole;
  if (phase_ != Phase::kDraining) Plan(stream, whole, now);
  return absl::OkStatus();
}

void LoadSession::Plan(LoadStream& stream, std::uint64_t messages, TimePoint now) {
  for (std::uint64_t i = 0; i < messages; ++i) {
    stream.started_at_[stream.planned_messages_ % stream.started_at_.size()] = now;
    ++stream.planned_messages_;
  }
  outstanding_messages_ += messages;
}

void LoadSession::EnterNextPhase(TimePoint now) {
  if (phase_ == Phase::kWarmingUp) {
    phase_ = Phase::kMeasuring;
    window_started_at_ = now;
    phase_ends_at_ = now + options_.window;
    cpu_at_start_ = OwnCpu();
    hooks_.at_start();
  } else if (phase_ == Phase::kMeasuring) {
    phase_ = Phase::kDraining;
    phase_ends_at_ = kNever;
    hooks_.at_end();
    result_.elapsed = now - window_started_at_;
    result_.cpu = OwnCpu() - cpu_at_start_;
  }
}

}  // namespace gyre::bench
