// AcceptGroup: what the members of a ListenerGroup know of one another, and the way of a connection from one to
// another.
//
// Thread-safety: as each says. Members live on different loops.
// Lifetime:      shared by the members' listeners.
// Cost:          a connection of a member costs two relaxed stores. Looking around costs a cache line for each member,
//                at every 64th accept and while this member seems to have too many.
#ifndef GYRE_IO_INTERNAL_ACCEPT_GROUP_H_
#define GYRE_IO_INTERNAL_ACCEPT_GROUP_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gyre/io/tcp_options.h"
#include "gyre/runtime/bare_descriptor.h"
#include "gyre/runtime/internal/rng.h"
#include "gyre/runtime/remote_scope.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/task.h"

namespace gyre::internal {

class AcceptGroup;
class GroupMember;

// A connection on its way to another member, from the moment on that it was decided. Dropped before it arrives, it
// closes the connection.
class Shipment {
 public:
  explicit Shipment(GroupMember& to);
  Shipment(const Shipment&) = delete;
  Shipment& operator=(const Shipment&) = delete;
  ~Shipment();

  // On the receiver's loop: a LiveCount counts it from here on.
  void Arrive() { has_arrived_ = true; }

  BareDescriptor connection;

 private:
  GroupMember& to_;
  bool has_arrived_ = false;
};

// Whoever serves a member's connections.
class ConnectionTaker {
 public:
  // On the taker's loop, as a child of the scope that it has opened the member with.
  virtual Task<absl::Status> TakeOver(BareDescriptor connection) = 0;

 protected:
  ~ConnectionTaker() = default;
};

// One connection of a member, as long as this lives. The member's loop only.
class LiveCount {
 public:
  LiveCount() = default;
  // For one that is counted already.
  explicit LiveCount(GroupMember& member) : member_(&member) {}
  LiveCount(LiveCount&& other) noexcept : member_(std::exchange(other.member_, nullptr)) {}
  LiveCount& operator=(LiveCount&& other) noexcept {
    std::swap(member_, other.member_);
    return *this;
  }
  ~LiveCount();

 private:
  GroupMember* member_ = nullptr;
};

class alignas(64) GroupMember {
 public:
  GroupMember(AcceptGroup& group, size_t index) : group_(group), index_(index), rng_(index + 1) {}
  GroupMember(const GroupMember&) = delete;
  GroupMember& operator=(const GroupMember&) = delete;

  // --- the member's loop
  // From now on others may send connections: `taker` gets them, in `scope`. Until Close.
  void Open(Scope& scope, ConnectionTaker& taker);
  // What has been sent by now still arrives.
  void Close();
  // Counts a connection that was accepted here, and stays.
  LiveCount Count() {
    AddLive(1);
    return LiveCount(*this);
  }
  // Who should serve the connection that was just accepted here. Null: this one.
  GroupMember* Choose();

  // --- any thread
  // False: refused, the connection is still in the shipment.
  bool Send(const std::shared_ptr<Shipment>& shipment) noexcept;
  // Those served here, and those on their way to here.
  int64_t connections() const {
    return live_.load(std::memory_order_relaxed) + received_.load(std::memory_order_relaxed);
  }
  bool is_open() const { return is_open_.load(std::memory_order_relaxed); }

 private:
  friend class Shipment;
  friend class LiveCount;

  void AddLive(int64_t change) {
    live_.store(live_.load(std::memory_order_relaxed) + change, std::memory_order_relaxed);
  }
  GroupMember* Lighter();
  GroupMember* Lightest();
  int64_t Limit() const;

  // The first line: what other members read.
  //
  // live_ is written by its own loop alone: plus one for each connection that was accepted here and stays, minus one
  // for each that ends, whoever has accepted it. received_ counts those that were sent here, less those that were
  // refused. Together they are the connections of this member; live_ alone may be negative.
  // all relaxed       hints for balancing, which order nothing: a connection is published by the inbox that it travels
  //                   through, and is_open_ only spares a lock. A sum read amid changes is off by what is changing.
  // Exercised by tests/io/listener_group_test.cc and tests/stress/listener_group_stress_test.cc.
  std::atomic<int64_t> live_{0};
  std::atomic<int64_t> received_{0};
  std::atomic<bool> is_open_{false};

  // The second: the loop's own.
  alignas(64) AcceptGroup& group_;
  const size_t index_;
  Rng rng_;
  int64_t limit_ = 0;   // up to here nothing need be done; as of the last look around
  int until_look_ = 0;  // accepts

  std::mutex mutex_;  // guards the two
  std::optional<RemoteScope> scope_;
  ConnectionTaker* taker_ = nullptr;
};

class AcceptGroup {
 public:
  AcceptGroup(size_t members, AcceptBalance balance);

  AcceptBalance balance() const { return balance_; }
  size_t size() const { return members_.size(); }
  GroupMember& member(size_t index) { return *members_[index]; }

 private:
  const AcceptBalance balance_;
  std::vector<std::unique_ptr<GroupMember>> members_;
};

}  // namespace gyre::internal

#endif  // GYRE_IO_INTERNAL_ACCEPT_GROUP_H_
