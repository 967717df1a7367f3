// The echo server as an Asio user writes it with coroutines (use_awaitable).
//
// One thread, so no locks (ASIO_CONCURRENCY_HINT_UNSAFE); the executor's own type rather than any_io_executor; errors
// as error codes, so that a closed connection costs no exception.
#include <asio.hpp>
#include <memory>
#include <utility>

#include "gyre/bench/peers/peers.h"

namespace gyre::bench {
namespace {

constexpr std::string_view kName = "asio_coroutine";

using Executor = asio::io_context::executor_type;
using Socket = asio::basic_stream_socket<asio::ip::tcp, Executor>;
using Acceptor = asio::basic_socket_acceptor<asio::ip::tcp, Executor>;
using StopWatch = asio::posix::basic_stream_descriptor<Executor>;
constexpr asio::use_awaitable_t<Executor> kUseAwaitable{};

asio::awaitable<void, Executor> Echo(Socket socket) {
  const auto buffer = std::make_unique_for_overwrite<char[]>(kReadBytes);
  std::error_code error;
  for (;;) {
    const std::size_t got = co_await socket.async_read_some(asio::buffer(buffer.get(), kReadBytes),
                                                            asio::redirect_error(kUseAwaitable, error));
    if (error) co_return;
    co_await asio::async_write(socket, asio::buffer(buffer.get(), got), asio::redirect_error(kUseAwaitable, error));
    if (error) co_return;
  }
}

asio::awaitable<void, Executor> AcceptForever(Acceptor& acceptor) {
  for (;;) {
    std::error_code error;
    Socket socket = co_await acceptor.async_accept(asio::redirect_error(kUseAwaitable, error));
    if (error) ServerFailed(kName, "accept", error.message());
    socket.set_option(asio::ip::tcp::no_delay(true));
    asio::co_spawn(acceptor.get_executor(), Echo(std::move(socket)), asio::detached);
  }
}

}  // namespace

void RunAsioCoroutineEcho(int stop_fd, std::function<void(std::uint16_t)> on_listening, ServerCounters*) try {
  asio::io_context context(ASIO_CONCURRENCY_HINT_UNSAFE);
  Acceptor acceptor(context.get_executor());
  acceptor.open(asio::ip::tcp::v4());
  acceptor.bind({asio::ip::address_v4::loopback(), 0});
  acceptor.listen(kListenBacklog);
  StopWatch stop(context.get_executor(), stop_fd);
  stop.async_wait(StopWatch::wait_read, [&context](std::error_code) { context.stop(); });
  asio::co_spawn(context.get_executor(), AcceptForever(acceptor), asio::detached);
  on_listening(acceptor.local_endpoint().port());
  context.run();
  stop.release();
} catch (const std::exception& failure) {
  ServerFailed(kName, "asio", failure.what());
}

}  // namespace gyre::bench
