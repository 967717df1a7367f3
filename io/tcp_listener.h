// TcpListener: takes TCP connections at an address.
//
//   gyre::TcpListener listener = co_await gyre::Try(gyre::TcpListener::Bind(gyre::Endpoint::Any(7777)));
//   gyre::TcpStream peer = co_await gyre::Try(co_await listener.Accept());
//
// Thread-safety: its home loop only, the one on which Bind was called. One for each loop: see ListenerGroup.
// Lifetime:      destroying it closes it; an Accept that waits then ends with kFailedPrecondition.
// Cancellation:  Accept: a connection that had been taken but not handed over is closed. [D5]
// Errors:        Bind: the errno, naming the address; nothing stays open. Accept ends only when the listener is closed:
//                connections that die before they are taken are skipped, and a process without descriptors or memory
//                makes it wait (or reset clients, see OverloadPolicy); that is counted, and logged at most once a
//                second.
// Cost:          a connection costs one accept4 and a small share of another; options are inherited from the listener,
//                so TCP_NODELAY (on by default) costs nothing per connection.
#ifndef GYRE_IO_TCP_LISTENER_H_
#define GYRE_IO_TCP_LISTENER_H_

#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "gyre/io/endpoint.h"
#include "gyre/io/tcp_options.h"
#include "gyre/io/tcp_stream.h"
#include "gyre/runtime/task.h"

namespace gyre {
namespace internal {
class GroupMember;
class ListenerState;
}

class [[nodiscard]] TcpListener {
 public:
  TcpListener(TcpListener&&) noexcept;
  TcpListener& operator=(TcpListener&&) noexcept;
  ~TcpListener();

  // On a running loop. SO_REUSEADDR is on, so that a server can be restarted at once.
  static absl::StatusOr<TcpListener> Bind(Endpoint where, ListenOptions options = ListenOptions());

  // Waits for the next connection. One at a time.
  Task<absl::StatusOr<TcpStream>> Accept();

  // The connection that has been waiting longest; EAGAIN (kUnavailable) if none is there. Also while an Accept waits. It skips
  // 16 that have died, at most, and is ECONNABORTED then: call it again, when others have had their turn.
  absl::StatusOr<TcpStream> TryAccept();

  // Resets the connections that wait to be accepted, although their clients count as connected: see TryAccept.
  void Close();
  bool is_open() const;

  // Where it listens, with the port that the system chose for port 0.
  absl::StatusOr<Endpoint> local_endpoint() const;

  // For gyre's own parts. Null unless it comes from a ListenerGroup; lives as long as this.
  internal::GroupMember* member() const;
  explicit TcpListener(std::shared_ptr<internal::ListenerState> state);

 private:
  // Shared with the Accept that waits, which may outlive this object.
  std::shared_ptr<internal::ListenerState> state_;
};

}  // namespace gyre

#endif  // GYRE_IO_TCP_LISTENER_H_
