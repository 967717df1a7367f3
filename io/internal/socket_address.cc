#include "gyre/io/internal/socket_address.h"

#include <sys/socket.h>

#include "gyre/runtime/errors.h"

namespace gyre::internal {
namespace {

using AddressCall = int (Backend::*)(Descriptor& descriptor, sockaddr* address, socklen_t* length);

absl::StatusOr<Endpoint> Ask(Descriptor& descriptor, AddressCall call, std::string_view what) {
  sockaddr_storage storage = {};
  socklen_t length = sizeof(storage);
  auto* address = reinterpret_cast<sockaddr*>(&storage);
  const int result = (descriptor.backend()->*call)(descriptor, address, &length);
  if (result < 0) return StatusFromErrno(-result, what);
  return Endpoint::FromSockaddr(address, length);
}

}  // namespace

absl::StatusOr<Endpoint> LocalEndpoint(Descriptor& descriptor) {
  return Ask(descriptor, &Backend::LocalAddress, "getsockname");
}

absl::StatusOr<Endpoint> PeerEndpoint(Descriptor& descriptor) {
  return Ask(descriptor, &Backend::PeerAddress, "getpeername");
}

}  // namespace gyre::internal
