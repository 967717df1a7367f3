#include "gyre/io/listener_group.h"

#include <utility>

#include "gyre/io/internal/listener_state.h"
#include "gyre/io/internal/socket_address.h"
#include "gyre/runtime/backend.h"
#include "gyre/runtime/check.h"
#include "gyre/runtime/errors.h"
#include "gyre/runtime/loop.h"

namespace gyre {

using internal::ListenerState;

ListenerGroup::ListenerGroup(Endpoint where, size_t members, ListenOptions options)
    : options_(options),
      group_(std::make_shared<internal::AcceptGroup>(members, options.balance())),
      where_(where),
      is_taken_(members) {
  GYRE_CHECK(members > 0, "a ListenerGroup needs at least one member");
}

int64_t ListenerGroup::connections(size_t member) const {
  GYRE_CHECK(member < members(), "ListenerGroup::connections: there is no member of this number");
  return group_->member(member).connections();
}

absl::StatusOr<TcpListener> ListenerGroup::Listen(size_t member) {
  GYRE_CHECK(member < members(), "ListenerGroup::Listen: there is no member of this number");
  Backend& backend = Loop::Current().backend();
  const std::lock_guard lock(mutex_);
  if (!opened_.has_value()) opened_ = Open();
  if (!opened_->ok()) return *opened_;
  GYRE_CHECK(!is_taken_[member], "ListenerGroup::Listen was called twice for one member");
  DescriptorHandle handle;
  if (sockets_[member]) {
    Descriptor* adopted = nullptr;
    int result = backend.AdoptBare(sockets_[member], &adopted);
    handle = DescriptorHandle(adopted);
    // It listens already; this tells the backend.
    if (result == 0) result = backend.Listen(*handle, options_.backlog());
    if (result < 0) return internal::StatusFromErrno(-result, "listen at " + where_.ToString());
  }
  is_taken_[member] = true;
  auto state = std::make_shared<ListenerState>(std::move(handle), options_.overload_policy());
  state->member = std::shared_ptr<internal::GroupMember>(group_, &group_->member(member));
  state->where = where_;
  return TcpListener(std::move(state));
}

// All of them at once, in the order of the members: kCpu counts on that, and a port that is taken is noticed before any
// client has come.
absl::Status ListenerGroup::Open() {
  if (options_.balance() == AcceptBalance::kCpu && options_.reuse_port()) {
    return absl::InvalidArgumentError(
        "AcceptBalance::kCpu can't share its port (set_reuse_port): the kernel would count the other server's sockets, too");
  }
  const size_t sockets = options_.balance() == AcceptBalance::kExact ? 1 : members();
  ListenOptions options = options_;
  if (sockets > 1 && !options.reuse_port()) {
    // Without SO_REUSEPORT the kernel says whether anybody listens there.
    absl::StatusOr<DescriptorHandle> probe = internal::OpenListener(where_, options, /*listens=*/false);
    if (!probe.ok()) return probe.status();
    options.set_reuse_port(true);
  }
  Endpoint where = where_;
  std::vector<BareDescriptor> opened(members());
  for (size_t i = 0; i < sockets; ++i) {
    absl::StatusOr<DescriptorHandle> handle = internal::OpenListener(where, options, /*listens=*/true);
    if (!handle.ok()) return handle.status();
    absl::StatusOr<Endpoint> local = internal::LocalEndpoint(**handle);
    if (!local.ok()) return local.status();
    where = *local;
    Backend& backend = *(*handle)->backend();
    int result = 0;
    if (sockets > 1 && i + 1 == sockets && options.balance() == AcceptBalance::kCpu) {
      result = backend.SteerByCpu(**handle, static_cast<uint32_t>(sockets));
    }
    if (result == 0) result = backend.ReleaseBare(**handle, {}, &opened[i]);
    if (result < 0) return internal::StatusFromErrno(-result, "listen at " + where.ToString());
    handle->Take();
  }
  where_ = where;
  sockets_ = std::move(opened);
  return absl::OkStatus();
}

}  // namespace gyre
