// SimNetwork: TCP in memory: listeners, connections, latency, back-pressure, half-close and resets, under a seed.
//
// It behaves as Linux's loopback does, which the contract tests check side by side. The network knows sockets by
// number; who reads and writes them (the simulation's backends) hears of changes through a watcher.
//
// Bytes go straight into the receiver's queue when they are sent; an event later says how many of them have arrived. So
// what a sender may still have on the way is bounded by what its peer has not read.
//
// Thread-safety: none; the simulation's thread.
// Lifetime:      a SimSocket lives until Close; its peer then finds its number gone, which is how resets come about.
// Errors:        0 or a count, or -errno; -EAGAIN where a real socket would block.
// Source:        the order of data, resets and errors: measured on Linux 6 (see the notes in the .cc).
#ifndef GYRE_RUNTIME_SIM_SIM_NETWORK_H_
#define GYRE_RUNTIME_SIM_SIM_NETWORK_H_

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "gyre/runtime/internal/rng.h"
#include "gyre/runtime/sim/byte_queue.h"
#include "gyre/runtime/sim/sim_address.h"
#include "gyre/runtime/sim/sim_events.h"
#include "gyre/runtime/sim/sim_options.h"

namespace gyre::internal {

// Called while an event is delivered or another socket acts: note it and return.
class SimSocketWatcher {
 public:
  virtual void OnReadable() = 0;  // bytes, the end, an error, a connection to accept
  virtual void OnWritable() = 0;  // room, an error, the end of a connection attempt

 protected:
  ~SimSocketWatcher() = default;
};

struct SimSocket {
  enum class State : uint8_t {
    kFresh,       // left by Listen, Connect
    kListening,   // left by Shutdown
    kConnecting,  // left by the answer: kConnected, or kFresh with an error
    kConnected,   // left by a reset
    kReset,       // final: what has arrived can still be read
  };

  SimSocket(uint64_t number, int family)
      : number(number), local(SimAddress::Any(family)), remote(SimAddress::Any(family)) {}

  int family() const { return local.family; }

  const uint64_t number;
  State state = State::kFresh;
  SimSocketWatcher* watcher = nullptr;
  SimAddress local;
  SimAddress remote;
  bool is_bound = false;
  int error = 0;  // reported once, to whoever looks first
  std::map<std::pair<int, int>, int> options;

  // --- listening
  std::deque<SimSocket*> backlog;
  size_t backlog_max = 0;

  // --- connected
  uint64_t peer = 0;
  ByteQueue incoming;      // all that the peer has sent and nobody has read
  size_t arrived = 0;      // how much of it can be read
  TimePoint last_arrival;  // of what is on the way to here: nothing overtakes
  bool fin_received = false;
  bool is_read_shut = false;
  bool is_write_shut = false;
  bool wants_room = false;  // a sender waits
};

class SimNetwork final : private SimEventHandler {
 public:
  SimNetwork(SimEvents& events, Rng& rng, const testing::SimOptions& options)
      : events_(events), rng_(rng), options_(options), handler_(events.AddHandler(*this)) {}
  ~SimNetwork() { events_.RemoveHandler(handler_); }

  SimSocket* Open(int family);
  // The end of the program's interest. `reset`: the peer sees a reset, as it does if bytes were left unread.
  void Close(SimSocket& socket, bool reset);

  int Bind(SimSocket& socket, const sockaddr* address, socklen_t length);
  int Listen(SimSocket& socket, int backlog);
  // 0: asked; the watcher hears when there is an answer.
  int Connect(SimSocket& socket, const sockaddr* address, socklen_t length);
  // -EAGAIN while there is no answer to Connect.
  int ConnectResult(SimSocket& socket);

  // Why nothing can be accepted: -EAGAIN or an error; 0 if something can.
  int AcceptResult(const SimSocket& listener) const;
  SimSocket* Accept(SimSocket& listener);
  // Takes back what Accept gave, to be accepted first.
  void PutBack(SimSocket& listener, SimSocket& accepted) { listener.backlog.push_front(&accepted); }

  // Bytes; 0 at the end of the stream.
  int64_t Receive(SimSocket& socket, std::span<std::byte> into);
  // Receive would not say -EAGAIN.
  bool IsReadable(const SimSocket& socket) const;
  int64_t Send(SimSocket& socket, std::span<const std::byte> bytes);

  int Shutdown(SimSocket& socket, int how);
  int LocalAddress(const SimSocket& socket, sockaddr* address, socklen_t* length) const;
  int PeerAddress(const SimSocket& socket, sockaddr* address, socklen_t* length) const;
  int SetOption(SimSocket& socket, int level, int name, int value);
  int GetOption(SimSocket& socket, int level, int name, int* value);

  size_t open_sockets() const { return sockets_.size(); }

 private:
  enum Kind : uint32_t {
    kConnectRequest,
    kConnectAccepted,
    kConnectRefused,
    kConnectTimeout,
    kData,
    kFin,
    kReset,
    kRoom
  };

  void OnSimEvent(const SimEvent& event) override;
  void OnConnectRequest(const SimEvent& event);
  void OnData(SimSocket* socket, const SimEvent& event);
  void OnReset(SimSocket& socket);

  SimSocket* Find(uint64_t number) const;
  SimSocket& Create(int family);
  SimSocket* FindListener(const SimAddress& address);
  TimePoint AfterLatency();
  // To a connection's end, behind all that is on the way there.
  void SendTo(uint64_t to, Kind kind, uint64_t from, uint64_t count = 0);
  void SendSegments(SimSocket& from, size_t bytes);
  void Unlisten(SimSocket& listener);
  bool IsTaken(const SimSocket& socket, const SimAddress& address) const;
  uint16_t TakeEphemeralPort(const SimSocket& socket, SimAddress address);
  int TakeError(SimSocket& socket);
  void NotifyBoth(SimSocket& socket);

  SimEvents& events_;
  Rng& rng_;
  const testing::SimOptions& options_;
  const uint32_t handler_;
  uint64_t last_number_ = 0;
  uint16_t last_ephemeral_port_ = 0;
  std::unordered_map<uint64_t, std::unique_ptr<SimSocket>> sockets_;  // looked up, never walked: its order is not ours
  std::map<uint64_t, SimSocket*> bound_;                              // by number: those with an address of their own
  std::map<SimAddress, std::vector<SimSocket*>> listeners_;
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_SIM_SIM_NETWORK_H_
