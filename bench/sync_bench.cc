// What does it cost to synchronise: through a semaphore that is free, through one for which a thousand wait, through a channel on
// one loop and between two?
//
// The raw sides are what has to happen at least: a counter, two atomic operations, a resumption from a ring of handles, a ring
// buffer between two bare coroutines, a mutex and a condition variable around one between two threads.
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <coroutine>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "gyre/bench/cost_table.h"
#include "gyre/bench/peers/asio_channel.h"
#include "gyre/bench/raw_coroutine.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/run_on.h"
#include "gyre/runtime/runtime.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/sync/channel.h"
#include "gyre/sync/mutex.h"
#include "gyre/sync/semaphore.h"

namespace gyre::bench {
namespace {

constexpr size_t kCapacity = 64;

// The compiler may not know what becomes of `value`.
template <class T>
void Touch(T& value) {
  asm volatile("" : "+m"(value));
}

void Require(bool ok) {
  if (!ok) std::abort();
}

// --- a semaphore that is free

template <class Semaphore>
double AcquireRelease(uint64_t count) {
  auto root = [&]() -> Task<double> {
    Semaphore semaphore(4);
    const Stopwatch watch;
    for (uint64_t i = 0; i < count; ++i) {
      const typename Semaphore::Permit permit = co_await semaphore.Acquire();
    }
    co_return watch.ElapsedNs();
  };
  return Run(root);
}
double LocalAcquireRelease(uint64_t count) { return AcquireRelease<Semaphore>(count); }
double SharedAcquireRelease(uint64_t count) { return AcquireRelease<SharedSemaphore>(count); }

template <class Mutex>
double LockUnlock(uint64_t count) {
  auto root = [&]() -> Task<double> {
    Mutex mutex;
    const Stopwatch watch;
    for (uint64_t i = 0; i < count; ++i) {
      const typename Mutex::Guard guard = co_await mutex.Lock();
    }
    co_return watch.ElapsedNs();
  };
  return Run(root);
}
double LocalLockUnlock(uint64_t count) { return LockUnlock<Mutex>(count); }
double SharedLockUnlock(uint64_t count) { return LockUnlock<SharedMutex>(count); }

double RawCounter(uint64_t count) {
  uint64_t free = 4;
  const Stopwatch watch;
  for (uint64_t i = 0; i < count; ++i) {
    --free;
    Touch(free);
    ++free;
    Touch(free);
  }
  return watch.ElapsedNs();
}

double RawAtomics(uint64_t count) {
  std::atomic<uint64_t> free{4};
  const Stopwatch watch;
  for (uint64_t i = 0; i < count; ++i) {
    free.fetch_sub(1);
    free.fetch_add(1);
  }
  return watch.ElapsedNs();
}

// --- a semaphore of one unit, handed on

constexpr uint64_t kWaiters = 1000;

template <class Semaphore>
Task<> TakeTurns(Semaphore& semaphore, uint64_t turns) {
  for (uint64_t i = 0; i < turns; ++i) {
    const typename Semaphore::Permit permit = co_await semaphore.Acquire();
  }
}

template <class Semaphore>
double HandOver(uint64_t count) {
  double elapsed = 0;
  auto root = [&]() -> Task<> {
    Semaphore semaphore(1);
    auto body = [&](Scope& scope) -> Task<> {
      const typename Semaphore::Permit permit = co_await semaphore.Acquire();
      for (uint64_t i = 0; i < kWaiters; ++i) {
        scope.Spawn(TakeTurns<Semaphore>, std::ref(semaphore), count / kWaiters);
      }
      while (semaphore.waiting() < kWaiters) co_await Yield();
      // The end of the scope releases, and waits for all.
    };
    const Stopwatch watch;
    co_await WithScope(body);
    elapsed = watch.ElapsedNs();
  };
  Run(root);
  return elapsed;
}
double LocalHandOver(uint64_t count) { return HandOver<Semaphore>(count); }
double SharedHandOver(uint64_t count) { return HandOver<SharedSemaphore>(count); }

// Suspends into a ring, for ever or until it is destroyed.
class RawTurns {
 public:
  struct promise_type {
    RawTurns get_return_object() { return RawTurns(std::coroutine_handle<promise_type>::from_promise(*this)); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
  explicit RawTurns(std::coroutine_handle<> frame) : handle(frame) {}
  std::coroutine_handle<> handle;
};

class Behind {
 public:
  explicit Behind(RawRing& ring) : ring_(ring) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> awaiting) { ring_.Push(awaiting); }
  void await_resume() const noexcept {}

