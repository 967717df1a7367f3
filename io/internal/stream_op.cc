#include "gyre/io/internal/stream_op.h"

#include <cerrno>
#include <limits>
#include <new>
#include <string>

#include "gyre/io/endpoint.h"
#include "gyre/io/internal/socket_address.h"
#include "gyre/runtime/check.h"
#include "gyre/runtime/errors.h"

namespace gyre::internal {
namespace {

// "127.0.0.1:80"; a connection that was reset has forgotten it.
std::string PeerName(Descriptor& descriptor) {
  const absl::StatusOr<Endpoint> peer = PeerEndpoint(descriptor);
  return peer.ok() ? peer->ToString() : "the peer";
}

absl::Status Describe(int error, bool is_send, Descriptor& descriptor) {
  if (error == EBADF) return absl::FailedPreconditionError("the stream was closed");  // and the descriptor is gone
  if (is_send && error == EPIPE && descriptor.is_send_broken) {
    return absl::FailedPreconditionError(
        "an earlier send was stopped midway, and the peer has half a message: nothing more can be sent");
  }
  return StatusFromErrno(error, (is_send ? "send to " : "receive from ") + PeerName(descriptor));
}

}  // namespace

void StreamOp::OnFailed() noexcept {
  try {
    error_ = Describe(-result, opcode() == Opcode::kSend, *descriptor());
  } catch (const std::bad_alloc&) {
    error_ = absl::Status(absl::StatusCode::kResourceExhausted, "");  // allocates nothing
  }
}

ReceiveOp::ReceiveOp(const DescriptorHandle& handle, std::span<std::byte> into)
    : StreamOp(Opcode::kReceive, handle), vector_(ToVector(into)) {
  GYRE_CHECK(!into.empty(), "Receive was given an empty span: its result 0 would look like the end of the stream");
  vectors = &vector_;
  vector_count = 1;
}

SendPiecesOp::SendPiecesOp(const DescriptorHandle& handle, std::span<const std::span<const std::byte>> pieces)
    : StreamOp(Opcode::kSend, handle) {
  GYRE_CHECK(pieces.size() <= std::numeric_limits<uint16_t>::max(), "Send takes at most 65535 pieces at once");
  vectors_.reserve(pieces.size());
  for (const std::span<const std::byte>& piece : pieces) vectors_.push_back(ToVector(piece));
  vectors = vectors_.data();
  vector_count = static_cast<uint16_t>(pieces.size());
}

}  // namespace gyre::internal
