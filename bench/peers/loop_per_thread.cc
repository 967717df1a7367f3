#include "gyre/bench/peers/loop_per_thread.h"

#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <thread>
#include <vector>

#include "gyre/bench/cpus.h"

namespace gyre::bench {
namespace {

class LoopThreads {
 public:
  LoopThreads(const ServeRequest& request, void (*serve)(const LoopPlace&)) : request_(request), serve_(serve) {}

  void Run() {
    ServeOne(/*loop=*/0, /*port=*/0);
    for (std::thread& other : others_) other.join();
  }

 private:
  void ServeOne(int loop, std::uint16_t port) {
    if (!request_.cpus.empty()) RunOnlyOn(request_.cpus.subspan(loop, 1));
    LoopPlace place;
    place.stop_fd = request_.stop_fd;
    place.port = port;
    place.is_shared = request_.loops > 1;
    place.on_listening = [this, loop](std::uint16_t its_port) { OnListening(loop, its_port); };
    serve_(place);
  }

  void OnListening(int loop, std::uint16_t port) {
    if (++listening_ == request_.loops) request_.on_listening(port);
    if (loop > 0) return;
    for (int other = 1; other < request_.loops; ++other) {
      others_.emplace_back([this, other, port] { ServeOne(other, port); });
    }
  }

  const ServeRequest& request_;
  void (*const serve_)(const LoopPlace&);
  std::vector<std::thread> others_;  // the first loop's thread alone touches it
  std::atomic<int> listening_{0};    // counts; the default order is more than it needs
};

}  // namespace

void ServeOnEachLoop(const ServeRequest& request, void (*serve)(const LoopPlace&)) {
  LoopThreads(request, serve).Run();
}

void ShareAddress(std::string_view server, int fd) {
  const int on = 1;
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0) {
    ServerFailed(server, "setsockopt(SO_REUSEPORT)", errno);
  }
}

}  // namespace gyre::bench
