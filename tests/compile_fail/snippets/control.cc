// must compile
//
// The correct neighbours of everything that the other snippets get wrong.
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "gyre/io/tcp_stream.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/try.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/sync/broadcast.h"
#include "gyre/sync/channel.h"
#include "gyre/sync/oneshot.h"
#include "gyre/sync/priority_queue.h"
#include "gyre/sync/watch.h"

struct alignas(64) Line {
  int value = 0;
};

gyre::Task<std::unique_ptr<Line>> MakeLine() { co_return std::make_unique<Line>(); }
gyre::Task<int> Answer() { co_return 42; }

gyre::Task<absl::Status> Serve(gyre::TcpStream& peer) {
  const std::string greeting = "hello";
  co_await gyre::Try(co_await peer.Send(greeting));
  co_await gyre::Try(co_await peer.Send("a literal lives long enough"));
  gyre::Task<int> task = Answer();
  const int answer = co_await std::move(task);
  auto body = [greeting, &answer](gyre::Scope& scope) -> gyre::Task<absl::Status> {
    scope.Spawn([greeting]() -> gyre::Task<> { co_await gyre::Yield(); });
    co_return answer == 42 ? absl::OkStatus() : absl::InternalError(greeting);
  };
  co_await gyre::Try(co_await gyre::WithScope(body));
  co_return co_await gyre::WithScope([&](gyre::Scope&) -> gyre::Task<absl::Status> { co_return absl::OkStatus(); });
}

gyre::Channel<std::unique_ptr<Line>> channel(1);
gyre::Oneshot<std::unique_ptr<Line>> oneshot;
gyre::PriorityQueue<std::unique_ptr<int>> queue;
gyre::Broadcast<std::shared_ptr<const Line>> broadcast(1);
gyre::Watch<std::shared_ptr<const Line>> watch(nullptr);

int main() {
  return gyre::Run([] { return Answer(); }) + gyre::Run(Answer()) + gyre::Run(MakeLine())->value;
}
