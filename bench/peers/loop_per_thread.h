// ServeOnEachLoop: makes a server of several loops out of one that knows a single loop, by SO_REUSEPORT.
//
// Each thread has a listener of its own at the same port, and keeps what the kernel deals out to it. They share nothing
// else.
//
// Lifetime: returns when all of them have.
// Errors:   as EchoServer.
#ifndef GYRE_BENCH_PEERS_LOOP_PER_THREAD_H_
#define GYRE_BENCH_PEERS_LOOP_PER_THREAD_H_

#include <cstdint>
#include <functional>
#include <string_view>

#include "gyre/bench/peers/echo_server.h"

namespace gyre::bench {

// Where one loop is to listen, and whom it tells.
struct LoopPlace {
  int stop_fd = -1;
  std::uint16_t port = 0;  // 0: any; the first loop's choice is the others' port
  bool is_shared = false;  // other listeners will have the port too: ShareAddress before bind
  // To be called once, with the port, as soon as this loop would accept a connection.
  std::function<void(std::uint16_t port)> on_listening;
};

// Calls `serve`, which serves until `stop_fd` is readable, on the calling thread and one for each further loop.
void ServeOnEachLoop(const ServeRequest& request, void (*serve)(const LoopPlace& place));

// SO_REUSEPORT for the listener `fd` of the server called `server`.
void ShareAddress(std::string_view server, int fd);

}  // namespace gyre::bench

#endif  // GYRE_BENCH_PEERS_LOOP_PER_THREAD_H_
