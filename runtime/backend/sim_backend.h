// SimBackend: the backend of a simulated world: virtual time, a network in memory, and the seed's choice of order.
//
// It behaves now as epoll does (an event says "try again") and now as io_uring does (an event brings the result,
// accepts and receives run ahead, a cancel takes a while and may lose), so that a program tested here has met both.
//
// Time stands still while anything is ready, and jumps to the next event or timer when nothing is. Only a loop that
// stays busy for SimOptions::busy_turns_max turns finds time moving on all the same: a deadline must be able to end a
// busy loop. Where several loops share the world, see SimHost; what concerns one happens in its own turns.
//
// Thread-safety: as Backend says. Other threads may post into the loop, but then the run no longer depends on its seed
//                alone.
// Lifetime:      the world outlives its backends.
// Errors:        nothing can happen any more, and the program has not ended: a check failure
//                (SimOptions::check_deadlock).
#ifndef GYRE_RUNTIME_BACKEND_SIM_BACKEND_H_
#define GYRE_RUNTIME_BACKEND_SIM_BACKEND_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gyre/runtime/backend.h"
#include "gyre/runtime/sim/sim_core.h"
#include "gyre/runtime/sim/sim_executor.h"

namespace gyre {

class SimBackend final : public Backend, private internal::SimEventHandler {
 public:
  // `takes_turns`: several loops of this world share the thread, and a SimHost lets time pass. Then a Turn never waits:
  // it notes until when it would.
  explicit SimBackend(internal::SimCore& core, bool takes_turns = false)
      : core_(core), takes_turns_(takes_turns), handler_(core.events.AddHandler(*this)), executor_(core) {}
  ~SimBackend();

  std::string_view name() const override { return "sim"; }
  TimePoint ReadClock() override { return core_.events.now(); }
  int tick_shift() const override { return 0; }
  internal::Rng* scheduling_rng() override { return core_.options.shuffle ? &core_.scheduling_rng : nullptr; }

  internal::ExecutorSource* executors() override { return &executor_; }

  bool Submit(Op& op) override;
  void Cancel(Op& op) override;
  bool Perform(Op& op) override { return Try(op); }
  void Turn(TimePoint until) override;
  void Wake() noexcept override;
  void AwaitWakes(uint64_t count) override;

  int OpenStream(int family, Descriptor** opened) override;
  int Adopt(int fd, Descriptor** adopted) override;
  int Bind(Descriptor& descriptor, const sockaddr* address, socklen_t length) override;
  int Listen(Descriptor& descriptor, int backlog) override;
  int SteerByCpu(Descriptor& descriptor, uint32_t listeners) override;
  int SetOption(Descriptor& descriptor, int level, int name, int value) override;
  int GetOption(Descriptor& descriptor, int level, int name, int* value) override;
  int LocalAddress(Descriptor& descriptor, sockaddr* address, socklen_t* length) override;
  int PeerAddress(Descriptor& descriptor, sockaddr* address, socklen_t* length) override;
  int Shutdown(Descriptor& descriptor, int how) override;
  void Retire(Descriptor& descriptor, bool reset) override;
  int Release(Descriptor& descriptor, std::vector<std::byte>& unread) override;
  int PutBack(Descriptor& descriptor, std::span<const std::byte> bytes) override;
  DescriptorWorld& world() override { return core_; }
  int AcceptNow(Descriptor& listener, Descriptor** accepted) override;
  bool ShedOne(Descriptor& listener) override;
  size_t DetachAll() override;
  size_t live_descriptors() const override { return blocks_.size(); }

  // --- for a SimHost
  // When the loop wants its next turn; the epoch if it has something to do.
  TimePoint sleeps_until() const { return sleeps_until_; }
  // Makes an event of a Wake that has come while the loop sleeps.
  void SendWake();
  // A Wake has come, of which neither Turn nor SendWake has taken notice.
  bool is_woken() const { return is_woken_.load(std::memory_order_relaxed); }
  std::string DescribeWaiting() const;

 private:
  class Block;
  // Apart from the network's, for the trace.
  enum EventKind : uint32_t { kLateCancel = 100, kReadable, kWritable, kWake };

  // --- operations. True: finished, the result is in the op.
  bool Try(Op& op);
  bool TryAccept(Op& op, Block& block);
  bool TryConnect(Op& op, Block& block);
  bool TryReceive(Op& op, Block& block);
  bool TryReceiveBuffer(Op& op, Block& block);
  bool TrySend(Op& op, Block& block);
  static bool Finish(Op& op, int64_t result);
  int InjectedFailure(Opcode opcode);
  void CancelNow(Op& op, Block& block);

  // --- repeating operations
  int AcceptOne(Block& listener, Block** accepted);
  int64_t ReceiveIntoBuffer(Block& block, internal::BufferBlock** buffer);
  void RunAhead(Block& block);
  void ReturnAhead(Block& block);

  // --- blocks
  Block& Of(Descriptor& descriptor) const;
  int NewBlock(internal::SimSocket& socket, Block** block);
  void Forget(Block& block);
  bool IsLoopRunning() const;
  void OnReadiness(Block& block, EventKind kind);
  void Poke(Op& op);

  // --- events
  void OnSimEvent(const internal::SimEvent& event) override;
  void Defer(const internal::SimEvent& event);
  bool TakeDeferred();
  void Handle(const internal::SimEvent& event);
  bool DeliverDue();
  void MaybeWakeSpuriously();
  void PassTime(TimePoint until);
  void WaitForWake();

  bool Chance(uint32_t one_in) { return one_in != 0 && core_.rng.Chance(1, one_in); }

  internal::SimCore& core_;
  const bool takes_turns_;
  const uint32_t handler_;
  internal::SimExecutor executor_;
  uint64_t last_serial_ = 0;
  uint64_t busy_turns_ = 0;
  TimePoint sleeps_until_;  // as of sleeps_until()
  std::vector<internal::SimEvent> deferred_;  // to its loop's next turn
  std::map<uint64_t, Block*> blocks_;  // by serial number, so that walking it gives the same order in every run

  // Wake:release      sets it, after what it wakes the loop for was published in the inbox.
  // Turn:acquire      takes it; the inbox's own word carries the data, so this only has to be seen in the end.
  std::atomic<bool> is_woken_{false};
  // Wake:release      its last step. AwaitWakes:acquire: what the wakers did is over before the backend is destroyed.
  std::atomic<uint64_t> wakes_{0};
};

}  // namespace gyre

#endif  // GYRE_RUNTIME_BACKEND_SIM_BACKEND_H_
