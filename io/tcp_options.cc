#include "gyre/io/tcp_options.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace gyre::internal {

int ApplyTcpOptions(Descriptor& descriptor, const TcpOptions& options) {
  Backend& backend = *descriptor.backend();
  int result = 0;
  auto set = [&](bool wanted, int level, int name, int value) {
    if (wanted && result == 0) result = backend.SetOption(descriptor, level, name, value);
  };
  set(options.no_delay(), IPPROTO_TCP, TCP_NODELAY, 1);
  set(options.keep_alive(), SOL_SOCKET, SO_KEEPALIVE, 1);
  set(options.send_buffer_bytes() > 0, SOL_SOCKET, SO_SNDBUF, options.send_buffer_bytes());
  set(options.receive_buffer_bytes() > 0, SOL_SOCKET, SO_RCVBUF, options.receive_buffer_bytes());
  return result;
}

}  // namespace gyre::internal
