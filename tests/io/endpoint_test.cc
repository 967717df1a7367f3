#include "gyre/io/endpoint.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <sys/un.h>

#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "absl/hash/hash_testing.h"
#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace gyre {
namespace {

using namespace std::string_literals;

Endpoint MustParse(std::string_view text) {
  absl::StatusOr<Endpoint> endpoint = Endpoint::Parse(text);
  EXPECT_TRUE(endpoint.ok()) << text << ": " << endpoint.status();
  return endpoint.ok() ? *endpoint : Endpoint();
}

TEST(Endpoint, NamesTheUsualPlaces) {
  EXPECT_EQ(Endpoint::Any(80).ToString(), "0.0.0.0:80");
  EXPECT_EQ(Endpoint::Loopback(8080).ToString(), "127.0.0.1:8080");
  EXPECT_EQ(Endpoint().ToString(), "0.0.0.0:0");
}

TEST(Endpoint, ReadsWhatItShouldAndWritesItCanonically) {
  struct Row {
    std::string_view text;
    std::string_view canonical;
    int family;
    uint16_t port;
  };
  const Row rows[] = {
      {"127.0.0.1:80", "127.0.0.1:80", AF_INET, 80},
      {"0.0.0.0:0", "0.0.0.0:0", AF_INET, 0},
      {"255.255.255.255:65535", "255.255.255.255:65535", AF_INET, 65535},
      {":80", "0.0.0.0:80", AF_INET, 80},
      {":0", "0.0.0.0:0", AF_INET, 0},
      {"[::1]:80", "[::1]:80", AF_INET6, 80},
      {"[::]:0", "[::]:0", AF_INET6, 0},
      {"[2001:DB8:0:0:0:0:0:1]:443", "[2001:db8::1]:443", AF_INET6, 443},
      {"[2001:0db8:0001:0000:0000:0ab9:C0A8:0102]:1", "[2001:db8:1::ab9:c0a8:102]:1", AF_INET6, 1},
      {"[1:2:3:4:5:6:7:8]:9", "[1:2:3:4:5:6:7:8]:9", AF_INET6, 9},
      {"[::ffff:192.0.2.1]:7", "[::ffff:192.0.2.1]:7", AF_INET6, 7},
      {"[::ffff:c000:201]:7", "[::ffff:192.0.2.1]:7", AF_INET6, 7},
      {"[0000:0000:0000:0000:0000:ffff:255.255.255.255]:65535", "[::ffff:255.255.255.255]:65535", AF_INET6, 65535},
      {"[fe80::1%7]:80", "[fe80::1%7]:80", AF_INET6, 80},
      {"[fe80::1%4294967295]:80", "[fe80::1%4294967295]:80", AF_INET6, 80},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.text);
    const Endpoint endpoint = MustParse(row.text);
    EXPECT_EQ(endpoint.ToString(), row.canonical);
    EXPECT_EQ(endpoint.family(), row.family);
    EXPECT_EQ(endpoint.port(), row.port);
    EXPECT_EQ(MustParse(row.canonical), endpoint);
  }
}

