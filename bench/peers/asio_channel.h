// What Asio's experimental channel takes for the same exchange as sync_bench's.
#ifndef GYRE_BENCH_PEERS_ASIO_CHANNEL_H_
#define GYRE_BENCH_PEERS_ASIO_CHANNEL_H_

#include <cstddef>
#include <cstdint>

namespace gyre::bench {

// Runs a sender and a receiver of `count` items on one io_context, with a channel of `capacity`.
void AsioChannelExchange(uint64_t count, size_t capacity);

}  // namespace gyre::bench

#endif  // GYRE_BENCH_PEERS_ASIO_CHANNEL_H_
