#include "gyre/io/internal/listener_state.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "gyre/runtime/errors.h"
#include "gyre/runtime/loop.h"

namespace gyre::internal {
namespace {

int Prepare(Descriptor& descriptor, const Endpoint& where, const ListenOptions& options) {
  Backend& backend = *descriptor.backend();
  int result = backend.SetOption(descriptor, SOL_SOCKET, SO_REUSEADDR, 1);
  if (result == 0 && options.reuse_port()) result = backend.SetOption(descriptor, SOL_SOCKET, SO_REUSEPORT, 1);
  if (result == 0 && where.family() == AF_INET6) {
    result = backend.SetOption(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, options.ipv6_only());
  }
  if (result == 0) result = ApplyTcpOptions(descriptor, options.stream_options());
  return result;
}

}  // namespace

absl::StatusOr<DescriptorHandle> OpenListener(const Endpoint& where, const ListenOptions& options, bool listens) {
  Backend& backend = Loop::Current().backend();
  auto fail = [&where](int result, const char* what) { return StatusFromErrno(-result, what + where.ToString()); };
  Descriptor* descriptor = nullptr;
  if (const int result = backend.OpenStream(where.family(), &descriptor); result < 0) return fail(result, "open ");
  DescriptorHandle handle(descriptor);
  if (const int result = Prepare(*handle, where, options); result < 0) return fail(result, "set options of ");
  if (const int result = backend.Bind(*handle, where.address(), where.length()); result < 0) {
    return fail(result, "bind ");
  }
  const int result = listens ? backend.Listen(*handle, options.backlog()) : 0;
  if (result < 0) return fail(result, "listen at ");
  return handle;
}

}  // namespace gyre::internal
