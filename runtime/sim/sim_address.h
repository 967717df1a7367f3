// SimAddress: an IP address and port as the simulated network compares them.
//
// Thread-safety: a value.
#ifndef GYRE_RUNTIME_SIM_SIM_ADDRESS_H_
#define GYRE_RUNTIME_SIM_SIM_ADDRESS_H_

#include <sys/socket.h>

#include <array>
#include <compare>
#include <cstdint>

namespace gyre::internal {

struct SimAddress {
  int family = AF_INET;
  std::array<uint8_t, 16> ip{};  // IPv4 uses the first four
  uint16_t port = 0;             // host order

  static SimAddress Any(int family) { return SimAddress{family, {}, 0}; }
  static SimAddress Loopback(int family);

  // 0 or -errno, as bind and connect would say.
  static int Parse(const sockaddr* address, socklen_t length, int family, SimAddress& into);
  // As getsockname: fills what fits, and tells the full length.
  void Store(sockaddr* address, socklen_t* length) const;

  bool is_any() const { return ip == std::array<uint8_t, 16>{}; }
  // Two sockets bound to these can't both be told from the outside.
  bool Overlaps(const SimAddress& other) const {
    return family == other.family && port == other.port && (ip == other.ip || is_any() || other.is_any());
  }

  auto operator<=>(const SimAddress&) const = default;
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_SIM_SIM_ADDRESS_H_
