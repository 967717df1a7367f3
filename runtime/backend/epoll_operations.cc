// The operations of EpollBackend: what is tried, and what each errno means. The rules they follow head
// epoll_backend.cc.
#include <limits.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

#include "gyre/runtime/backend/epoll_backend.h"
#include "gyre/runtime/backend/epoll_block.h"
#include "gyre/runtime/loop.h"

namespace gyre {
namespace {

using internal::SysTable;

static_assert(EAGAIN == EWOULDBLOCK);

constexpr uint32_t kInterest = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET;
constexpr size_t kTransferMax = size_t{1} << 30;
constexpr int kAcceptTriesMax = 16;  // in a row, when connections die before they are accepted

// The connection that was to be accepted is gone, or its network is; the listener is well.
bool IsTransientAcceptError(int error) {
  switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case EPERM:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
    case ETIMEDOUT:
      return true;
    default:
      return false;
  }
}

// Moves past `sent` bytes and past empty vectors. False: nothing is left.
bool Advance(Op& op, size_t sent) {
  while (op.vector_count > 0 && sent >= op.vectors->iov_len) {
    sent -= op.vectors->iov_len;
    ++op.vectors;
    --op.vector_count;
  }
  if (op.vector_count == 0) return false;
  op.vectors->iov_base = static_cast<char*>(op.vectors->iov_base) + sent;
  op.vectors->iov_len -= sent;
  return true;
}

}  // namespace

// After a system call the processor has to fetch each line of code anew, and guesses few indirect jumps right. So the
// ways from here through a call and to Wait are plain jumps, and what a server does most (wait, receive, send) comes
// first.
bool EpollBackend::Submit(Op& op) {
  Block& block = static_cast<Block&>(*op.descriptor());
  if (op.is_reader() && !block.may_read) return Wait(op, block);
  if (op.opcode() == Opcode::kSend) return TrySend(op, block);
  return Try(op, block);
}

bool EpollBackend::Perform(Op& op) {
  Block& block = static_cast<Block&>(*op.descriptor());
  (op.is_reader() ? block.reader : block.writer) = nullptr;  // until it waits again
  if (op.is_reader() && !block.may_read) return Wait(op, block);
  if (op.opcode() == Opcode::kReceiveBuffer) return TryReceiveBuffer(op, block);
  if (op.opcode() == Opcode::kConnect) return FinishConnect(op, block);
  return Try(op, block);
}

void EpollBackend::Cancel(Op& op) {
  Block& block = static_cast<Block&>(*op.descriptor());
  (op.is_reader() ? block.reader : block.writer) = nullptr;
  if (op.opcode() == Opcode::kSend && op.result > 0) block.is_send_broken = true;
  op.CompleteCancelled();
}

[[gnu::noinline]] bool EpollBackend::Try(Op& op, Block& block) {
  switch (op.opcode()) {
    case Opcode::kAccept:
      return TryAccept(op, block);
    case Opcode::kConnect:
      return TryConnect(op, block);
    case Opcode::kReceive:
      return TryReceive(op, block);
    case Opcode::kReceiveBuffer:
      return TryReceiveBuffer(op, block);
    case Opcode::kSend:
      return TrySend(op, block);
  }
  return Fail(op, block, EINVAL);
}

bool EpollBackend::Fail(Op& op, Block& block, int error) {
  // What has left can't be taken back. (After EPIPE or a reset every later send fails by itself.)
  if (op.opcode() == Opcode::kSend && op.result > 0 && error != EPIPE) block.is_send_broken = true;
  op.result = -error;
  return true;
}

// Returns false, or true if it can't wait.
bool EpollBackend::Wait(Op& op, Block& block) {
  if (!block.is_registered) [[unlikely]] return RegisterAndWait(op, block);
  (op.is_reader() ? block.reader : block.writer) = &op;
  // An accept that met only dead connections has not found its queue empty: there may be no further edge.
  if (op.opcode() == Opcode::kAccept && block.may_read) [[unlikely]] op.QueueForPerform();
  return false;
}

