// The echo server as a libuv user writes it: uv_read_start, uv_try_write first, uv_write for what is left.
//
// One read buffer serves all connections, because a read callback follows its allocation at once. A connection whose
// write had to be queued reads no further until it is done.
#include <netinet/in.h>
#include <uv.h>

#include <algorithm>
#include <memory>

#include "gyre/bench/peers/loop_per_thread.h"
#include "gyre/bench/peers/peers.h"

namespace gyre::bench {
namespace {

constexpr std::string_view kName = "libuv";

void Check(int result, std::string_view what) {
  if (result < 0) ServerFailed(kName, what, uv_strerror(result));
}

struct Connection {
  uv_tcp_t socket;
};

struct QueuedWrite {
  uv_write_t request;
  std::unique_ptr<char[]> bytes;
};

class LibuvEcho {
 public:
  explicit LibuvEcho(const LoopPlace& place) {
    Check(uv_loop_init(&loop_), "uv_loop_init");
    loop_.data = this;
    Check(uv_poll_init(&loop_, &stop_, place.stop_fd), "uv_poll_init");
    Check(uv_poll_start(&stop_, UV_READABLE, &OnStop), "uv_poll_start");
    Check(uv_tcp_init_ex(&loop_, &listener_, AF_INET), "uv_tcp_init_ex");
    if (place.is_shared) ShareAddress(kName, Socket());
    sockaddr_in address{};
    Check(uv_ip4_addr("127.0.0.1", place.port, &address), "uv_ip4_addr");
    Check(uv_tcp_bind(&listener_, reinterpret_cast<const sockaddr*>(&address), 0), "uv_tcp_bind");
    Check(uv_listen(AsStream(&listener_), kListenBacklog, &OnConnection), "uv_listen");
  }
  LibuvEcho(const LibuvEcho&) = delete;
  LibuvEcho& operator=(const LibuvEcho&) = delete;
  ~LibuvEcho() { Check(uv_loop_close(&loop_), "uv_loop_close"); }

  std::uint16_t Port() const {
    sockaddr_in address{};
    int bytes = sizeof(address);
    Check(uv_tcp_getsockname(&listener_, reinterpret_cast<sockaddr*>(&address), &bytes), "uv_tcp_getsockname");
    return ntohs(address.sin_port);
  }

  void Serve() { uv_run(&loop_, UV_RUN_DEFAULT); }

 private:
  // The listener's, which uv_tcp_init_ex has made.
  int Socket() const {
    uv_os_fd_t fd = -1;
    Check(uv_fileno(reinterpret_cast<const uv_handle_t*>(&listener_), &fd), "uv_fileno");
    return fd;
  }

  static uv_stream_t* AsStream(uv_tcp_t* tcp) { return reinterpret_cast<uv_stream_t*>(tcp); }

  static LibuvEcho* Of(const uv_handle_t* handle) { return static_cast<LibuvEcho*>(handle->loop->data); }

  static void OnConnection(uv_stream_t* listener, int status) {
    Check(status, "accept");
    auto* connection = new Connection;
    Check(uv_tcp_init(listener->loop, &connection->socket), "uv_tcp_init");
    connection->socket.data = connection;
    Check(uv_accept(listener, AsStream(&connection->socket)), "uv_accept");
    Check(uv_tcp_nodelay(&connection->socket, 1), "uv_tcp_nodelay");
    Check(uv_read_start(AsStream(&connection->socket), &OnAllocate, &OnRead), "uv_read_start");
  }

  static void OnAllocate(uv_handle_t* handle, std::size_t, uv_buf_t* buffer) {
    *buffer = uv_buf_init(Of(handle)->buffer_.get(), kReadBytes);
  }

  static void OnRead(uv_stream_t* stream, ssize_t got, const uv_buf_t* buffer) {
    if (got == 0) return;  // nothing there after all
    if (got < 0) return Close(stream);
    uv_buf_t chunk = uv_buf_init(buffer->base, static_cast<unsigned>(got));
    int sent = uv_try_write(stream, &chunk, 1);
    if (sent == UV_EAGAIN) sent = 0;
    if (sent < 0) return Close(stream);
    if (sent < got) QueueRest(stream, chunk.base + sent, got - sent);
  }

  static void QueueRest(uv_stream_t* stream, const char* bytes, std::size_t size) {
    auto* write = new QueuedWrite{{}, std::make_unique_for_overwrite<char[]>(size)};
    std::copy(bytes, bytes + size, write->bytes.get());
    write->request.data = write;
    uv_read_stop(stream);
    uv_buf_t rest = uv_buf_init(write->bytes.get(), static_cast<unsigned>(size));
    Check(uv_write(&write->request, stream, &rest, 1, &OnWritten), "uv_write");
  }

  static void OnWritten(uv_write_t* request, int status) {
    uv_stream_t* stream = request->handle;
    delete static_cast<QueuedWrite*>(request->data);
    if (uv_is_closing(reinterpret_cast<uv_handle_t*>(stream))) return;
    if (status < 0) return Close(stream);
    Check(uv_read_start(stream, &OnAllocate, &OnRead), "uv_read_start");
  }

  static void Close(uv_stream_t* stream) { CloseHandle(reinterpret_cast<uv_handle_t*>(stream), nullptr); }

  // Ends `handle`, if it is not ending yet; a connection is freed when libuv has let go of it.
  static void CloseHandle(uv_handle_t* handle, void*) {
    if (uv_is_closing(handle)) return;
    uv_close(handle, [](uv_handle_t* closed) { delete static_cast<Connection*>(closed->data); });
  }

  static void OnStop(uv_poll_t* stop, int, int) { uv_walk(stop->loop, &CloseHandle, nullptr); }

  uv_loop_t loop_;
  uv_poll_t stop_{};  // data stays null, as does the listener's: nothing to free when they close
  uv_tcp_t listener_{};
  const std::unique_ptr<char[]> buffer_ = std::make_unique_for_overwrite<char[]>(kReadBytes);
};

void ServeOneLoop(const LoopPlace& place) {
  LibuvEcho server(place);
  place.on_listening(server.Port());
  server.Serve();
}

}  // namespace

void RunLibuvEcho(const ServeRequest& request) { ServeOnEachLoop(request, &ServeOneLoop); }

}  // namespace gyre::bench
