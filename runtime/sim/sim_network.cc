// What Linux does, as found on its loopback, and what is kept of it here:
//
//  * A reset leaves readable what has arrived; then comes ECONNRESET, once, to whoever looks first (receive, send or
//    SO_ERROR); after that receives give 0 and sends EPIPE. If the end of the stream had come before the reset,
//    receives never say ECONNRESET, and the error is EPIPE.
//  * Closing with unread bytes, or with bytes still coming in, resets; so does closing a listener for those in its
//    backlog. A connection that is reset before it is accepted is accepted all the same.
//  * A full backlog drops the request; the client asks again after 1 s, 2 s, 4 s ..., and gives up after the sixth
//  time.
//  * Shutting the reading side makes receives give 0 when nothing is there; what comes later is still taken.
#include "gyre/runtime/sim/sim_network.h"

#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "gyre/runtime/check.h"

namespace gyre::internal {
namespace {

constexpr uint16_t kEphemeralFirst = 32768;
constexpr uint16_t kEphemeralLast = 60999;
constexpr uint64_t kConnectRetriesMax = 6;
constexpr int64_t kReceiveMax = int64_t{1} << 30;

bool HasOption(const SimSocket& socket, int name) {
  const auto found = socket.options.find({SOL_SOCKET, name});
  return found != socket.options.end() && found->second != 0;
}

}  // namespace

// --- sockets

SimSocket& SimNetwork::Create(int family) {
  auto socket = std::make_unique<SimSocket>(++last_number_, family);
  SimSocket& created = *socket;
  sockets_.emplace(created.number, std::move(socket));
  return created;
}

SimSocket* SimNetwork::Open(int family) { return &Create(family); }

SimSocket* SimNetwork::Find(uint64_t number) const {
  const auto found = sockets_.find(number);
  return found == sockets_.end() ? nullptr : found->second.get();
}

void SimNetwork::Close(SimSocket& socket, bool reset) {
  if (socket.state == SimSocket::State::kListening) Unlisten(socket);
  if (socket.state == SimSocket::State::kConnected) {
    if (reset || socket.arrived > 0) {
      SendTo(socket.peer, kReset, socket.number);
    } else if (!socket.is_write_shut) {
      SendTo(socket.peer, kFin, socket.number);
    }
  }
  bound_.erase(socket.number);
  sockets_.erase(socket.number);
}

void SimNetwork::NotifyBoth(SimSocket& socket) {
  if (socket.watcher != nullptr) socket.watcher->OnReadable();
  if (socket.watcher != nullptr) socket.watcher->OnWritable();
}

// --- addresses

bool SimNetwork::IsTaken(const SimSocket& socket, const SimAddress& address) const {
  for (const auto& [number, other] : bound_) {
    if (other == &socket || !other->local.Overlaps(address)) continue;
    if (HasOption(socket, SO_REUSEPORT) && HasOption(*other, SO_REUSEPORT)) continue;
    const bool both_reuse = HasOption(socket, SO_REUSEADDR) && HasOption(*other, SO_REUSEADDR);
    if (!both_reuse || other->state == SimSocket::State::kListening) return true;
  }
  return false;
}

// 0 if all are taken.
uint16_t SimNetwork::TakeEphemeralPort(const SimSocket& socket, SimAddress address) {
  constexpr int kPorts = kEphemeralLast - kEphemeralFirst + 1;
  for (int tried = 0; tried < kPorts; ++tried) {
    const bool is_at_end = last_ephemeral_port_ < kEphemeralFirst || last_ephemeral_port_ == kEphemeralLast;
    last_ephemeral_port_ = is_at_end ? kEphemeralFirst : last_ephemeral_port_ + 1;
    address.port = last_ephemeral_port_;
    if (!IsTaken(socket, address)) return address.port;
  }
  return 0;
}

int SimNetwork::Bind(SimSocket& socket, const sockaddr* address, socklen_t length) {
  SimAddress wanted;
  if (const int error = SimAddress::Parse(address, length, socket.family(), wanted); error != 0) return error;
  if (socket.is_bound || socket.state != SimSocket::State::kFresh) return -EINVAL;
  if (wanted.port == 0) {
    wanted.port = TakeEphemeralPort(socket, wanted);
    if (wanted.port == 0) return -EADDRINUSE;
  } else if (IsTaken(socket, wanted)) {
    return -EADDRINUSE;
  }
  socket.local = wanted;
  socket.is_bound = true;
  bound_.emplace(socket.number, &socket);
  return 0;
}

int SimNetwork::LocalAddress(const SimSocket& socket, sockaddr* address, socklen_t* length) const {
  socket.local.Store(address, length);
  return 0;
}

int SimNetwork::PeerAddress(const SimSocket& socket, sockaddr* address, socklen_t* length) const {
  if (socket.state != SimSocket::State::kConnected) return -ENOTCONN;
  socket.remote.Store(address, length);
  return 0;
}

int SimNetwork::SetOption(SimSocket& socket, int level, int name, int value) {
  if (level == SOL_SOCKET && (name == SO_ERROR || name == SO_TYPE || name == SO_ACCEPTCONN)) return -ENOPROTOOPT;
  socket.options[{level, name}] = value;
  return 0;
}

int SimNetwork::GetOption(SimSocket& socket, int level, int name, int* value) {
  if (level == SOL_SOCKET && name == SO_ERROR) {
    *value = -TakeError(socket);
  } else if (level == SOL_SOCKET && name == SO_TYPE) {
    *value = SOCK_STREAM;
  } else if (level == SOL_SOCKET && name == SO_ACCEPTCONN) {
    *value = socket.state == SimSocket::State::kListening ? 1 : 0;
  } else {
    const auto found = socket.options.find({level, name});
    *value = found == socket.options.end() ? 0 : found->second;
  }
  return 0;
}

int SimNetwork::TakeError(SimSocket& socket) {
  const int error = socket.error;
  socket.error = 0;
  return -error;
}

// --- listening and accepting

int SimNetwork::Listen(SimSocket& socket, int backlog) {
  const bool is_listening = socket.state == SimSocket::State::kListening;
  if (!is_listening && socket.state != SimSocket::State::kFresh) return -EINVAL;
  if (!socket.is_bound) {
    socket.local.port = TakeEphemeralPort(socket, socket.local);
    if (socket.local.port == 0) return -EADDRINUSE;
    socket.is_bound = true;
    bound_.emplace(socket.number, &socket);
  }
  socket.backlog_max = static_cast<size_t>(std::max(backlog, 0)) + 1;  // Linux takes one more than asked
  if (is_listening) return 0;
  for (const auto& [number, other] : bound_) {
    if (other == &socket || other->state != SimSocket::State::kListening || !other->local.Overlaps(socket.local))
      continue;
    if (!HasOption(socket, SO_REUSEPORT) || !HasOption(*other, SO_REUSEPORT)) return -EADDRINUSE;
  }
  socket.state = SimSocket::State::kListening;
  listeners_[socket.local].push_back(&socket);
  return 0;
}

SimSocket* SimNetwork::FindListener(const SimAddress& address) {
  SimAddress wildcard = SimAddress::Any(address.family);
  wildcard.port = address.port;
  for (const SimAddress& candidate : {address, wildcard}) {
    const auto found = listeners_.find(candidate);
    if (found == listeners_.end()) continue;
    const std::vector<SimSocket*>& sharing = found->second;
    const uint32_t first_one_in = options_.first_listener_one_in;
    if (sharing.size() == 1 || (first_one_in != 0 && rng_.Chance(1, first_one_in))) return sharing.front();
    return sharing[rng_.Below(sharing.size())];
  }
  return nullptr;
}

void SimNetwork::Unlisten(SimSocket& listener) {
  const auto found = listeners_.find(listener.local);
  std::erase(found->second, &listener);
  if (found->second.empty()) listeners_.erase(found);
  listener.state = SimSocket::State::kFresh;
  std::deque<SimSocket*> dropped = std::move(listener.backlog);
  listener.backlog.clear();
  for (SimSocket* waiting : dropped) Close(*waiting, /*reset=*/true);
}

int SimNetwork::AcceptResult(const SimSocket& listener) const {
  if (listener.state != SimSocket::State::kListening) return -EINVAL;
  return listener.backlog.empty() ? -EAGAIN : 0;
}

SimSocket* SimNetwork::Accept(SimSocket& listener) {
  SimSocket* const accepted = listener.backlog.front();
  listener.backlog.pop_front();
  return accepted;
}

// --- connecting

int SimNetwork::Connect(SimSocket& socket, const sockaddr* address, socklen_t length) {
  if (socket.state == SimSocket::State::kConnecting) return -EALREADY;
  if (socket.state != SimSocket::State::kFresh) return -EISCONN;
  SimAddress remote;
  if (const int error = SimAddress::Parse(address, length, socket.family(), remote); error != 0) return error;
  if (remote.is_any()) remote.ip = SimAddress::Loopback(remote.family).ip;
  if (!socket.is_bound) {
    socket.local.port = TakeEphemeralPort(socket, remote);
    if (socket.local.port == 0) return -EAGAIN;
  }
  if (socket.local.is_any()) socket.local.ip = remote.ip;
  socket.remote = remote;
  socket.error = 0;
  socket.state = SimSocket::State::kConnecting;
  if (options_.is_blackhole) {
    events_.Schedule(After(events_.now(), options_.connect_timeout), handler_, kConnectTimeout, socket.number);
  } else {
    events_.Schedule(AfterLatency(), handler_, kConnectRequest, socket.number);
  }
  return 0;
}

int SimNetwork::ConnectResult(SimSocket& socket) {
  if (socket.state == SimSocket::State::kConnecting) return -EAGAIN;
  if (socket.state == SimSocket::State::kConnected) return 0;
  const int error = TakeError(socket);
  return error != 0 ? error : -ECONNABORTED;
}

void SimNetwork::OnConnectRequest(const SimEvent& event) {
  SimSocket* const client = Find(event.to);
  if (client == nullptr) return;
  SimSocket* const listener = FindListener(client->remote);
  if (listener == nullptr) {
    SendTo(client->number, kConnectRefused, 0);
  } else if (listener->backlog.size() >= listener->backlog_max) {
    const Kind then = event.count < kConnectRetriesMax ? kConnectRequest : kConnectTimeout;
    const TimePoint retry = After(events_.now(), std::chrono::seconds(uint64_t{1} << event.count));
    events_.Schedule(retry, handler_, then, client->number, 0, event.count + 1);
  } else {
    SimSocket& server = Create(client->family());
    server.state = SimSocket::State::kConnected;
    server.local = client->remote;
    server.remote = client->local;
    server.peer = client->number;
    SendTo(client->number, kConnectAccepted, server.number);
    listener->backlog.push_back(&server);
    if (listener->watcher != nullptr) listener->watcher->OnReadable();
  }
}

// --- bytes

TimePoint SimNetwork::AfterLatency() {
  const auto spread =
      static_cast<uint64_t>(std::max<int64_t>((options_.latency_max - options_.latency_min).count(), 0));
  const uint64_t extra = spread == 0 ? 0 : rng_.Below(spread + 1);
  return After(events_.now(), options_.latency_min + Duration(static_cast<int64_t>(extra)));
}

void SimNetwork::SendTo(uint64_t to, Kind kind, uint64_t from, uint64_t count) {
  TimePoint when = AfterLatency();
  if (SimSocket* const target = Find(to); target != nullptr) {
    when = std::max(when, target->last_arrival);
    target->last_arrival = when;
  }
  events_.Schedule(when, handler_, kind, to, from, count);
}

void SimNetwork::SendSegments(SimSocket& from, size_t bytes) {
  while (bytes > 0) {
    size_t segment = std::min(bytes, std::max<size_t>(options_.segment_bytes_max, 1));
    const uint32_t small_one_in = options_.small_segment_one_in;
    if (small_one_in != 0 && rng_.Chance(1, small_one_in)) segment = 1 + rng_.Below(std::min<size_t>(segment, 64));
    SendTo(from.peer, kData, from.number, segment);
    bytes -= segment;
  }
}

int64_t SimNetwork::Send(SimSocket& socket, std::span<const std::byte> bytes) {
  if (socket.error != 0) return TakeError(socket);
  if (socket.state != SimSocket::State::kConnected || socket.is_write_shut) return -EPIPE;
  SimSocket* const peer = Find(socket.peer);
  size_t count = bytes.size();
  if (peer != nullptr) {
    const size_t on_the_way = peer->incoming.size();
    const size_t room = options_.send_buffer_bytes > on_the_way ? options_.send_buffer_bytes - on_the_way : 0;
    socket.wants_room = count > room;
    if (room == 0) return -EAGAIN;
    count = std::min(count, room);
    peer->incoming.Append(bytes.first(count));
  }
  SendSegments(socket, count);
  return static_cast<int64_t>(count);
}

bool SimNetwork::IsReadable(const SimSocket& socket) const {
  return socket.state != SimSocket::State::kConnected || socket.arrived > 0 || socket.fin_received ||
         socket.is_read_shut;
}

int64_t SimNetwork::Receive(SimSocket& socket, std::span<std::byte> into) {
  if (into.empty()) return 0;
  if (socket.arrived > 0) {
    size_t count = std::min({into.size(), socket.arrived, static_cast<size_t>(kReceiveMax)});
    const uint32_t short_one_in = options_.short_read_one_in;
    if (short_one_in != 0 && rng_.Chance(1, short_one_in)) count = 1 + rng_.Below(count);
    socket.incoming.Take(into.first(count));
    socket.arrived -= count;
    SimSocket* const peer = Find(socket.peer);
    if (peer != nullptr && peer->wants_room) {
      peer->wants_room = false;
      SendTo(peer->number, kRoom, socket.number);
    }
    return static_cast<int64_t>(count);
  }
  if (socket.fin_received || socket.is_read_shut) return 0;
  if (socket.error != 0) return TakeError(socket);
  if (socket.state == SimSocket::State::kReset) return 0;
  return socket.state == SimSocket::State::kConnected ? -EAGAIN : -ENOTCONN;
}

int SimNetwork::Shutdown(SimSocket& socket, int how) {
  if (socket.state == SimSocket::State::kListening && how != SHUT_WR) {
    Unlisten(socket);
    if (socket.watcher != nullptr) socket.watcher->OnReadable();
    return 0;
  }
  if (socket.state != SimSocket::State::kConnected) return -ENOTCONN;
  if (how != SHUT_RD && !socket.is_write_shut) {
    socket.is_write_shut = true;
    SendTo(socket.peer, kFin, socket.number);
  }
  if (how != SHUT_WR) socket.is_read_shut = true;
  NotifyBoth(socket);
  return 0;
}

// --- what arrives

void SimNetwork::OnSimEvent(const SimEvent& event) {
  if (event.kind == kConnectRequest) return OnConnectRequest(event);
  SimSocket* const socket = Find(event.to);
  if (event.kind == kData) return OnData(socket, event);
  if (socket == nullptr) {
    if (event.kind == kConnectAccepted) SendTo(event.from, kReset, event.to);  // the client has gone meanwhile
    return;
  }
  switch (event.kind) {
    case kConnectAccepted:
      socket->state = SimSocket::State::kConnected;
      socket->peer = event.from;
      if (socket->watcher != nullptr) socket->watcher->OnWritable();
      return;
    case kConnectRefused:
    case kConnectTimeout:
      socket->state = SimSocket::State::kFresh;
      socket->error = event.kind == kConnectRefused ? ECONNREFUSED : ETIMEDOUT;
      if (socket->watcher != nullptr) socket->watcher->OnWritable();
      return;
    case kFin:
      if (socket->state != SimSocket::State::kConnected) return;
      socket->fin_received = true;
      if (socket->watcher != nullptr) socket->watcher->OnReadable();
      return;
    case kReset:
      return OnReset(*socket);
    case kRoom:
      if (socket->watcher != nullptr) socket->watcher->OnWritable();
      return;
    default:
      GYRE_CHECK(false, "internal: an unknown event in the simulated network");
  }
}

void SimNetwork::OnData(SimSocket* socket, const SimEvent& event) {
  if (socket == nullptr) return SendTo(event.from, kReset, event.to);
  if (socket->state != SimSocket::State::kConnected) return;
  if (options_.reset_one_in != 0 && rng_.Chance(1, options_.reset_one_in)) {  // something in the middle cuts it
    SendTo(event.from, kReset, event.to);
    return OnReset(*socket);
  }
  socket->arrived += event.count;
  if (socket->watcher != nullptr) socket->watcher->OnReadable();
}

void SimNetwork::OnReset(SimSocket& socket) {
  if (socket.state != SimSocket::State::kConnected) return;
  socket.state = SimSocket::State::kReset;
  socket.error = socket.fin_received ? EPIPE : ECONNRESET;
  NotifyBoth(socket);
}

}  // namespace gyre::internal
