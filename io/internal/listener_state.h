// ListenerState: what a TcpListener refers to, shared with the Accept that waits; and how a listening socket is opened.
//
// Thread-safety: the listener's loop only.
#ifndef GYRE_IO_INTERNAL_LISTENER_STATE_H_
#define GYRE_IO_INTERNAL_LISTENER_STATE_H_

#include <coroutine>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "gyre/io/endpoint.h"
#include "gyre/io/internal/accept_group.h"
#include "gyre/io/tcp_options.h"
#include "gyre/runtime/backend.h"
#include "gyre/runtime/check.h"
#include "gyre/runtime/leaf.h"
#include "gyre/runtime/time.h"

namespace gyre::internal {

class UntilClosed;

class ListenerState {
 public:
  ListenerState(DescriptorHandle handle, OverloadPolicy policy) : handle(std::move(handle)), policy(policy) {}

  void Close();

  DescriptorHandle handle;  // empty once closed; and in a member that only takes over what another one accepts
  const OverloadPolicy policy;
  TimePoint next_log;
  bool is_open = true;

  // --- of a ListenerGroup
  std::shared_ptr<GroupMember> member;  // null: of none
  Endpoint where;
  UntilClosed* waiter = nullptr;  // the Accept of a member without a socket
};

// Waits until the listener is closed.
//
// Cancellation: ends at once.
class [[nodiscard]] UntilClosed final : public Leaf {
 public:
  explicit UntilClosed(ListenerState& state) : state_(state) {}

  template <class P>
  bool await_suspend(std::coroutine_handle<P> awaiting) {
    return Suspend(awaiting, [this] {
      if (!state_.is_open) return true;
      GYRE_CHECK(state_.waiter == nullptr, "two Accepts waited on one listener at the same time");
      state_.waiter = this;
      return false;
    });
  }
  void await_resume() const noexcept {}

 private:
  friend class ListenerState;

  void OnStop() noexcept override {
    state_.waiter = nullptr;
    CompleteStopped();
  }

  ListenerState& state_;
};

inline void ListenerState::Close() {
  is_open = false;
  handle.Close();
  if (UntilClosed* const waiting = std::exchange(waiter, nullptr)) waiting->Complete();
}

// On a running loop. Bound, and listening unless `listens` is false. Errors: the errno, naming the address.
absl::StatusOr<DescriptorHandle> OpenListener(const Endpoint& where, const ListenOptions& options, bool listens);

}  // namespace gyre::internal

#endif  // GYRE_IO_INTERNAL_LISTENER_STATE_H_