TEST(Endpoint, RefusesEverythingElse) {
  // clang-format off
  const std::string texts[] = {
      // No port, or not a port.
      "", ":", "127.0.0.1", "127.0.0.1:", "[::1]", "[::1]:", "::1", "80", "127.0.0.1:-1", "127.0.0.1:+80",
      "127.0.0.1: 80", "127.0.0.1:80 ", "127.0.0.1:080", "127.0.0.1:00", "127.0.0.1:65536", "127.0.0.1:99999999999",
      "127.0.0.1:4294967376", "127.0.0.1:0x50", "127.0.0.1:80a", "127.0.0.1:http", "127.0.0.1:8\0"s, "127.0.0.1:80\n",
      // Not an IPv4 address.
      " 127.0.0.1:80", "127.0.0.1 :80", "127.0.0:80", "127.1:80", "2130706433:80", "1.2.3.4.5:80", "256.0.0.1:80",
      "010.0.0.1:80", "127.0.0.01:80", "00.0.0.0:80", "0x7f.0.0.1:80", "1..2.3:80", ".1.2.3:80", "1.2.3.:80",
      "-1.2.3.4:80", "+1.2.3.4:80", "1.2.3.4%1:80", "127.0.0.1\0:80"s, "\0:80"s, "127.0.0.1\0x:80"s, "127.0.0.1:80:80",
      "1.2.3.4/8:80",
      // Not an IPv6 address in brackets.
      "::1:80", "2001:db8::1:80", ":::80", "::80", "[]:80", "[:80", "]:80", "[[::1]]:80", "[::1:80", "::1]:80",
      "[::1]80", "[::1] :80", "[ ::1]:80", "[::1 ]:80", "[127.0.0.1]:80", "[1:2:3:4:5:6:7]:80",
      "[1:2:3:4:5:6:7:8:9]:80",
      "[1::2::3]:80", "[12345::]:80", "[g::]:80", "[:1::]:80", "[1:]:80", "[::ffff:010.0.0.1]:80", "[::ffff:1.2.3]:80",
      "[::1\0]:80"s, "[::1]]:80", "[::1]:[80]",
      // Not a scope.
      "[fe80::1%]:80", "[fe80::1%0]:80", "[fe80::1%01]:80", "[fe80::1%4294967296]:80", "[fe80::1%no-such-if]:80",
      "[fe80::1% 1]:80", "[fe80::1%%1]:80", "[fe80::1%25%1]:80", "[%1]:80", "[fe80::1%lo\0]:80"s, "[fe80::1%lo]x:80",
      "[fe80::1%a-name-longer-than-any-interface]:80", "[127.0.0.1%1]:80",
      // A name: resolved elsewhere.
      "localhost:80", "example.com:443", "*:80", "http://127.0.0.1:80", "unix:/tmp/x",
  };
  // clang-format on
  for (const std::string& text : texts) {
    const absl::StatusOr<Endpoint> endpoint = Endpoint::Parse(text);
    EXPECT_EQ(endpoint.status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(Endpoint, ReadsABareAddressWithThePortBeside) {
  EXPECT_EQ(Endpoint::Parse("127.0.0.1", 80).value(), Endpoint::Loopback(80));
  EXPECT_EQ(Endpoint::Parse("::1", 80).value(), MustParse("[::1]:80"));
  EXPECT_EQ(Endpoint::Parse("fe80::1%3", 80).value(), MustParse("[fe80::1%3]:80"));
  for (std::string_view text :
       {"", "[::1]", "127.0.0.1:80", "::1]", "localhost", "010.0.0.1", "1.2.3", " ::1", "::1%"}) {
    EXPECT_EQ(Endpoint::Parse(text, 80).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(Endpoint, ReadsAnInterfacesNameAsScope) {
  const unsigned index = if_nametoindex("lo");
  if (index == 0) GTEST_SKIP() << "no interface named lo";
  EXPECT_EQ(MustParse("[fe80::1%lo]:80"), MustParse("[fe80::1%" + std::to_string(index) + "]:80"));
}

TEST(Endpoint, ErrorsSayWhatWasExpectedAndQuoteSafely) {
  EXPECT_EQ(Endpoint::Parse("localhost:80").status().message(),
            "expected an IPv4 address, an IPv6 address in brackets, or nothing before the port, got \"localhost:80\"");
  EXPECT_EQ(Endpoint::Parse("127.0.0.1:http").status().message(),
            "expected a port of 0 to 65535 behind the last colon, got \"127.0.0.1:http\"");
  EXPECT_EQ(Endpoint::Parse("x\n\x1b\"\x90").status().message(),
            "expected ADDRESS:PORT like 127.0.0.1:80, [::1]:80 or :80, got \"x\\n\\x1b\\\"\\x90\"");
  const absl::Status long_text = Endpoint::Parse(std::string(100'000, '\xff')).status();
  EXPECT_LT(long_text.message().size(), 400u);
  EXPECT_EQ(long_text.message().substr(long_text.message().size() - 4), "...\"");
}

TEST(Endpoint, IsWhatTheSystemCallsTake) {
  const Endpoint v4 = MustParse("192.0.2.1:258");
  ASSERT_EQ(v4.length(), sizeof(sockaddr_in));
  sockaddr_in in4;
  std::memcpy(&in4, v4.address(), sizeof(in4));
  EXPECT_EQ(in4.sin_port, htons(258));
  EXPECT_EQ(in4.sin_addr.s_addr, htonl(0xc0000201));

  const Endpoint v6 = MustParse("[fe80::1%9]:258");
  ASSERT_EQ(v6.length(), sizeof(sockaddr_in6));
  sockaddr_in6 in6;
  std::memcpy(&in6, v6.address(), sizeof(in6));
  EXPECT_EQ(in6.sin6_port, htons(258));
  EXPECT_EQ(in6.sin6_scope_id, 9u);
}

TEST(Endpoint, TakesWhatTheSystemGivesAndIgnoresPadding) {
  for (std::string_view text : {"192.0.2.1:258", "[fe80::1%9]:258"}) {
    const Endpoint expected = MustParse(text);
    sockaddr_storage storage;
    std::memset(&storage, 0xee, sizeof(storage));
    std::memcpy(&storage, expected.address(), expected.length());
    if (expected.family() == AF_INET) std::memset(reinterpret_cast<sockaddr_in&>(storage).sin_zero, 0xee, 8);
    if (expected.family() == AF_INET6) reinterpret_cast<sockaddr_in6&>(storage).sin6_flowinfo = 77;
    const auto endpoint = Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&storage), sizeof(storage));
    ASSERT_TRUE(endpoint.ok()) << endpoint.status();
    EXPECT_EQ(*endpoint, expected);
    EXPECT_EQ(endpoint->ToString(), text);
  }
}

TEST(Endpoint, RefusesOtherFamiliesAndShortAddresses) {
  const Endpoint v4 = Endpoint::Loopback(80);
  const Endpoint v6 = MustParse("[::1]:80");
  sockaddr_un local{};
  local.sun_family = AF_UNIX;
  const absl::StatusOr<Endpoint> refused[] = {
      Endpoint::FromSockaddr(nullptr, 0),
      Endpoint::FromSockaddr(nullptr, sizeof(sockaddr_in)),
      Endpoint::FromSockaddr(v4.address(), sizeof(sockaddr_in) - 1),
      Endpoint::FromSockaddr(v6.address(), 0),
      Endpoint::FromSockaddr(v6.address(), 1),
      Endpoint::FromSockaddr(v6.address(), sizeof(sockaddr_in6) - 1),
      Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&local), sizeof(local)),
  };
  for (const auto& endpoint : refused) EXPECT_EQ(endpoint.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Endpoint, WithPortChangesOnlyThePort) {
  EXPECT_EQ(Endpoint::Any(1).with_port(65535), Endpoint::Any(65535));
  EXPECT_EQ(MustParse("[fe80::1%9]:1").with_port(2), MustParse("[fe80::1%9]:2"));
}

TEST(Endpoint, EqualMeansSameFamilyAddressScopeAndPort) {
  const std::vector<Endpoint> endpoints = {
      Endpoint::Any(80),           Endpoint::Any(81),           Endpoint::Loopback(80),
      MustParse("[::]:80"),        MustParse("[::1]:80"),       MustParse("[::1]:81"),
      MustParse("[fe80::1]:80"),   MustParse("[fe80::1%1]:80"), MustParse("[::ffff:127.0.0.1]:80"),
      MustParse("[fe80::1%2]:80"),
  };
  for (size_t i = 0; i < endpoints.size(); ++i) {
    for (size_t j = 0; j < endpoints.size(); ++j) EXPECT_EQ(endpoints[i] == endpoints[j], i == j) << i << " " << j;
  }
  EXPECT_TRUE(absl::VerifyTypeImplementsAbslHashCorrectly(endpoints));
}

TEST(Endpoint, RandomOnesSurviveTheRoundTrip) {
  const unsigned seed = 7;
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (int i = 0; i < 50'000; ++i) {
    sockaddr_storage storage{};
    auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
    auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
    if (random() % 2 == 0) {
      v4.sin_family = AF_INET;
      v4.sin_port = static_cast<in_port_t>(random());
      v4.sin_addr.s_addr = random();
    } else {
      v6.sin6_family = AF_INET6;
      v6.sin6_port = static_cast<in_port_t>(random());
      for (uint8_t& byte : v6.sin6_addr.s6_addr) byte = random() % 2 == 0 ? 0 : static_cast<uint8_t>(random());
      if (random() % 4 == 0) v6.sin6_scope_id = random();
    }
    const auto endpoint = Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&storage), sizeof(storage));
    ASSERT_TRUE(endpoint.ok());
    ASSERT_EQ(MustParse(endpoint->ToString()), *endpoint) << endpoint->ToString();
  }
}

// Whatever the bytes are, parsing ends with an endpoint that reads back, or an error.
TEST(Endpoint, RandomTextNeverConfusesTheParser) {
  const unsigned seed = 8;
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  constexpr std::string_view kAlphabet("0123456789abcdef:::...[]%%x \0-", 30);
  for (int i = 0; i < 200'000; ++i) {
    std::string text = i % 2 == 0 ? "" : "[fe80::1%2]:80";
    if (text.empty()) text.resize(random() % 24, '1');
    for (size_t edits = 1 + random() % 8; edits > 0 && !text.empty(); --edits) {
      text[random() % text.size()] = kAlphabet[random() % kAlphabet.size()];
    }
    const absl::StatusOr<Endpoint> endpoint = Endpoint::Parse(text);
    if (!endpoint.ok()) continue;
    ASSERT_EQ(MustParse(endpoint->ToString()), *endpoint) << text;
  }
}

}  // namespace
}  // namespace gyre
