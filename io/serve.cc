#include "gyre/io/serve.h"

#include <csignal>
#include <memory>
#include <new>
#include <optional>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "gyre/io/internal/accept_group.h"
#include "gyre/io/signal_watcher.h"
#include "gyre/runtime/bare_descriptor.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/try.h"
#include "gyre/runtime/with_scope.h"

namespace gyre {
namespace {

constexpr int kBacklogMax = 4096;  // a flood of clients must not keep a server from closing

// One more in a count, as long as this lives.
class OneOf {
 public:
  explicit OneOf(uint64_t& count) : count_(&count) { ++count; }
  OneOf(OneOf&& other) noexcept : count_(std::exchange(other.count_, nullptr)) {}
  OneOf& operator=(OneOf&&) = delete;
  ~OneOf() {
    if (count_ != nullptr) --*count_;
  }

 private:
  uint64_t* count_;
};

// The handler of a member's connection, which counts as long as this lives: as long as its task.
class CountedHandler {
 public:
  CountedHandler(const ConnectionHandler& handler, internal::LiveCount count, OneOf open)
      : handler_(&handler), count_(std::move(count)), open_(std::move(open)) {}

  Task<absl::Status> operator()(TcpStream peer) { return (*handler_)(std::move(peer)); }

 private:
  const ConnectionHandler* handler_;
  internal::LiveCount count_;
  OneOf open_;
};

// One Serve, in its frame.
class Server final : private internal::ConnectionTaker {
 public:
  Server(TcpListener listener, ConnectionHandler handler, Duration grace, ServeOptions options)
      : listener_(std::move(listener)),
        member_(listener_.member()),
        handler_(std::move(handler)),
        grace_(grace),
        options_(std::move(options)) {}
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server() { grace_timer_.Cancel(); }

  Task<absl::StatusOr<ServeReport>> Run(Task<> until) {
    OnChildError on_error = [this](const TaskInfo& who, const Outcome<>& outcome) { OnFailed(who, outcome); };
    auto body = [&](Scope& connections) { return AcceptThenDrain(connections, std::move(until)); };
    absl::Status status = co_await Supervise(on_error, body);
    grace_timer_.Cancel();
    if (!status.ok()) co_return status;
    co_return Report();
  }

 private:
  Task<absl::Status> AcceptThenDrain(Scope& connections, Task<> until) {
    auto accepting = [&](Scope& scope) {
      scope.Spawn(CloseAfter(std::move(until), connections));
      return AcceptAll(connections);
    };
    co_await Try(co_await WithScope(accepting));
    // The scope outlives the timer: Run cancels it as soon as the last connection has ended.
    grace_timer_ = Loop::Current().CallLater(grace_, [this, &connections] { CutOff(connections); });
    co_return absl::OkStatus();
  }

  // Until the listener is closed. A connection that had been taken by then is served.
  Task<absl::Status> AcceptAll(Scope& connections) {
    if (member_ != nullptr) member_->Open(connections, *this);
    const absl::Cleanup close = [this] {  // also when it is stopped: what would come then would be closed
      if (member_ != nullptr) member_->Close();
    };
    for (;;) {
      absl::StatusOr<TcpStream> peer = co_await listener_.Accept();
      if (!peer.ok() && is_closing_) co_return absl::OkStatus();
      if (!peer.ok()) co_return peer.status();
      if (member_ == nullptr || !HandOver(*peer)) Start(connections, *std::move(peer));
    }
  }

  // True: another member has it now. False: it is to be served here; or, if it could not be taken back, it is closed.
  bool HandOver(TcpStream& peer) {
    internal::GroupMember* const to = member_->Choose();
    if (to == nullptr) return false;
    try {
      const auto shipment = std::make_shared<internal::Shipment>(*to);
      absl::StatusOr<BareDescriptor> released = peer.Release();
      if (!released.ok()) return false;
      shipment->connection = *std::move(released);
      if (to->Send(shipment)) {
        ++handed_over_;
        return true;
      }
      absl::StatusOr<TcpStream> back = TcpStream::Adopt(std::move(shipment->connection));
      if (back.ok()) peer = *std::move(back);
    } catch (const std::bad_alloc&) {
    }
    return false;
  }

  // What another member has accepted.
  Task<absl::Status> TakeOver(BareDescriptor connection) override {
    ++accepted_;
    if (cut_off_.has_value()) ++*cut_off_;  // it was on its way when the grace time ended, and is stopped already
    absl::StatusOr<TcpStream> peer = TcpStream::Adopt(std::move(connection));
    return peer.ok() ? ServeTaken(*std::move(peer), OneOf(open_)) : FailWith(peer.status());
  }
  Task<absl::Status> ServeTaken(TcpStream peer, [[maybe_unused]] OneOf open) { co_return co_await handler_(std::move(peer)); }

