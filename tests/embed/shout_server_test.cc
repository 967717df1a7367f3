#include "shout_server.h"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "gtest/gtest.h"
#include "gyre/gyre.h"
#include "gyre/runtime/sim/sim_world.h"

namespace shout {
namespace {

// What comes back for `text`.
gyre::Task<absl::StatusOr<std::string>> ShoutAt(gyre::Endpoint where, std::string_view text) {
  gyre::TcpStream peer = co_await gyre::Try(co_await gyre::TcpStream::Connect(where));
  co_await gyre::Try(co_await peer.Send(text));
  co_await gyre::Try(peer.ShutdownSend());
  std::string heard;
  for (;;) {
    gyre::Buffer chunk = co_await gyre::Try(co_await peer.Receive());
    if (chunk.empty()) co_return heard;
    heard += chunk.string_view();
  }
}

gyre::Task<absl::Status> AnswerNext(gyre::TcpListener& listener) {
  gyre::TcpStream peer = co_await gyre::Try(co_await listener.Accept());
  co_return co_await Answer(std::move(peer));
}

gyre::Task<absl::StatusOr<std::string>> ServeAndShout() {
  gyre::TcpListener listener = co_await gyre::Try(gyre::TcpListener::Bind(gyre::Endpoint::Loopback(0)));
  const gyre::Endpoint where = co_await gyre::Try(listener.local_endpoint());
  auto body = [&](gyre::Scope& scope) -> gyre::Task<absl::StatusOr<std::string>> {
    scope.Spawn(AnswerNext, std::ref(listener));
    co_return co_await ShoutAt(where, "hello\ngyre\n");
  };
  co_return co_await gyre::WithScope(body);
}

TEST(ShoutServer, AnswersLouder) {
  const absl::StatusOr<std::string> heard = gyre::Run(ServeAndShout());
  ASSERT_TRUE(heard.ok()) << heard.status();
  EXPECT_EQ(*heard, "HELLO!\nGYRE!\n");
}

TEST(ShoutServer, AnswersLouderWhateverTheNetworkDoes) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    gyre::testing::SimWorld world(seed);
    const absl::StatusOr<std::string> heard = world.Run(ServeAndShout());
    ASSERT_TRUE(heard.ok()) << "seed " << seed << ": " << heard.status();
    EXPECT_EQ(*heard, "HELLO!\nGYRE!\n") << "seed " << seed;
  }
}

}  // namespace
}  // namespace shout
