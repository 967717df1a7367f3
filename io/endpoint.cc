#include "gyre/io/endpoint.h"

#include <arpa/inet.h>
#include <net/if.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <limits>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace gyre {
namespace {

constexpr size_t kQuotedMax = 64;  // bytes of a caller's text that an error repeats

absl::Status Expected(absl::string_view what, std::string_view text) {
  const std::string quoted = absl::CHexEscape(absl::string_view(text.data(), std::min(text.size(), kQuotedMax)));
  return absl::InvalidArgumentError(
      absl::StrCat("expected ", what, ", got \"", quoted, text.size() > kQuotedMax ? "...\"" : "\""));
}

// A decimal number as ToString would write it: digits alone, no leading zero, at most `max`.
std::optional<uint32_t> ParseNumber(std::string_view text, uint32_t max) {
  if (text.empty() || text.size() > 10) return std::nullopt;
  if (text.front() == '0' && text.size() > 1) return std::nullopt;
  uint64_t number = 0;
  for (const char digit : text) {
    if (digit < '0' || digit > '9') return std::nullopt;
    number = number * 10 + static_cast<uint64_t>(digit - '0');
  }
  if (number > max) return std::nullopt;
  return static_cast<uint32_t>(number);
}

std::optional<uint16_t> ParsePort(std::string_view text) {
  const std::optional<uint32_t> port = ParseNumber(text, std::numeric_limits<uint16_t>::max());
  if (!port.has_value()) return std::nullopt;
  return static_cast<uint16_t>(*port);
}

// An interface's number (0 means "no scope" to the system, so it can't be asked for), or its name.
std::optional<uint32_t> ParseScope(std::string_view text) {
  if (const auto number = ParseNumber(text, std::numeric_limits<uint32_t>::max()); number.has_value()) {
    return *number != 0 ? number : std::nullopt;
  }
  char name[IF_NAMESIZE] = {};
  if (text.empty() || text.size() >= sizeof(name) || text.find('\0') != text.npos) return std::nullopt;
  text.copy(name, text.size());
  const unsigned index = if_nametoindex(name);
  return index != 0 ? std::optional<uint32_t>(index) : std::nullopt;
}

// inet_pton is as strict as we want (no octal, no shorthand), but reads up to a NUL.
bool ParseBytes(int family, std::string_view text, void* into) {
  char terminated[INET6_ADDRSTRLEN] = {};
  if (text.size() >= sizeof(terminated) || text.find('\0') != text.npos) return false;
  text.copy(terminated, text.size());
  return inet_pton(family, terminated, into) == 1;
}

}  // namespace

Endpoint::Endpoint(const in_addr& address, uint16_t port) : v6_{} {
  v4_.sin_family = AF_INET;
  v4_.sin_port = htons(port);
  v4_.sin_addr = address;
}

Endpoint::Endpoint(const in6_addr& address, uint32_t scope, uint16_t port) : v6_{} {
  v6_.sin6_family = AF_INET6;
  v6_.sin6_port = htons(port);
  v6_.sin6_addr = address;
  v6_.sin6_scope_id = scope;
}

Endpoint Endpoint::Any(uint16_t port) { return Endpoint(in_addr{htonl(INADDR_ANY)}, port); }

Endpoint Endpoint::Loopback(uint16_t port) { return Endpoint(in_addr{htonl(INADDR_LOOPBACK)}, port); }

bool Endpoint::ParseAddress(std::string_view text, uint16_t port, Endpoint& into) {
  if (in_addr v4; ParseBytes(AF_INET, text, &v4)) {
    into = Endpoint(v4, port);
    return true;
  }
  const size_t percent = text.find('%');
  in6_addr v6;
  if (!ParseBytes(AF_INET6, text.substr(0, percent), &v6)) return false;
  std::optional<uint32_t> scope = 0;
  if (percent != text.npos) scope = ParseScope(text.substr(percent + 1));
  if (!scope.has_value()) return false;
  into = Endpoint(v6, *scope, port);
  return true;
}

absl::StatusOr<Endpoint> Endpoint::Parse(std::string_view address, uint16_t port) {
  Endpoint endpoint;
  if (ParseAddress(address, port, endpoint)) return endpoint;
  return Expected("an IPv4 or IPv6 address like 127.0.0.1, ::1 or fe80::1%eth0", address);
}

absl::StatusOr<Endpoint> Endpoint::Parse(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == text.npos) return Expected("ADDRESS:PORT like 127.0.0.1:80, [::1]:80 or :80", text);
  const std::optional<uint16_t> port = ParsePort(text.substr(colon + 1));
  if (!port.has_value()) return Expected("a port of 0 to 65535 behind the last colon", text);

  std::string_view address = text.substr(0, colon);
  if (address.empty()) return Any(*port);
  const bool in_brackets = address.size() >= 2 && address.front() == '[' && address.back() == ']';
  if (in_brackets) address = address.substr(1, address.size() - 2);
  Endpoint endpoint;
  if (ParseAddress(address, *port, endpoint) && in_brackets == (endpoint.family() == AF_INET6)) return endpoint;
  return Expected("an IPv4 address, an IPv6 address in brackets, or nothing before the port", text);
}

absl::StatusOr<Endpoint> Endpoint::FromSockaddr(const sockaddr* address, socklen_t length) {
  sa_family_t family = AF_UNSPEC;
  if (address != nullptr && length >= offsetof(sockaddr, sa_family) + sizeof(family)) {
    std::memcpy(&family, reinterpret_cast<const char*>(address) + offsetof(sockaddr, sa_family), sizeof(family));
  }
  if (family == AF_INET && length >= sizeof(sockaddr_in)) {
    sockaddr_in v4;
    std::memcpy(&v4, address, sizeof(v4));
    return Endpoint(v4.sin_addr, ntohs(v4.sin_port));
  }
  if (family == AF_INET6 && length >= sizeof(sockaddr_in6)) {
    sockaddr_in6 v6;
    std::memcpy(&v6, address, sizeof(v6));
    return Endpoint(v6.sin6_addr, v6.sin6_scope_id, ntohs(v6.sin6_port));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("expected a whole IPv4 or IPv6 socket address, got family ", family, " with ", length, " bytes"));
}

Endpoint Endpoint::with_port(uint16_t port) const {
  Endpoint changed = *this;
  (is_ipv4() ? changed.v4_.sin_port : changed.v6_.sin6_port) = htons(port);
  return changed;
}

std::string Endpoint::ToString() const {
  char text[INET6_ADDRSTRLEN];
  if (is_ipv4()) return absl::StrCat(inet_ntop(AF_INET, &v4_.sin_addr, text, sizeof(text)), ":", port());
  inet_ntop(AF_INET6, &v6_.sin6_addr, text, sizeof(text));
  if (v6_.sin6_scope_id == 0) return absl::StrCat("[", text, "]:", port());
  return absl::StrCat("[", text, "%", v6_.sin6_scope_id, "]:", port());
}

// The other fields are always zero; see the constructors.
bool operator==(const Endpoint& a, const Endpoint& b) {
  if (a.family() != b.family() || a.port() != b.port()) return false;
  if (a.is_ipv4()) return a.v4_.sin_addr.s_addr == b.v4_.sin_addr.s_addr;
  return std::memcmp(&a.v6_.sin6_addr, &b.v6_.sin6_addr, sizeof(in6_addr)) == 0 &&
         a.v6_.sin6_scope_id == b.v6_.sin6_scope_id;
}

}  // namespace gyre