[[gnu::noinline]] bool EpollBackend::RegisterAndWait(Op& op, Block& block) {
  if (const int error = -Register(block)) return Fail(op, block, error);
  return Wait(op, block);
}

int EpollBackend::Register(Block& block) {
  epoll_event event = {.events = kInterest, .data = {.u64 = block.tag()}};
  int result = CallForResult(&SysTable::epoll_ctl, epoll_fd_, EPOLL_CTL_ADD, block.fd(), &event);
  if (result == -EEXIST) result = CallForResult(&SysTable::epoll_ctl, epoll_fd_, EPOLL_CTL_MOD, block.fd(), &event);
  block.is_registered = result == 0;
  return result;
}

[[gnu::noinline]] bool EpollBackend::TryAccept(Op& op, Block& block) {
  for (int tries = 0; block.may_read && tries < kAcceptTriesMax; ++tries) {
    Descriptor* accepted = nullptr;
    const int result = AcceptOne(block, &accepted);
    if (result == 0) {
      op.accepted = accepted;
      op.result = 0;
      return true;
    }
    if (result != -EAGAIN && !IsTransientAcceptError(-result)) return Fail(op, block, -result);
  }
  return Wait(op, block);
}

inline int EpollBackend::AcceptOne(Block& listener, Descriptor** accepted) {
  const int fd = CallForResult(&SysTable::accept4, listener.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd == -EAGAIN) listener.may_read = false;
  if (fd < 0) return fd;
  Block* block = nullptr;
  const int result = NewBlock(fd, &block);
  if (result < 0) CloseFd(fd, /*reset=*/true);
  *accepted = block;
  return result;
}

int EpollBackend::AcceptNow(Descriptor& listener, Descriptor** accepted) {
  for (int tries = 0; tries < kAcceptTriesMax; ++tries) {
    const int result = AcceptOne(static_cast<Block&>(listener), accepted);
    if (result >= 0 || !IsTransientAcceptError(-result)) return result;
  }
  return -ECONNABORTED;
}

[[gnu::noinline]] bool EpollBackend::TryConnect(Op& op, Block& block) {
  const int result = CallForResult(&SysTable::connect, block.fd(), static_cast<const sockaddr*>(op.address),
                                   static_cast<socklen_t>(op.vector_count));
  switch (result) {
    case -EINPROGRESS:
    case -EINTR:  // goes on by itself; calling again would say EALREADY
    case -EALREADY:
      block.may_write = false;
      return Wait(op, block);
    case -EISCONN:
      op.result = 0;
      return true;
    default:
      op.result = result;
      return true;
  }
}

[[gnu::noinline]] bool EpollBackend::FinishConnect(Op& op, Block& block) {
  if (!block.may_write) return Wait(op, block);
  int error = 0;
  const int result = GetOption(block, SOL_SOCKET, SO_ERROR, &error);
  op.result = result < 0 ? result : -error;
  return true;
}

// Bytes, 0 at the end, -errno; -EAGAIN: nothing there.
int64_t EpollBackend::Receive(Block& block, void* into, size_t size) {
  if (block.has_unread) [[unlikely]] return TakeUnread(block, into, size);
  ssize_t received;
  do {
    received = Call(&SysTable::recv, block.fd(), into, size, 0);
  } while (received < 0 && errno == EINTR);
  if (received < 0) {
    if (errno != EAGAIN) return -errno;
    block.may_read = false;
    return -EAGAIN;
  }
  if (received > 0 && static_cast<size_t>(received) < size && !block.short_reads_tell_nothing) block.may_read = false;
  return received;
}

[[gnu::noinline]] int64_t EpollBackend::TakeUnread(Block& block, void* into, size_t size) {
  Unread& unread = unread_[block.index];
  const size_t count = std::min(size, unread.bytes.size() - unread.taken);
  std::memcpy(into, unread.bytes.data() + unread.taken, count);
  unread.taken += count;
  if (unread.taken == unread.bytes.size()) {
    unread_.erase(block.index);
    block.has_unread = false;
  }
  return static_cast<int64_t>(count);
}

