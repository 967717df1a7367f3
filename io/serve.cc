#include "gyre/io/serve.h"

#include <csignal>
#include <new>
#include <optional>

#include "gyre/io/signal_watcher.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/try.h"
#include "gyre/runtime/with_scope.h"

namespace gyre {
namespace {

constexpr int kBacklogMax = 4096;  // a flood of clients must not keep a server from closing

// One Serve, in its frame.
class Server {
 public:
  Server(TcpListener listener, ConnectionHandler handler, Duration grace, ServeOptions options)
      : listener_(std::move(listener)), handler_(std::move(handler)), grace_(grace), options_(std::move(options)) {}
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
    for (;;) {
      absl::StatusOr<TcpStream> peer = co_await listener_.Accept();
      if (!peer.ok() && is_closing_) co_return absl::OkStatus();
      if (!peer.ok()) co_return peer.status();
      Start(connections, *std::move(peer));
    }
  }

  void Start(Scope& connections, TcpStream peer) {
    ++accepted_;
    try {
      connections.Spawn(std::ref(handler_), std::move(peer));
    } catch (const std::bad_alloc&) {  // one connection less, not the server
      ++failed_;
    }
  }

  Task<> CloseAfter(Task<> until, Scope& connections) {
    co_await std::move(until);
    is_closing_ = true;
    TakeBacklog(connections);
    listener_.Close();
  }

  // Closing would reset them, and with them clients that have sent their request already.
  void TakeBacklog(Scope& connections) {
    for (int left = kBacklogMax; left > 0; --left) {
      absl::StatusOr<TcpStream> peer = listener_.TryAccept();
      if (!peer.ok()) return;
      Start(connections, *std::move(peer));
    }
  }

  void CutOff(Scope& connections) {
    cut_off_ = connections.live_children();
    connections.RequestStop("the grace time is over");
  }

  void OnFailed(const TaskInfo& who, const Outcome<>& outcome) {
    if (!cut_off_.has_value()) ++failed_;  // later ones count as cut off
    if (options_.on_error()) options_.on_error()(who, outcome);
  }

  ServeReport Report() const {
    ServeReport report;
    report.failed = failed_;
    report.cut_off = cut_off_.value_or(0);
    report.served = accepted_ - report.failed - report.cut_off;
    return report;
  }

  TcpListener listener_;
  ConnectionHandler handler_;
  const Duration grace_;
  const ServeOptions options_;
  bool is_closing_ = false;
  uint64_t accepted_ = 0;
  uint64_t failed_ = 0;
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
  return *this;
}

std::string ServeReport::ToString() const {
  std::string text = std::to_string(served) + " served, " + std::to_string(cut_off) + " cut off";
  if (failed != 0) text += ", " + std::to_string(failed) + " failed";
  return text;
}

}  // namespace gyre
