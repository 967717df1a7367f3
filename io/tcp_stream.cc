#include "gyre/io/tcp_stream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <coroutine>

#include "gyre/io/internal/socket_address.h"
#include "gyre/runtime/check.h"
#include "gyre/runtime/errors.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/op.h"

namespace gyre {
namespace {

// Gives 0 or -errno. The descriptor and the address are the awaiter's.
class [[nodiscard]] ConnectOp final : public Op {
 public:
  ConnectOp(Descriptor& descriptor, const Endpoint& to) : Op(Opcode::kConnect, descriptor) {
    address = to.address();
    vector_count = static_cast<uint16_t>(to.length());
  }
  template <class P>
  bool await_suspend(std::coroutine_handle<P> awaiting) {
    return SubmitFrom(awaiting);
  }
  int await_resume() const { return result; }

 private:
  bool Undo() noexcept override { return true; }  // unwinding closes the descriptor
};

absl::Status ToStatus(int result, std::string_view what) {
  return result < 0 ? internal::StatusFromErrno(-result, what) : absl::OkStatus();
}

}  // namespace

Task<absl::StatusOr<TcpStream>> TcpStream::Connect(Endpoint to, TcpOptions options) {
  Backend& backend = Loop::Current().backend();
  Descriptor* descriptor = nullptr;
  int result = backend.OpenStream(to.family(), &descriptor);
  DescriptorHandle handle(descriptor);
  if (result == 0) result = internal::ApplyTcpOptions(*handle, options);
  if (result == 0) result = co_await ConnectOp(*handle, to);
  if (result < 0) co_return internal::StatusFromErrno(-result, "connect to " + to.ToString());
  co_return TcpStream(std::move(handle));
}

absl::StatusOr<TcpStream> TcpStream::Adopt(int fd) {
  Descriptor* descriptor = nullptr;
  const int result = Loop::Current().backend().Adopt(fd, &descriptor);
  if (result < 0) return internal::StatusFromErrno(-result, "adopt a connection");
  return TcpStream(DescriptorHandle(descriptor));
}

absl::StatusOr<TcpStream> TcpStream::Adopt(BareDescriptor&& released) {
  GYRE_CHECK(released, "TcpStream::Adopt was given a BareDescriptor that holds nothing");
  Descriptor* descriptor = nullptr;
  const int result = Loop::Current().backend().AdoptBare(released, &descriptor);
  if (result < 0) return internal::StatusFromErrno(-result, "adopt a connection");
  return TcpStream(DescriptorHandle(descriptor));
}

absl::Status TcpStream::ShutdownSend() {
  Descriptor& descriptor = internal::OpenDescriptor(handle_);
  return ToStatus(descriptor.backend()->Shutdown(descriptor, SHUT_WR), "shutdown");
}

absl::Status TcpStream::SetOption(int level, int name, int value) {
  Descriptor& descriptor = internal::OpenDescriptor(handle_);
  return ToStatus(descriptor.backend()->SetOption(descriptor, level, name, value), "setsockopt");
}

absl::Status TcpStream::SetNoDelay(bool on) { return SetOption(IPPROTO_TCP, TCP_NODELAY, on); }
absl::Status TcpStream::SetKeepAlive(bool on) { return SetOption(SOL_SOCKET, SO_KEEPALIVE, on); }
absl::Status TcpStream::SetSendBufferBytes(int bytes) { return SetOption(SOL_SOCKET, SO_SNDBUF, bytes); }
absl::Status TcpStream::SetReceiveBufferBytes(int bytes) { return SetOption(SOL_SOCKET, SO_RCVBUF, bytes); }

absl::StatusOr<Endpoint> TcpStream::local_endpoint() const {
  return internal::LocalEndpoint(internal::OpenDescriptor(handle_));
}

absl::StatusOr<Endpoint> TcpStream::peer_endpoint() const {
  return internal::PeerEndpoint(internal::OpenDescriptor(handle_));
}

absl::StatusOr<BareDescriptor> TcpStream::Release(std::span<const std::byte> unread) {
  Descriptor& descriptor = internal::OpenDescriptor(handle_);
  BareDescriptor released;
  const int result = descriptor.backend()->ReleaseBare(descriptor, unread, &released);
  if (result < 0) return internal::StatusFromErrno(-result, "release a connection");
  handle_.Take();
  return released;
}

}  // namespace gyre
