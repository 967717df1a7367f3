// ListenerGroup: one address that every loop of a Runtime accepts connections at.
//
//   gyre::ListenerGroup group(gyre::Endpoint::Any(7777), runtime.loops());
//   absl::Status status = runtime.RunOnEveryLoop([&](size_t loop) -> gyre::Task<absl::Status> {
//     gyre::TcpListener listener = co_await gyre::Try(group.Listen(loop));
//     reports[loop] = co_await gyre::Try(co_await gyre::Serve(std::move(listener), Echo, shutdown));  // a gyre::Shutdown
//     co_return absl::OkStatus();
//   });
//
// Each member has a listening socket of its own, and the kernel deals connections out by a hash of their addresses.
// That is even on average, and in lumps at times; so Serve corrects it. Each member shows the others how many
// connections it has, and one that has more than 1.25 times the mean and 8 hands what it accepts to the lighter of two
// others, before anything of it has been read. See AcceptBalance for the other ways.
//
// Thread-safety: any thread; Listen on the loop that is to have the member. It waits for a lock while another one opens
//                the sockets.
// Lifetime:      may go when each member has been taken; what waits at a member that was not taken is reset then.
// Cancellation:  a connection on its way to another loop is served there in that Serve's scope, which waits for it; if
//                that was stopped meanwhile, it is closed. A member whose Serve is closing, or has ended, takes none:
//                then the connection stays where it was accepted.
// Errors:        the first Listen opens all sockets, or none; its error is that of each later one. EADDRINUSE also if
//                another server of the same user shares the port, which the kernel alone would allow, unless
//                ListenOptions::reuse_port says that this is meant (as in a restart without a gap). kInvalidArgument
//                for that together with AcceptBalance::kCpu. A member whose Listen failed for itself may ask again.
// Units:         connections. The backlog is each member's own.
// Cost:          a socket for each member. A connection that is handed over costs two allocations and a message.
// Source:        one of several sockets that closes resets what waits at it (unless the sysctl tcp_migrate_req is on):
//                Serve accepts that first.
#ifndef GYRE_IO_LISTENER_GROUP_H_
#define GYRE_IO_LISTENER_GROUP_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gyre/io/endpoint.h"
#include "gyre/io/internal/accept_group.h"
#include "gyre/io/tcp_listener.h"
#include "gyre/io/tcp_options.h"
#include "gyre/runtime/bare_descriptor.h"

namespace gyre {

class ListenerGroup {
 public:
  // Nothing is opened yet.
  ListenerGroup(Endpoint where, size_t members, ListenOptions options = ListenOptions());
  ListenerGroup(const ListenerGroup&) = delete;
  ListenerGroup& operator=(const ListenerGroup&) = delete;

  // The listener of member 0 .. members() - 1, for Serve on this loop. Once for each; clients may have come already.
  absl::StatusOr<TcpListener> Listen(size_t member);

  size_t members() const { return group_->size(); }
  // How many connections are served by this member's Serve, or on their way there.
  int64_t connections(size_t member) const;

 private:
  absl::Status Open();

  const ListenOptions options_;
  const std::shared_ptr<internal::AcceptGroup> group_;

  std::mutex mutex_;  // guards what follows
  std::optional<absl::Status> opened_;
  Endpoint where_;                       // with the port, once opened
  std::vector<BareDescriptor> sockets_;  // of members that have not been taken
  std::vector<bool> is_taken_;
};

}  // namespace gyre

#endif  // GYRE_IO_LISTENER_GROUP_H_