 private:
  RawRing& ring_;
};

RawTurns RawTakeTurns(RawRing& ring, uint64_t turns) {
  for (uint64_t i = 0; i < turns; ++i) co_await Behind(ring);
}

double RawHandOver(uint64_t count) {
  static RawRing ring;
  std::vector<RawTurns> tasks;
  for (uint64_t i = 0; i < kWaiters; ++i) tasks.push_back(RawTakeTurns(ring, count / kWaiters));
  const Stopwatch watch;
  for (RawTurns& task : tasks) ring.Push(task.handle);
  ring.RunAll();
  const double elapsed = watch.ElapsedNs();
  for (RawTurns& task : tasks) task.handle.destroy();
  return elapsed;
}

// --- a channel

template <class Channel>
Task<> SendAll(Channel& channel, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    const SendResult<uint64_t> sent = co_await channel.Send(i);
    Require(sent.ok());
  }
  channel.Close();
}

template <class Channel>
Task<uint64_t> ReceiveAll(Channel& channel) {
  uint64_t sum = 0;
  for (;;) {
    const std::optional<uint64_t> item = co_await channel.Receive();
    if (!item.has_value()) co_return sum;
    sum += *item;
  }
}

uint64_t SumOf(uint64_t count) { return count * (count - 1) / 2; }

template <class Channel>
double ExchangeOnOneLoop(uint64_t count) {
  double elapsed = 0;
  auto body = [&](Scope& scope) -> Task<> {
    Channel channel(kCapacity);
    const Stopwatch watch;
    auto exchange = [&](Scope& inner) -> Task<> {
      inner.Spawn(SendAll<Channel>, std::ref(channel), count);
      const uint64_t sum = co_await ReceiveAll(channel);
      Require(sum == SumOf(count));
    };
    co_await WithScope(exchange);
    elapsed = watch.ElapsedNs();
    static_cast<void>(scope);
  };
  Run(body);
  return elapsed;
}
double LocalExchange(uint64_t count) { return ExchangeOnOneLoop<Channel<uint64_t>>(count); }
double SharedExchange(uint64_t count) { return ExchangeOnOneLoop<SharedChannel<uint64_t>>(count); }

double ExchangeAcross(const RuntimeOptions& options, uint64_t count) {
  Runtime runtime(options);
  auto root = [&]() -> Task<double> {
    SharedChannel<uint64_t> channel(kCapacity);
    Loop& other = runtime.loop(1);
    const Stopwatch watch;
    auto exchange = [&](Scope& scope) -> Task<> {
      auto send = [&]() -> Task<> { co_await RunOn(other, SendAll<SharedChannel<uint64_t>>, std::ref(channel), count); };
      scope.Spawn(send);
      const uint64_t sum = co_await ReceiveAll(channel);
      Require(sum == SumOf(count));
    };
    co_await WithScope(exchange);
    co_return watch.ElapsedNs();
  };
  return runtime.Run(root);
}

double ExchangeAcrossLoops(uint64_t count) { return ExchangeAcross(RuntimeOptions().set_loops(2), count); }
// Loops that look for work before they sleep: where waking a processor costs more than an item, nothing else is fast.
double ExchangeAcrossSpinning(uint64_t count) {
  return ExchangeAcross(RuntimeOptions().set_loops(2).set_spin(std::chrono::microseconds(100)), count);
}

// Both coroutines of the raw exchange: the sender goes on until the buffer is full, the receiver until it is empty.
class RawBuffer {
 public:
  bool full() const { return end_ - first_ == kCapacity; }
  bool empty() const { return end_ == first_; }
  void Push(uint64_t item) { items_[end_++ % kCapacity] = item; }
  uint64_t Pop() { return items_[first_++ % kCapacity]; }

