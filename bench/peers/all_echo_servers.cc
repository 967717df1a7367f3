#include "gyre/bench/peers/echo_server.h"
#include "gyre/bench/peers/peers.h"

namespace gyre::bench {
namespace {

constexpr EchoServer kServers[] = {
    {"gyre", &RunGyreEcho},
    {kYardstick, &RunRawEpollEcho},
    {"asio_coroutine", &RunAsioCoroutineEcho},
    {"asio_callback", &RunAsioCallbackEcho},
    {"asio_pool", &RunAsioPoolEcho, /*loops_min=*/2},
    {"libuv", &RunLibuvEcho},
};

}  // namespace

std::span<const EchoServer> AllEchoServers() { return kServers; }

}  // namespace gyre::bench
