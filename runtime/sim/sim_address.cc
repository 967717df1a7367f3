#include "gyre/runtime/sim/sim_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

namespace gyre::internal {

SimAddress SimAddress::Loopback(int family) {
  SimAddress loopback{family, {}, 0};
  if (family == AF_INET) {
    loopback.ip[0] = 127;
    loopback.ip[3] = 1;
  } else {
    loopback.ip[15] = 1;
  }
  return loopback;
}

int SimAddress::Parse(const sockaddr* address, socklen_t length, int family, SimAddress& into) {
  if (length < sizeof(sa_family_t)) return -EINVAL;
  sa_family_t given;
  std::memcpy(&given, reinterpret_cast<const char*>(address) + offsetof(sockaddr, sa_family), sizeof(given));
  if (given != family) return -EAFNOSUPPORT;
  into = Any(family);
  if (family == AF_INET) {
    sockaddr_in v4;
    if (length < sizeof(v4)) return -EINVAL;
    std::memcpy(&v4, address, sizeof(v4));
    std::memcpy(into.ip.data(), &v4.sin_addr, 4);
    into.port = ntohs(v4.sin_port);
  } else {
    sockaddr_in6 v6;
    if (length < sizeof(v6)) return -EINVAL;
    std::memcpy(&v6, address, sizeof(v6));
    std::memcpy(into.ip.data(), &v6.sin6_addr, 16);
    into.port = ntohs(v6.sin6_port);
  }
  return 0;
}

void SimAddress::Store(sockaddr* address, socklen_t* length) const {
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  v4.sin_family = AF_INET;
  v4.sin_port = v6.sin6_port = htons(port);
  v6.sin6_family = AF_INET6;
  std::memcpy(&v4.sin_addr, ip.data(), 4);
  std::memcpy(&v6.sin6_addr, ip.data(), 16);
  const socklen_t full = family == AF_INET ? sizeof(v4) : sizeof(v6);
  const void* const from = family == AF_INET ? static_cast<const void*>(&v4) : &v6;
  std::memcpy(address, from, std::min(*length, full));
  *length = full;
}

}  // namespace gyre::internal
