// Awaitables over the bare Backend, for tests of the contract: what TcpStream and TcpListener do, and nothing more.
#ifndef GYRE_TESTS_SUPPORT_CONTRACT_OPS_H_
#define GYRE_TESTS_SUPPORT_CONTRACT_OPS_H_

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gyre/runtime/backend.h"
#include "gyre/runtime/check.h"
#include "gyre/runtime/internal/buffer_pool.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/op.h"
#include "gyre/runtime/task.h"

namespace gyre::testing {

inline Backend& CurrentBackend() { return Loop::Current().backend(); }

// --- operations

// Gives bytes, 0 at the end, or -errno.
class [[nodiscard]] ReceiveOp final : public Op {
 public:
  ReceiveOp(Descriptor& from, void* into, size_t size) : Op(Opcode::kReceive, from) {
    vector_.iov_base = into;
    vector_.iov_len = size;
    vectors = &vector_;
    vector_count = 1;
  }
  template <class P>
  bool await_suspend(std::coroutine_handle<P> awaiting) {
    return SubmitFrom(awaiting);
  }
  int await_resume() const { return result; }

 private:
  iovec vector_;
};

// What a ReceiveBufferOp gives.
class ReceivedBuffer {
 public:
  ReceivedBuffer(int result, internal::BufferBlock* block) : result(result), block_(block) {}
  ReceivedBuffer(ReceivedBuffer&& other) noexcept
      : result(other.result), block_(std::exchange(other.block_, nullptr)) {}
  ReceivedBuffer& operator=(ReceivedBuffer&&) = delete;
  ~ReceivedBuffer() {
    if (block_ != nullptr) internal::BufferPool::Free(block_);
  }

  std::string_view text() const {
    if (result <= 0) return std::string_view();
    return std::string_view(reinterpret_cast<const char*>(block_->data()), static_cast<size_t>(result));
  }

  int result;

 private:
  internal::BufferBlock* block_;
};

class [[nodiscard]] ReceiveBufferOp final : public Op {
 public:
  explicit ReceiveBufferOp(Descriptor& from) : Op(Opcode::kReceiveBuffer, from) {}
  template <class P>
  bool await_suspend(std::coroutine_handle<P> awaiting) {
    return SubmitFrom(awaiting);
  }
  ReceivedBuffer await_resume() const { return ReceivedBuffer(result, result > 0 ? block : nullptr); }
};

// Gives 0 or -errno.
class [[nodiscard]] SendOp final : public Op {
 public:
  SendOp(Descriptor& to, std::vector<std::string_view> parts) : Op(Opcode::kSend, to) {
    for (std::string_view part : parts) {
      iovec vector;
      vector.iov_base = const_cast<char*>(part.data());
      vector.iov_len = part.size();
      list_.push_back(vector);
    }
    vectors = list_.data();
    vector_count = static_cast<uint16_t>(list_.size());
  }
  template <class P>
  bool await_suspend(std::coroutine_handle<P> awaiting) {
    return SubmitFrom(awaiting);
  }
  int await_resume() const { return result; }

 private:
  std::vector<iovec> list_;
};

class AcceptResult {
 public:
  AcceptResult(int result, Descriptor* accepted) : result(result), stream(accepted) {}
  int result;
  DescriptorHandle stream;
};

class [[nodiscard]] AcceptOp final : public Op {
 public:
  explicit AcceptOp(Descriptor& listener) : Op(Opcode::kAccept, listener) {}
  template <class P>
  bool await_suspend(std::coroutine_handle<P> awaiting) {
    return SubmitFrom(awaiting);
  }
  AcceptResult await_resume() const { return AcceptResult(result, result == 0 ? accepted : nullptr); }

 private:
  bool Undo() noexcept override {
    if (result == 0) DescriptorHandle(accepted).Close();
    return true;
  }
};

// Gives 0 or -errno.
class [[nodiscard]] ConnectOp final : public Op {
 public:
  ConnectOp(Descriptor& from, const sockaddr_in& to) : Op(Opcode::kConnect, from), to_(to) {
    address = &to_;
    vector_count = sizeof(to_);
  }
  template <class P>
  bool await_suspend(std::coroutine_handle<P> awaiting) {
    return SubmitFrom(awaiting);
  }
  int await_resume() const { return result; }

 private:
  sockaddr_in to_;
};

inline ReceiveOp Receive(DescriptorHandle& from, char* into, size_t size) { return ReceiveOp(*from, into, size); }
inline ReceiveBufferOp ReceiveBuffer(DescriptorHandle& from) { return ReceiveBufferOp(*from); }
inline SendOp Send(DescriptorHandle& to, std::string_view bytes) {
  return SendOp(*to, std::vector<std::string_view>(1, bytes));
}
inline SendOp SendParts(DescriptorHandle& to, std::vector<std::string_view> parts) {
  return SendOp(*to, std::move(parts));
}
inline AcceptOp Accept(DescriptorHandle& listener) { return AcceptOp(*listener); }
inline ConnectOp Connect(DescriptorHandle& from, const sockaddr_in& to) { return ConnectOp(*from, to); }

// Waits until another thread sets it.
class [[nodiscard]] ThreadEvent final : public Leaf {
 public:
  ThreadEvent() {}
  template <class P>
  bool await_suspend(std::coroutine_handle<P> awaiting) {
    return Suspend(awaiting, [this] {
      if (on_waiting) on_waiting(*this);
      return false;
    });
  }
  void await_resume() const {}
  void SetFromAnyThread() { CompleteFromAnyThread(); }