  static Task<absl::Status> FailWith(absl::Status status) { co_return status; }

  void Start(Scope& connections, TcpStream peer) {
    ++accepted_;
    if (!peer.is_open()) {  // lost on its way to another member and back
      ++failed_;
      return;
    }
    try {
      if (member_ == nullptr) {
        connections.Spawn(std::ref(handler_), std::move(peer));
      } else {
        connections.Spawn(CountedHandler(handler_, member_->Count(), OneOf(open_)), std::move(peer));
      }
    } catch (const std::bad_alloc&) {  // one connection less, not the server
      ++failed_;
    }
  }

  Task<> CloseAfter(Task<> until, Scope& connections) {
    co_await std::move(until);
    is_closing_ = true;
    if (member_ != nullptr) member_->Close();  // the others keep theirs
    TakeBacklog(connections);
    listener_.Close();
  }

  // Closing would reset them, and with them clients that have sent their request already.
  void TakeBacklog(Scope& connections) try {
    for (int left = kBacklogMax; left > 0; --left) {
      absl::StatusOr<TcpStream> peer = listener_.TryAccept();
      if (!peer.ok()) return;
      Start(connections, *std::move(peer));
    }
  } catch (const std::bad_alloc&) {  // those connections, not the server
  }

  // A connection that was sent here and has not started yet counts itself, in TakeOver.
  void CutOff(Scope& connections) {
    cut_off_ = member_ != nullptr ? open_ : connections.live_children();
    try {
      connections.RequestStop("the grace time is over");
    } catch (const std::bad_alloc&) {
      connections.RequestStop();
    }
  }

  void OnFailed(const TaskInfo& who, const Outcome<>& outcome) {
    if (!cut_off_.has_value()) ++failed_;  // later ones count as cut off
    if (options_.on_error()) options_.on_error()(who, outcome);
  }

  ServeReport Report() const {
    ServeReport report;
    report.failed = failed_;
    report.cut_off = cut_off_.value_or(0);
    report.handed_over = handed_over_;
    report.served = accepted_ - report.failed - report.cut_off;
    return report;
  }

  TcpListener listener_;
  internal::GroupMember* const member_;  // null: of no group
  ConnectionHandler handler_;
  const Duration grace_;
  const ServeOptions options_;
  bool is_closing_ = false;
  uint64_t accepted_ = 0;
  uint64_t failed_ = 0;
  uint64_t handed_over_ = 0;
  uint64_t open_ = 0;  // of a member: served here now
  std::optional<uint64_t> cut_off_;  // once the grace time was over
  Timer grace_timer_;
};

Task<> WaitForSignal(SignalWatcher& signals) { co_await signals.Next(); }

Task<absl::StatusOr<ServeReport>> ServeWhileNoSignal(absl::StatusOr<SignalWatcher> watched, TcpListener listener,
                                                     ConnectionHandler handler, Duration grace, ServeOptions options) {
  SignalWatcher signals = co_await Try(std::move(watched));
  Server server(std::move(listener), std::move(handler), grace, std::move(options));
  co_return co_await server.Run(WaitForSignal(signals));
}

}  // namespace

Task<absl::StatusOr<ServeReport>> internal::ServeUntil(TcpListener listener, ConnectionHandler handler, Duration grace,
                                                       Task<> until, ServeOptions options) {
  Server server(std::move(listener), std::move(handler), grace, std::move(options));
  co_return co_await server.Run(std::move(until));
}

Task<absl::StatusOr<ServeReport>> ServeUntilSignal(TcpListener listener, ConnectionHandler handler, Duration grace,
                                                   ServeOptions options) {
  return ServeWhileNoSignal(SignalWatcher::Watch(SIGTERM, SIGINT), std::move(listener), std::move(handler), grace,
                            std::move(options));
}

ServeReport& ServeReport::operator+=(const ServeReport& other) {
  served += other.served;
  failed += other.failed;
  cut_off += other.cut_off;
  handed_over += other.handed_over;
  return *this;
}

std::string ServeReport::ToString() const {
  std::string text = std::to_string(served) + " served, " + std::to_string(cut_off) + " cut off";
  if (failed != 0) text += ", " + std::to_string(failed) + " failed";
  return text;
}

}  // namespace gyre
