#include "gyre/bench/peers/asio_channel.h"

#include <asio.hpp>
#include <asio/experimental/channel.hpp>
#include <cstdlib>

namespace gyre::bench {
namespace {

using Executor = asio::io_context::executor_type;
using Channel = asio::experimental::basic_channel<Executor, asio::experimental::channel_traits<>, void(std::error_code, uint64_t)>;
constexpr asio::use_awaitable_t<Executor> kUseAwaitable{};

asio::awaitable<void, Executor> SendAll(Channel& channel, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) co_await channel.async_send(std::error_code(), i, kUseAwaitable);
}

asio::awaitable<void, Executor> ReceiveAll(Channel& channel, uint64_t count, uint64_t& sum) {
  for (uint64_t i = 0; i < count; ++i) sum += co_await channel.async_receive(kUseAwaitable);
}

}  // namespace

void AsioChannelExchange(uint64_t count, size_t capacity) {
  asio::io_context context(ASIO_CONCURRENCY_HINT_UNSAFE);
  Channel channel(context.get_executor(), capacity);
  uint64_t sum = 0;
  asio::co_spawn(context.get_executor(), SendAll(channel, count), asio::detached);
  asio::co_spawn(context.get_executor(), ReceiveAll(channel, count, sum), asio::detached);
  context.run();
  if (sum != count * (count - 1) / 2) std::abort();
}

}  // namespace gyre::bench
