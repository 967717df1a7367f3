// Does CPU work on the pool delay the loop, or the blocking calls beside it?
//
// A client sends 64 bytes to an echo server every 200 us over loopback and takes the time until they are back: first
// while the pool is idle, then while each of its threads computes, with the kernel's usual scheduling and as
// SCHED_BATCH. Beside that, how long a blocking call waits for a thread meanwhile. Where loops have no core of their
// own, this is the kernel's doing: compare rows.
//
//   isolation_bench [--short]
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "gyre/bench/latency_histogram.h"
#include "gyre/io/buffer.h"
#include "gyre/io/endpoint.h"
#include "gyre/io/tcp_listener.h"
#include "gyre/io/tcp_stream.h"
#include "gyre/runtime/offload/blocking_pool.h"
#include "gyre/runtime/offload/cpu_pool.h"
#include "gyre/runtime/offload/offload.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/try.h"
#include "gyre/runtime/with_scope.h"

namespace gyre::bench {
namespace {

using namespace std::chrono_literals;

constexpr size_t kBytes = 64;

// What a client measures, in a thread of its own, with plain blocking calls.
LatencyHistogram MeasureRoundTrips(uint16_t port, int count) {
  LatencyHistogram histogram;
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int on = 1;
  if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
      connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    std::abort();
  }
  char bytes[kBytes] = {};
  for (int i = 0; i < count; ++i) {
    std::this_thread::sleep_for(200us);  // the pace of the client: its loop is asleep when the next bytes come
    const auto start = std::chrono::steady_clock::now();
    if (send(fd, bytes, kBytes, MSG_NOSIGNAL) != kBytes || recv(fd, bytes, kBytes, MSG_WAITALL) != kBytes) std::abort();
    histogram.Add(static_cast<uint64_t>((std::chrono::steady_clock::now() - start).count()));
  }
  close(fd);
  return histogram;
}

Task<absl::Status> Echo(TcpStream peer) {
  for (;;) {
    Buffer chunk = co_await Try(co_await peer.Receive());
    if (chunk.empty()) co_return absl::OkStatus();
    co_await Try(co_await peer.Send(chunk));
  }
}

struct Figures {
  LatencyHistogram echo;
  Duration blocking_p99 = Duration::zero();
};

Figures Measure(int busy_threads, bool batch, int count) {
  CpuPool pool(CpuPoolOptions().set_batch_scheduling(batch));
  BlockingPool blocking;
  std::atomic<bool> is_over{false};
  Figures figures;
  auto compute = [&]() -> Task<> {
    co_await Offload(pool, [&is_over] {
      volatile uint64_t sum = 0;
      while (!is_over.load(std::memory_order_relaxed)) {
        for (uint64_t i = 0; i < 1000; ++i) sum = sum + i;
      }
    });
  };
  auto call_now_and_then = [&]() -> Task<> {
    while (!is_over) {
      // The call that blocks: what it waits for does not matter.
      co_await OffloadBlocking(OffloadOptions().set_executor(blocking), [] { std::this_thread::sleep_for(1ms); });
    }
  };
  auto root = [&](Scope& scope) -> Task<absl::Status> {
    TcpListener listener = co_await Try(TcpListener::Bind(Endpoint::Loopback(0)));
    const uint16_t port = (co_await Try(listener.local_endpoint())).port();
    for (int i = 0; i < busy_threads; ++i) scope.Spawn(compute);
    scope.Spawn(call_now_and_then);
    auto measure = [&]() -> Task<> {
      figures.echo = co_await OffloadBlocking(MeasureRoundTrips, port, count);
      is_over = true;
    };
    scope.Spawn(measure);
    TcpStream peer = co_await Try(co_await listener.Accept());
    co_return co_await Echo(std::move(peer));
  };
  const absl::Status status = gyre::Run(root);
  if (!status.ok()) std::abort();
  figures.blocking_p99 = blocking.metrics().queued.Quantile(0.99);
  return figures;
}

void Print(const char* name, const Figures& figures) {
  std::printf("%-38s %10.0f %10.0f %10.0f %14.0f\n", name, figures.echo.Percentile(50) / 1000,
              figures.echo.Percentile(99) / 1000, figures.echo.Percentile(99.9) / 1000,
              static_cast<double>(figures.blocking_p99.count()) / 1000);
}

}  // namespace
}  // namespace gyre::bench

int main(int argc, char** argv) {
  using gyre::bench::Measure;
  using gyre::bench::Print;
  int count = 10'000;
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) != "--short") {
      std::fprintf(stderr, "unknown flag %s: expected --short\n", argv[i]);
      return 2;
    }
    count = 100;
  }
  const int threads = gyre::CpuPool().threads();
  std::printf("echo of 64 bytes beside a CpuPool of %d, us\n%-38s %10s %10s %10s %14s\n", threads, "", "p50", "p99",
              "p99.9", "blocking p99");
  Print("the pool is idle", Measure(0, false, count));
  Print("all its threads compute", Measure(threads, false, count));
  Print("all its threads compute, SCHED_BATCH", Measure(threads, true, count));
  return 0;
}
