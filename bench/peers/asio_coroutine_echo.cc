// The echo server as an Asio user writes it with coroutines (use_awaitable).
//
// asio_coroutine: an io_context for each loop with one thread each, so no locks (ASIO_CONCURRENCY_HINT_UNSAFE).
// asio_pool: one io_context that several threads run; a connection's coroutine resumes on whichever is free.
// Both: the executor's own type rather than any_io_executor; errors as error codes, so that a closed connection costs
// no exception.
#include <asio.hpp>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "gyre/bench/cpus.h"
#include "gyre/bench/peers/loop_per_thread.h"
#include "gyre/bench/peers/peers.h"

namespace gyre::bench {
namespace {

constexpr std::string_view kName = "asio_coroutine";
constexpr std::string_view kPoolName = "asio_pool";

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
    if (error) ServerFailed("asio", "accept", error.message());
    socket.set_option(asio::ip::tcp::no_delay(true));
    asio::co_spawn(acceptor.get_executor(), Echo(std::move(socket)), asio::detached);
  }
}

// Serves at `place` with `run`, which runs the context until it is stopped.
template <class Run>
void Serve(asio::io_context& context, const LoopPlace& place, Run run) {
  Acceptor acceptor(context.get_executor());
  acceptor.open(asio::ip::tcp::v4());
  if (place.is_shared) ShareAddress(kName, acceptor.native_handle());
  acceptor.bind({asio::ip::address_v4::loopback(), place.port});
  acceptor.listen(kListenBacklog);
  StopWatch stop(context.get_executor(), place.stop_fd);
  stop.async_wait(StopWatch::wait_read, [&context](std::error_code) { context.stop(); });
  asio::co_spawn(context.get_executor(), AcceptForever(acceptor), asio::detached);
  place.on_listening(acceptor.local_endpoint().port());
  run();
  stop.release();
}

void ServeOneLoop(const LoopPlace& place) try {
  asio::io_context context(ASIO_CONCURRENCY_HINT_UNSAFE);
  Serve(context, place, [&context] { context.run(); });
} catch (const std::exception& failure) {
  ServerFailed(kName, "asio", failure.what());
}

// Runs `context` on the calling thread and others.
void RunOnThreads(asio::io_context& context, const ServeRequest& request) {
  const auto run = [&](int thread) {
    if (!request.cpus.empty()) RunOnlyOn(request.cpus.subspan(thread, 1));
    context.run();
  };
  std::vector<std::thread> others;
  for (int thread = 1; thread < request.loops; ++thread) others.emplace_back(run, thread);
  run(0);
  for (std::thread& other : others) other.join();
}

}  // namespace

void RunAsioCoroutineEcho(const ServeRequest& request) { ServeOnEachLoop(request, &ServeOneLoop); }

void RunAsioPoolEcho(const ServeRequest& request) try {
  asio::io_context context(request.loops);
  LoopPlace place;
  place.stop_fd = request.stop_fd;
  place.on_listening = request.on_listening;
  Serve(context, place, [&] { RunOnThreads(context, request); });
} catch (const std::exception& failure) {
  ServerFailed(kPoolName, "asio", failure.what());
}

}  // namespace gyre::bench
