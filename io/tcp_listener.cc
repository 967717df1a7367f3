#include "gyre/io/tcp_listener.h"

#include <algorithm>
#include <cerrno>
#include <coroutine>
#include <new>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "gyre/io/internal/descriptor_pause.h"
#include "gyre/io/internal/listener_state.h"
#include "gyre/io/internal/socket_address.h"
#include "gyre/runtime/check.h"
#include "gyre/runtime/errors.h"
#include "gyre/runtime/log.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/op.h"

namespace gyre {
namespace {

using internal::ListenerState;

constexpr Duration kPauseMin = std::chrono::milliseconds(5);
constexpr Duration kPauseMax = std::chrono::milliseconds(80);
constexpr Duration kLogInterval = std::chrono::seconds(1);

class Accepted {
 public:
  Accepted(int32_t result, DescriptorHandle connection) : result(result), connection(std::move(connection)) {}

  int32_t result;  // 0 or -errno
  DescriptorHandle connection;
};

class [[nodiscard]] AcceptOp final : public Op {
 public:
  explicit AcceptOp(Descriptor& listener) : Op(Opcode::kAccept, listener) {}
  template <class P>
  bool await_suspend(std::coroutine_handle<P> awaiting) {
    return SubmitFrom(awaiting);
  }
  Accepted await_resume() { return Accepted(result, DescriptorHandle(result == 0 ? accepted : nullptr)); }

 private:
  bool Undo() noexcept override {
    DescriptorHandle(result == 0 ? accepted : nullptr).Close();
    return true;
  }
};

bool IsShortage(int error) { return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS; }

void LogShortage(ListenerState& state, int error) noexcept try {
  const TimePoint now = Loop::Current().Now();
  if (now < state.next_log) return;
  state.next_log = now + kLogInterval;
  internal::Log("gyre: accepting pauses: " + std::string(internal::StatusFromErrno(error, "accept").message()));
} catch (const std::bad_alloc&) {
  internal::Log("gyre: accepting pauses for want of memory");
}

Task<absl::StatusOr<TcpStream>> AcceptNext(std::shared_ptr<ListenerState> state) {
  Backend& backend = Loop::Current().backend();
  for (Duration pause = kPauseMin;;) {
    if (!state->handle) co_return absl::FailedPreconditionError("the listener was closed");
    Accepted next = co_await AcceptOp(*state->handle);
    if (next.result == 0) co_return TcpStream(std::move(next.connection));
    const int error = -next.result;
    if (!IsShortage(error)) {
      if (error == EBADF) co_return absl::FailedPreconditionError("the listener was closed");
      co_return internal::StatusFromErrno(error, "accept");
    }
    if (!state->handle) continue;  // closed while this failure waited for its turn
    LogShortage(*state, error);
    if (state->policy == OverloadPolicy::kReset && backend.ShedOne(*state->handle)) continue;
    backend.counters().accept_pauses.Add(1);
    co_await internal::DescriptorPause(pause);
    pause = std::min(2 * pause, kPauseMax);
  }
}

// Of a member of a group in which another one accepts.
Task<absl::StatusOr<TcpStream>> AcceptNothing(std::shared_ptr<ListenerState> state) {
  co_await internal::UntilClosed(*state);
  co_return absl::FailedPreconditionError("the listener was closed");
}

}  // namespace

TcpListener::TcpListener(TcpListener&&) noexcept = default;

TcpListener& TcpListener::operator=(TcpListener&& other) noexcept {
  if (this == &other) return *this;
  Close();
  state_ = std::move(other.state_);
  return *this;
}

TcpListener::~TcpListener() { Close(); }

TcpListener::TcpListener(std::shared_ptr<internal::ListenerState> state) : state_(std::move(state)) {}

absl::StatusOr<TcpListener> TcpListener::Bind(Endpoint where, ListenOptions options) {
  absl::StatusOr<DescriptorHandle> handle = internal::OpenListener(where, options, /*listens=*/true);
  if (!handle.ok()) return handle.status();
  return TcpListener(std::make_shared<ListenerState>(*std::move(handle), options.overload_policy()));
}

Task<absl::StatusOr<TcpStream>> TcpListener::Accept() {
  GYRE_CHECK(state_ != nullptr, "a TcpListener was used after it had been moved from");
  if (state_->is_open && !state_->handle) return AcceptNothing(state_);
  return AcceptNext(state_);
}

absl::StatusOr<TcpStream> TcpListener::TryAccept() {
  GYRE_CHECK(is_open(), "a TcpListener was used after it had been closed or moved from");
  Descriptor* accepted = nullptr;
  const int result = state_->handle ? Loop::Current().backend().AcceptNow(*state_->handle, &accepted) : -EAGAIN;
  if (result < 0) return internal::StatusFromErrno(-result, "accept");
  return TcpStream(DescriptorHandle(accepted));
}

void TcpListener::Close() {
  if (state_ != nullptr) state_->Close();
}

internal::GroupMember* TcpListener::member() const { return state_ == nullptr ? nullptr : state_->member.get(); }

bool TcpListener::is_open() const { return state_ != nullptr && state_->is_open; }

absl::StatusOr<Endpoint> TcpListener::local_endpoint() const {
  GYRE_CHECK(is_open(), "a TcpListener was used after it had been closed or moved from");
  if (!state_->handle) return state_->where;
  return internal::LocalEndpoint(*state_->handle);
}

}  // namespace gyre