[[gnu::noinline]] bool EpollBackend::TryReceive(Op& op, Block& block) {
  const size_t size = std::min(op.vectors->iov_len, kTransferMax);
  const int64_t received = Receive(block, op.vectors->iov_base, size);
  if (received == -EAGAIN) return Wait(op, block);
  op.result = static_cast<int32_t>(received);
  return true;
}

// The buffer is leased for the call alone: a connection that waits holds none.
[[gnu::noinline]] bool EpollBackend::TryReceiveBuffer(Op& op, Block& block) {
  internal::BufferBlock* buffer;
  try {
    buffer = loop().buffer_pool().Lease(block.wants_large);
  } catch (const std::bad_alloc&) {
    return Fail(op, block, ENOMEM);
  }
  const int64_t received = Receive(block, buffer->data(), buffer->capacity);
  if (received <= 0) [[unlikely]] {
    internal::BufferPool::Free(buffer);
    if (received == -EAGAIN) return Wait(op, block);
    op.result = static_cast<int32_t>(received);
    return true;
  }
  block.wants_large = static_cast<size_t>(received) >= (block.wants_large ? buffer->capacity / 4 : buffer->capacity);
  op.block = buffer;
  op.result = static_cast<int32_t>(received);
  return true;
}

// Sends from the first vector; the result is the call's own.
inline ssize_t EpollBackend::SendFirst(const Op& op, const Block& block, size_t* asked) {
  *asked = std::min(op.vectors->iov_len, kTransferMax);
  return Call(&SysTable::send, block.fd(), op.vectors->iov_base, *asked, MSG_NOSIGNAL);
}

// While a send waits, a positive result says that a part of it has left.
[[gnu::noinline]] bool EpollBackend::TrySend(Op& op, Block& block) {
  if (block.is_send_broken) [[unlikely]] return Fail(op, block, EPIPE);
  while (Advance(op, 0)) {
    if (!block.may_write) return Wait(op, block);
    size_t asked = 0;
    const ssize_t sent = op.vector_count == 1 ? SendFirst(op, block, &asked) : SendSeveral(op, block, &asked);
    const bool is_whole = op.vector_count == 1 && static_cast<size_t>(sent) == op.vectors->iov_len;
    if (is_whole) [[likely]] {
      Advance(op, static_cast<size_t>(sent));
      break;
    }
    if (!SentSome(op, block, sent, asked)) return true;
  }
  op.result = 0;
  return true;
}

// Takes in what the call said. False: it failed, and the result is in the op.
[[gnu::noinline]] bool EpollBackend::SentSome(Op& op, Block& block, ssize_t result, size_t asked) {
  const int error = result < 0 ? errno : 0;
  if (error == EINTR) return true;
  if (error != 0 && error != EAGAIN) return !Fail(op, block, error);
  const size_t sent = error == 0 ? static_cast<size_t>(result) : 0;
  if (sent < asked) block.may_write = false;
  if (sent > 0) op.result = 1;
  Advance(op, sent);
  return true;
}

[[gnu::noinline]] ssize_t EpollBackend::SendSeveral(const Op& op, const Block& block, size_t* asked) {
  *asked = std::min(op.vectors->iov_len, kTransferMax);
  size_t count = 1;
  while (count < std::min<size_t>(op.vector_count, IOV_MAX) && op.vectors[count].iov_len <= kTransferMax - *asked) {
    *asked += op.vectors[count++].iov_len;
  }
  if (count == 1) return SendFirst(op, block, asked);
  msghdr message = {};
  message.msg_iov = op.vectors;
  message.msg_iovlen = count;
  return Call(&SysTable::sendmsg, block.fd(), &message, MSG_NOSIGNAL);
}

}  // namespace gyre
