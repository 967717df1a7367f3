// The echo server as Asio's own examples write it with callbacks: a session object that keeps itself alive.
//
// One thread for each io_context, so no locks (ASIO_CONCURRENCY_HINT_UNSAFE); the executor's own type rather than
// any_io_executor.
#include <asio.hpp>
#include <memory>
#include <utility>

#include "gyre/bench/peers/loop_per_thread.h"
#include "gyre/bench/peers/peers.h"

namespace gyre::bench {
namespace {

constexpr std::string_view kName = "asio_callback";

using Executor = asio::io_context::executor_type;
using Socket = asio::basic_stream_socket<asio::ip::tcp, Executor>;
using Acceptor = asio::basic_socket_acceptor<asio::ip::tcp, Executor>;
using StopWatch = asio::posix::basic_stream_descriptor<Executor>;

class Session : public std::enable_shared_from_this<Session> {
 public:
  explicit Session(Socket socket) : socket_(std::move(socket)) {}

  void Read() {
    socket_.async_read_some(asio::buffer(buffer_.get(), kReadBytes),
                            [self = shared_from_this()](std::error_code error, std::size_t got) {
                              if (!error) self->Write(got);
                            });
  }

 private:
  void Write(std::size_t bytes) {
    asio::async_write(socket_, asio::buffer(buffer_.get(), bytes),
                      [self = shared_from_this()](std::error_code error, std::size_t) {
                        if (!error) self->Read();
                      });
  }

  Socket socket_;
  const std::unique_ptr<char[]> buffer_ = std::make_unique_for_overwrite<char[]>(kReadBytes);
};

void AcceptNext(Acceptor& acceptor) {
  acceptor.async_accept([&acceptor](std::error_code error, Socket socket) {
    if (error == asio::error::operation_aborted) return;
    if (error) ServerFailed(kName, "accept", error.message());
    socket.set_option(asio::ip::tcp::no_delay(true));
    std::make_shared<Session>(std::move(socket))->Read();
    AcceptNext(acceptor);
  });
}

void ServeOneLoop(const LoopPlace& place) try {
  asio::io_context context(ASIO_CONCURRENCY_HINT_UNSAFE);
  Acceptor acceptor(context.get_executor());
  acceptor.open(asio::ip::tcp::v4());
  if (place.is_shared) ShareAddress(kName, acceptor.native_handle());
  acceptor.bind({asio::ip::address_v4::loopback(), place.port});
  acceptor.listen(kListenBacklog);
  StopWatch stop(context.get_executor(), place.stop_fd);
  stop.async_wait(StopWatch::wait_read, [&context](std::error_code) { context.stop(); });
  AcceptNext(acceptor);
  place.on_listening(acceptor.local_endpoint().port());
  context.run();
  stop.release();
} catch (const std::exception& failure) {
  ServerFailed(kName, "asio", failure.what());
}

}  // namespace

void RunAsioCallbackEcho(const ServeRequest& request) { ServeOnEachLoop(request, &ServeOneLoop); }

}  // namespace gyre::bench
