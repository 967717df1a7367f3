#include "gyre/bench/peers/handover.h"
#include "gyre/bench/peers/handover_peers.h"

// Debian's oneTBB is not built for the thread sanitizer, which would take each job that it passes on for a race.
#if defined(__SANITIZE_THREAD__)
#define GYRE_INTERNAL_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define GYRE_INTERNAL_TSAN 1
#endif
#endif

namespace gyre::bench {
namespace {

constexpr std::string_view kRawLoop = "raw_epoll";

constexpr HandoverPeer kCalls[] = {{"gyre", &RunGyreCalls}, {kRawLoop, &RunRawCalls}, {"asio", &RunAsioCalls}};
constexpr HandoverPeer kMessages[] = {
    {"gyre", &RunGyreMessages}, {kRawLoop, &RunRawMessages}, {"asio", &RunAsioMessages}};
#ifndef GYRE_INTERNAL_TSAN
constexpr std::string_view kRawPool = "raw_tbb";
constexpr HandoverPeer kOffload[] = {{"gyre", &RunGyreOffload}, {kRawPool, &RunRawOffload}, {"asio", &RunAsioOffload}};
#endif

constexpr Handover kHandovers[] = {
    {"call", "a call to another loop and its answer, one at a time", 1, 2, kCalls, kRawLoop},
    {"call_x100", "calls to another loop and their answers, 100 at once", 100, 2, kCalls, kRawLoop},
    {"message", "messages to another loop, one way, until all have run", 1, 2, kMessages, kRawLoop},
#ifndef GYRE_INTERNAL_TSAN
    {"offload", "an empty job on a pool and back, one at a time", 1, 1, kOffload, kRawPool},
    {"offload_x1000", "tiny jobs on a pool and back, 1000 at once", 1000, 1, kOffload, kRawPool},
#endif
};

}  // namespace

std::span<const Handover> AllHandovers() { return kHandovers; }

}  // namespace gyre::bench