 private:
  std::array<uint64_t, kCapacity> items_;
  uint64_t first_ = 0;
  uint64_t end_ = 0;
};

RawTurns RawSendAll(RawRing& ring, RawBuffer& buffer, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    while (buffer.full()) co_await Behind(ring);
    buffer.Push(i);
    Touch(buffer);
  }
}

RawTurns RawReceiveAll(RawRing& ring, RawBuffer& buffer, uint64_t count, uint64_t& sum) {
  for (uint64_t i = 0; i < count; ++i) {
    while (buffer.empty()) co_await Behind(ring);
    sum += buffer.Pop();
    Touch(buffer);
  }
}

double RawExchange(uint64_t count) {
  RawRing ring;
  RawBuffer buffer;
  uint64_t sum = 0;
  const RawTurns sender = RawSendAll(ring, buffer, count);
  const RawTurns receiver = RawReceiveAll(ring, buffer, count, sum);
  const Stopwatch watch;
  ring.Push(sender.handle);
  ring.Push(receiver.handle);
  ring.RunAll();
  const double elapsed = watch.ElapsedNs();
  Require(sum == SumOf(count));
  sender.handle.destroy();
  receiver.handle.destroy();
  return elapsed;
}

double RawThreads(uint64_t count) {
  std::mutex mutex;
  std::condition_variable not_full;
  std::condition_variable not_empty;
  RawBuffer buffer;
  const Stopwatch watch;
  std::thread sender([&] {
    for (uint64_t i = 0; i < count; ++i) {
      std::unique_lock lock(mutex);
      not_full.wait(lock, [&] { return !buffer.full(); });
      const bool was_empty = buffer.empty();
      buffer.Push(i);
      if (was_empty) not_empty.notify_one();
    }
  });
  uint64_t sum = 0;
  for (uint64_t i = 0; i < count; ++i) {
    std::unique_lock lock(mutex);
    not_empty.wait(lock, [&] { return !buffer.empty(); });
    const bool was_full = buffer.full();
    sum += buffer.Pop();
    if (was_full) not_full.notify_one();
  }
  sender.join();
  Require(sum == SumOf(count));
  return watch.ElapsedNs();
}

double AsioExchange(uint64_t count) {
  const Stopwatch watch;
  AsioChannelExchange(count, kCapacity);
  return watch.ElapsedNs();
}

}  // namespace
}  // namespace gyre::bench

int main(int argc, char** argv) {
  using gyre::bench::CostRow;
  return gyre::bench::RunCostTable(
      argc, argv, "synchronisation",
      {
          CostRow("semaphore, free : counter", &gyre::bench::LocalAcquireRelease, &gyre::bench::RawCounter)
              .Operations(10'000'000)
              .Peers("target 3; corral 1.7, Photon 30"),
          CostRow("shared semaphore, free : 2 atomics", &gyre::bench::SharedAcquireRelease, &gyre::bench::RawAtomics)
              .Operations(5'000'000)
              .Peers("target 15; Go 36, Tokio 45-57, libcoro 55"),
          CostRow("mutex, free : counter", &gyre::bench::LocalLockUnlock, &gyre::bench::RawCounter)
              .Operations(10'000'000)
              .Peers("target 3"),
          CostRow("shared mutex, free : 2 atomics", &gyre::bench::SharedLockUnlock, &gyre::bench::RawAtomics)
              .Operations(5'000'000)
              .Peers("target 15"),
          CostRow("semaphore(1), 1000 wait : ring", &gyre::bench::LocalHandOver, &gyre::bench::RawHandOver)
              .Peers("target 25; Asio 216, Go 292, Photon 296"),
          CostRow("shared semaphore(1), 1000 wait", &gyre::bench::SharedHandOver, &gyre::bench::RawHandOver),
          CostRow("channel(64), one loop : ring", &gyre::bench::LocalExchange, &gyre::bench::RawExchange)
              .Peers("target 15; Go 42-47, Tokio 68, libcoro 135"),
          CostRow("channel(64), one loop : Asio", &gyre::bench::LocalExchange, &gyre::bench::AsioExchange)
              .Operations(300'000),
          CostRow("shared channel(64), one loop", &gyre::bench::SharedExchange, &gyre::bench::RawExchange),
          CostRow("shared channel(64), two loops : threads", &gyre::bench::ExchangeAcrossLoops, &gyre::bench::RawThreads)
              .Peers("target 60"),
          CostRow("the same, loops that spin : threads", &gyre::bench::ExchangeAcrossSpinning, &gyre::bench::RawThreads)
              .Peers("target 60"),
      },
      gyre::bench::CostThreads::kSeveral);
}
