// TcpStream: a TCP connection.
//
//   gyre::TcpStream peer = co_await gyre::Try(co_await gyre::TcpStream::Connect(where));
//   co_await gyre::Try(co_await peer.Send("ping\n"));
//   gyre::Buffer answer = co_await gyre::Try(co_await peer.Receive());  // empty: the peer hung up
//
// Thread-safety: its home loop only, where it was accepted, connected or adopted; anything else is a check failure. To
//                move a connection to another loop, Release it here and Adopt it there: between two messages, while no
//                operation waits.
// Lifetime:      destroying it closes it. The stream and the bytes given to an operation stay where they are until that
//                operation has ended. One Receive and one Send may wait at the same time; a second of the same kind is
//                a check failure.
// Cancellation:  Receive: nothing is lost; bytes that had been taken are delivered. Send: a send that is stopped midway
//                leaves the peer with half a message, so every later Send fails; receiving goes on. Connect: the
//                connection is closed, also when it had just succeeded.
// Errors:        the errno is kept (ErrnoOf). kFailedPrecondition: the stream was closed while the operation waited, or
//                an earlier send was stopped midway. The end of the stream is no error. A bad argument, or using a
//                stream after Close or a move, is a check failure. There is never a SIGPIPE.
// Units:         bytes.
// Cost:          one pointer. An operation allocates nothing. TCP_NODELAY is on and SO_KEEPALIVE off unless the options
//                say otherwise; an adopted connection keeps what it has.
#ifndef GYRE_IO_TCP_STREAM_H_
#define GYRE_IO_TCP_STREAM_H_

#include <concepts>
#include <cstddef>
#include <ranges>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gyre/io/buffer.h"
#include "gyre/io/endpoint.h"
#include "gyre/io/internal/stream_op.h"
#include "gyre/io/tcp_options.h"
#include "gyre/runtime/backend.h"
#include "gyre/runtime/bare_descriptor.h"
#include "gyre/runtime/task.h"

namespace gyre {

class [[nodiscard]] TcpStream {
 public:
  TcpStream(TcpStream&&) noexcept = default;
  TcpStream& operator=(TcpStream&&) noexcept = default;

  static Task<absl::StatusOr<TcpStream>> Connect(Endpoint to, TcpOptions options = TcpOptions());

  // Takes over a connected stream socket that somebody else made, and makes it non-blocking. On an error it stays
  // theirs.
  static absl::StatusOr<TcpStream> Adopt(int fd);

  // Takes over what Release gave, on this or another loop of the same world. On an error `released` keeps it.
  static absl::StatusOr<TcpStream> Adopt(BareDescriptor&& released);

  // Waits for bytes and gives them in a leased buffer: StatusOr<Buffer>, empty at the end of the stream.
  internal::ReceiveBufferOperation Receive() GYRE_INTERNAL_LIFETIMEBOUND {
    return internal::ReceiveBufferOperation(handle_);
  }

  // Waits for bytes, at least one and at most into.size(): StatusOr<size_t>, 0 at the end of the stream.
  internal::ReceiveOperation Receive(std::span<std::byte> into GYRE_INTERNAL_LIFETIMEBOUND)
      GYRE_INTERNAL_LIFETIMEBOUND {
    return internal::ReceiveOperation(handle_, into);
  }

  // Sends all of it, in order: Status. Ends when the kernel has the bytes, which says nothing about the peer.
  internal::SendOperation Send(std::span<const std::byte> bytes GYRE_INTERNAL_LIFETIMEBOUND)
      GYRE_INTERNAL_LIFETIMEBOUND {
    return internal::SendOperation(handle_, bytes);
  }
  internal::SendOperation Send(std::string_view text GYRE_INTERNAL_LIFETIMEBOUND) GYRE_INTERNAL_LIFETIMEBOUND {
    return Send(std::as_bytes(std::span(text.data(), text.size())));
  }
  internal::SendOperation Send(const Buffer& buffer GYRE_INTERNAL_LIFETIMEBOUND) GYRE_INTERNAL_LIFETIMEBOUND {
    return Send(buffer.span());
  }
  // Several pieces as one; at most 65535. The list of pieces, too, stays where it is until the await begins.
  internal::SendPiecesOperation Send(std::span<const std::span<const std::byte>> pieces GYRE_INTERNAL_LIFETIMEBOUND)
      GYRE_INTERNAL_LIFETIMEBOUND {
    return internal::SendPiecesOperation(handle_, pieces);
  }
  // A temporary that owns its bytes would be gone before they are sent: give it a name first.
  template <class T>
    requires internal::OwningTemporary<T>
  void Send(T&& bytes) = delete;

  // Tells the peer that nothing more will come; receiving goes on.
  absl::Status ShutdownSend();

  // Operations that wait end with kFailedPrecondition. Afterwards the stream can only be assigned to or destroyed.
  void Close() { handle_.Close(); }
  // The same, but the peer sees a reset instead of an orderly end, and nothing lingers in the kernel.
  void Reset() { handle_.Close(/*reset=*/true); }
  bool is_open() const { return static_cast<bool>(handle_); }

  absl::Status SetNoDelay(bool on);
  absl::Status SetKeepAlive(bool on);
  absl::Status SetSendBufferBytes(int bytes);
  absl::Status SetReceiveBufferBytes(int bytes);

  absl::StatusOr<Endpoint> local_endpoint() const;
  absl::StatusOr<Endpoint> peer_endpoint() const;

  // Gives up the connection, to be adopted elsewhere; a check failure while an operation waits. Bytes that gyre has
  // received and the program has not go along, and so does a broken sending side. `unread`: what the program has
  // received and not used; the adopter receives it first. kResourceExhausted: no memory for the bytes; then the stream
  // stays as it is.
  absl::StatusOr<BareDescriptor> Release(std::span<const std::byte> unread = std::span<const std::byte>());

  // For gyre's own parts.
  explicit TcpStream(DescriptorHandle handle) : handle_(std::move(handle)) {}

 private:
  absl::Status SetOption(int level, int name, int value);

  DescriptorHandle handle_;
};

}  // namespace gyre

#endif  // GYRE_IO_TCP_STREAM_H_
