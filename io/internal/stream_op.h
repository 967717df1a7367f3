// The operations of a byte stream, and their leaves: Receive into a span or a leased buffer, Send of one or more
// pieces.
//
// Thread-safety: the home loop only.
// Lifetime:      an operation refers to the stream's handle, so that using a stream closed meanwhile is a check failure
//                and not somebody else's connection; the leaf refers to the state block, which outlives a waiting leaf.
// Cost:          nothing is allocated, but for an error's message and the list of more than four pieces.
#ifndef GYRE_IO_INTERNAL_STREAM_OP_H_
#define GYRE_IO_INTERNAL_STREAM_OP_H_

#include <sys/uio.h>

#include <coroutine>
#include <cstddef>
#include <ranges>
#include <span>
#include <type_traits>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gyre/io/buffer.h"
#include "gyre/runtime/backend.h"
#include "gyre/runtime/check.h"
#include "gyre/runtime/internal/loop_core.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/op.h"

#if defined(__clang__)
#define GYRE_INTERNAL_LIFETIMEBOUND [[clang::lifetimebound]]
#else
#define GYRE_INTERNAL_LIFETIMEBOUND
#endif

namespace gyre::internal {

// An rvalue whose bytes die with it: a std::string, a std::vector, a Buffer, but no view or span.
template <class T>
concept OwningTemporary =
    !std::is_lvalue_reference_v<T> &&
    (std::is_same_v<std::remove_cvref_t<T>, Buffer> ||
     (std::ranges::contiguous_range<std::remove_cvref_t<T>> && !std::ranges::borrowed_range<std::remove_cvref_t<T>>));

// What the handle refers to; a check failure for a stream that is closed or moved from, or another loop's.
inline Descriptor& OpenDescriptor(const DescriptorHandle& handle) {
  GYRE_CHECK(handle, "a stream was used after it had been closed, released or moved from");
  GYRE_CHECK(tls_loop != nullptr && &tls_loop->loop.backend() == handle->backend(),
             "a stream was used on another loop than its own, or after its loop had ended: Release() gives the bare "
             "descriptor" + (handle->backend() != nullptr ? handle->backend()->DescribeThreads() : ""));
  return *handle;
}

inline iovec ToVector(std::span<const std::byte> bytes) {
  return {.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
}

class StreamOp : public Op {
 public:
  template <class P>
  bool await_suspend(std::coroutine_handle<P> awaiting) {
    return SubmitFrom(awaiting);
  }

 protected:
  StreamOp(Opcode opcode, const DescriptorHandle& handle) : Op(opcode, OpenDescriptor(handle)) {}
  ~StreamOp() = default;

  // While the peer can still be asked for its address.
  void OnFailed() noexcept override;

  absl::Status error_;
};

class [[nodiscard]] ReceiveOp final : public StreamOp {
 public:
  ReceiveOp(const DescriptorHandle& handle, std::span<std::byte> into);
  absl::StatusOr<size_t> await_resume() {
    if (result < 0) [[unlikely]] return std::move(error_);
    return static_cast<size_t>(result);
  }

 private:
  iovec vector_;
};

class [[nodiscard]] ReceiveBufferOp final : public StreamOp {
 public:
  explicit ReceiveBufferOp(const DescriptorHandle& handle) : StreamOp(Opcode::kReceiveBuffer, handle) {}
  absl::StatusOr<Buffer> await_resume() {
    if (result > 0) [[likely]] return Buffer::Own(block, static_cast<size_t>(result));
    if (result == 0) return Buffer();
    return std::move(error_);
  }
};

class [[nodiscard]] SendOp final : public StreamOp {
 public:
  SendOp(const DescriptorHandle& handle, std::span<const std::byte> bytes)
      : StreamOp(Opcode::kSend, handle), vector_(ToVector(bytes)) {
    vectors = &vector_;
    vector_count = 1;
  }
  absl::Status await_resume() { return std::move(error_); }

 private:
  iovec vector_;
};

class [[nodiscard]] SendPiecesOp final : public StreamOp {
 public:
  SendPiecesOp(const DescriptorHandle& handle, std::span<const std::span<const std::byte>> pieces);
  absl::Status await_resume() { return std::move(error_); }

 private:
  absl::InlinedVector<iovec, 4> vectors_;
};

class [[nodiscard]] ReceiveOperation {
 public:
  ReceiveOperation(const DescriptorHandle& handle, std::span<std::byte> into) : handle_(&handle), into_(into) {}
  ReceiveOp operator co_await() && { return ReceiveOp(*handle_, into_); }

 private:
  const DescriptorHandle* handle_;
  std::span<std::byte> into_;
};

class [[nodiscard]] ReceiveBufferOperation {
 public:
  explicit ReceiveBufferOperation(const DescriptorHandle& handle) : handle_(&handle) {}
  ReceiveBufferOp operator co_await() && { return ReceiveBufferOp(*handle_); }

 private:
  const DescriptorHandle* handle_;
};

class [[nodiscard]] SendOperation {
 public:
  SendOperation(const DescriptorHandle& handle, std::span<const std::byte> bytes) : handle_(&handle), bytes_(bytes) {}
  SendOp operator co_await() && { return SendOp(*handle_, bytes_); }

 private:
  const DescriptorHandle* handle_;
  std::span<const std::byte> bytes_;
};

class [[nodiscard]] SendPiecesOperation {
 public:
  SendPiecesOperation(const DescriptorHandle& handle, std::span<const std::span<const std::byte>> pieces)
      : handle_(&handle), pieces_(pieces) {}
  SendPiecesOp operator co_await() && { return SendPiecesOp(*handle_, pieces_); }

 private:
  const DescriptorHandle* handle_;
  std::span<const std::span<const std::byte>> pieces_;
};

}  // namespace gyre::internal

#endif  // GYRE_IO_INTERNAL_STREAM_OP_H_