  std::function<void(ThreadEvent&)> on_waiting;

 private:
  void OnStop() noexcept override {}
};

// --- sockets

inline sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

inline DescriptorHandle OpenStream() {
  Descriptor* opened = nullptr;
  GYRE_CHECK(CurrentBackend().OpenStream(AF_INET, &opened) == 0, "a test needs a socket");
  return DescriptorHandle(opened);
}

inline sockaddr_in LocalAddress(DescriptorHandle& socket) {
  sockaddr_in address{};
  socklen_t length = sizeof(address);
  GYRE_CHECK(CurrentBackend().LocalAddress(*socket, reinterpret_cast<sockaddr*>(&address), &length) == 0,
             "a test needs a local address");
  return address;
}

// -1 if there is no peer.
inline int PeerPort(DescriptorHandle& socket) {
  sockaddr_in address{};
  socklen_t length = sizeof(address);
  const int result = CurrentBackend().PeerAddress(*socket, reinterpret_cast<sockaddr*>(&address), &length);
  return result == 0 ? ntohs(address.sin_port) : -1;
}

inline int Bind(DescriptorHandle& socket, const sockaddr_in& address) {
  return CurrentBackend().Bind(*socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
}

// Keeps little of a sender's data in flight, so that a test needs little to fill it.
inline void MakeBuffersSmall(DescriptorHandle& socket) {
  CurrentBackend().SetOption(*socket, SOL_SOCKET, SO_SNDBUF, 16 * 1024);
  CurrentBackend().SetOption(*socket, SOL_SOCKET, SO_RCVBUF, 16 * 1024);
}

// On a port of its own.
inline DescriptorHandle OpenListener(int backlog = 128) {
  DescriptorHandle listener = OpenStream();
  MakeBuffersSmall(listener);
  GYRE_CHECK(Bind(listener, Loopback(0)) == 0, "a test needs a port");
  GYRE_CHECK(CurrentBackend().Listen(*listener, backlog) == 0, "a test needs a listener");
  return listener;
}

// Two ends of a connection.
class SocketPair {
 public:
  SocketPair(DescriptorHandle client, DescriptorHandle server) : client(std::move(client)), server(std::move(server)) {}
  DescriptorHandle client;
  DescriptorHandle server;
};

inline Task<DescriptorHandle> ConnectTo(sockaddr_in to) {
  DescriptorHandle client = OpenStream();
  MakeBuffersSmall(client);
  const int result = co_await Connect(client, to);
  GYRE_CHECK(result == 0, "a test needs a connection");
  co_return client;
}

inline Task<SocketPair> MakePair() {
  DescriptorHandle listener = OpenListener();
  DescriptorHandle client = co_await ConnectTo(LocalAddress(listener));
  AcceptResult accepted = co_await Accept(listener);
  GYRE_CHECK(accepted.result == 0, "a test needs an accepted connection");
  SocketPair pair(std::move(client), std::move(accepted.stream));
  co_return pair;
}

// --- helpers

// Up to `count` bytes; fewer if the stream ends or fails, which `*last` tells.
inline Task<std::string> ReceiveExactly(DescriptorHandle& from, size_t count, int* last = nullptr) {
  std::string all(count, '\0');
  size_t have = 0;
  while (have < count) {
    const int result = co_await Receive(from, all.data() + have, count - have);
    if (last != nullptr) *last = result;
    if (result <= 0) break;
    have += static_cast<size_t>(result);
  }
  all.resize(have);
  co_return all;
}

// Everything up to the end or an error, which `*last` tells.
inline Task<std::string> ReceiveAll(DescriptorHandle& from, int* last = nullptr) {
  std::string all;
  for (;;) {
    char chunk[4096];
    const int result = co_await Receive(from, chunk, sizeof(chunk));
    if (last != nullptr) *last = result;
    if (result <= 0) break;
    all.append(chunk, static_cast<size_t>(result));
  }
  co_return all;
}

// Bytes that tell their position.
inline std::string Pattern(size_t size, uint32_t seed = 1) {
  std::string bytes(size, '\0');
  uint32_t state = seed;
  for (char& byte : bytes) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<char>(state >> 24);
  }
  return bytes;
}

}  // namespace gyre::testing

#endif  // GYRE_TESTS_SUPPORT_CONTRACT_OPS_H_
