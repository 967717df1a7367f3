// The two addresses of an open socket, as Endpoints.
//
// Errors: the errno of getsockname or getpeername; a connection that was reset has forgotten its peer (ENOTCONN).
#ifndef GYRE_IO_INTERNAL_SOCKET_ADDRESS_H_
#define GYRE_IO_INTERNAL_SOCKET_ADDRESS_H_

#include "absl/status/statusor.h"
#include "gyre/io/endpoint.h"
#include "gyre/runtime/backend.h"

namespace gyre::internal {

absl::StatusOr<Endpoint> LocalEndpoint(Descriptor& descriptor);
absl::StatusOr<Endpoint> PeerEndpoint(Descriptor& descriptor);

}  // namespace gyre::internal

#endif  // GYRE_IO_INTERNAL_SOCKET_ADDRESS_H_
