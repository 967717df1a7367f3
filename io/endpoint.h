// Endpoint: an IPv4 or IPv6 address with a port, as bind, connect and accept use them.
//
// Thread-safety: a value; copies are independent.
// Errors:        Parse and FromSockaddr: kInvalidArgument, with what was expected and (escaped, cut) what was given.
//                Names are not resolved here.
// Cost:          32 bytes at most, no allocation. Parsing a scope given as an interface's name asks the system; nothing
//                else does.
#ifndef GYRE_IO_ENDPOINT_H_
#define GYRE_IO_ENDPOINT_H_

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"

namespace gyre {

class Endpoint {
 public:
  // 0.0.0.0:0: any IPv4 address, any port.
  Endpoint() : Endpoint(Any(0)) {}

  // Every IPv4 address of this machine (0.0.0.0). Parse("[::]:PORT") is the IPv6 one.
  static Endpoint Any(uint16_t port);

  // 127.0.0.1.
  static Endpoint Loopback(uint16_t port);

  // "127.0.0.1:80", "[::1]:80", "[fe80::1%eth0]:80" (the scope is an interface's name or number), or ":80" for Any(80).
  // Strict: decimal without leading zeros, no spaces, nothing behind.
  static absl::StatusOr<Endpoint> Parse(std::string_view text);

  // The same without a port in the text: "127.0.0.1", "::1", "fe80::1%eth0", no brackets.
  static absl::StatusOr<Endpoint> Parse(std::string_view address, uint16_t port);

  // From what a system call filled in; `address` may be unaligned. Keeps family, address, port and scope.
  static absl::StatusOr<Endpoint> FromSockaddr(const sockaddr* address, socklen_t length);

  // For system calls: points into this Endpoint.
  const sockaddr* address() const { return &any_; }
  socklen_t length() const { return is_ipv4() ? sizeof(v4_) : sizeof(v6_); }

  int family() const { return any_.sa_family; }  // AF_INET or AF_INET6
  uint16_t port() const { return ntohs(is_ipv4() ? v4_.sin_port : v6_.sin6_port); }
  Endpoint with_port(uint16_t port) const;

  // What Parse reads back as an equal Endpoint; IPv6 in its canonical form, a scope as a number.
  std::string ToString() const;

  friend bool operator==(const Endpoint& a, const Endpoint& b);

  template <class H>
  friend H AbslHashValue(H state, const Endpoint& endpoint) {
    state = H::combine(std::move(state), endpoint.family(), endpoint.port());
    if (endpoint.is_ipv4()) return H::combine(std::move(state), endpoint.v4_.sin_addr.s_addr);
    const auto& bytes = endpoint.v6_.sin6_addr.s6_addr;
    state = H::combine_contiguous(std::move(state), bytes, sizeof(bytes));
    return H::combine(std::move(state), endpoint.v6_.sin6_scope_id);
  }

 private:
  Endpoint(const in_addr& address, uint16_t port);
  Endpoint(const in6_addr& address, uint32_t scope, uint16_t port);

  static bool ParseAddress(std::string_view text, uint16_t port, Endpoint& into);

  bool is_ipv4() const { return any_.sa_family == AF_INET; }

  union {
    sockaddr any_;
    sockaddr_in v4_;
    sockaddr_in6 v6_;
  };
};
static_assert(sizeof(Endpoint) <= 32);

}  // namespace gyre

#endif  // GYRE_IO_ENDPOINT_H_
