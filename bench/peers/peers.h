// The servers that gyre is measured against; each is one file of this folder.
#ifndef GYRE_BENCH_PEERS_PEERS_H_
#define GYRE_BENCH_PEERS_PEERS_H_

#include <cstdint>
#include <functional>

#include "gyre/bench/peers/echo_server.h"

namespace gyre::bench {

void RunGyreEcho(int stop_fd, std::function<void(std::uint16_t)> on_listening, ServerCounters* counters);
void RunRawEpollEcho(int stop_fd, std::function<void(std::uint16_t)> on_listening, ServerCounters* counters);
void RunAsioCoroutineEcho(int stop_fd, std::function<void(std::uint16_t)> on_listening, ServerCounters* counters);
void RunAsioCallbackEcho(int stop_fd, std::function<void(std::uint16_t)> on_listening, ServerCounters* counters);
void RunLibuvEcho(int stop_fd, std::function<void(std::uint16_t)> on_listening, ServerCounters* counters);

}  // namespace gyre::bench

#endif  // GYRE_BENCH_PEERS_PEERS_H_
