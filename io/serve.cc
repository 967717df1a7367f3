#include "gyre/io/serve.h"

#include <cerrno>
#include <csignal>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "gyre/io/internal/accept_group.h"
#include "gyre/io/shutdown_on_signal.h"
#include "gyre/io/signal_watcher.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/bare_descriptor.h"
#include "gyre/runtime/check.h"
#include "gyre/runtime/errors.h"
#include "gyre/runtime/internal/intrusive_list.h"
#include "gyre/runtime/log.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/try.h"
#include "gyre/runtime/when_any.h"
#include "gyre/runtime/with_scope.h"

namespace gyre {
namespace {

constexpr int kBacklogMax = 4096;  // a flood of clients must not keep a server from closing
constexpr Duration kLingerBound = std::chrono::seconds(1);

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

// One Serve, in its frame.
class Server final : private internal::ConnectionTaker {
 public:
  Server(TcpListener listener, ConnectionHandler handler, Shutdown shutdown, ServeOptions options)
      : shutdown_(std::move(shutdown)),
        intake_(shutdown_),
        listener_(std::move(listener)),
        member_(listener_.member()),
        handler_(std::move(handler)),
        options_(std::move(options)) {}
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // `cause`: runs beside it, to request the shutdown.
  Task<absl::StatusOr<ServeReport>> Run(Task<> cause) {
    auto end = co_await WhenAny(NeverEnd(std::move(cause)), ServeConnections(), FollowShutdown());
    // Those that never end have thrown, if they have.
    if (end.index == 0) std::get<0>(std::move(end.outcomes)).value();
    if (end.index == 2) std::get<2>(std::move(end.outcomes)).value();
    absl::Status status = std::get<1>(std::move(end.outcomes)).value();
    if (!status.ok()) co_return status;
    co_return Report();
  }

 private:
  // One connection, as long as its task. Made before that begins, and moved into it.
  class Connection : public internal::ListHook<Connection> {
   public:
    // `count`: in its group, if it is of one and not counted there already.
    explicit Connection(Server& server, internal::LiveCount count = internal::LiveCount())
        : server_(server), count_(std::move(count)), open_(server.open_) {}
    Connection(Connection&& other) noexcept
        : server_(other.server_), count_(std::move(other.count_)), open_(std::move(other.open_)) {}
    ~Connection() {
      if (is_linked()) server_.list_.Remove(*this);
    }

    Task<absl::Status> operator()(TcpStream peer) {
      Begin(peer);
      return server_.handler_(std::move(peer));
    }
    void Begin(const TcpStream& peer) {
      peer_ = peer.peer_endpoint().value_or(Endpoint());
      server_.list_.PushBack(*this);
      if (server_.cut_off_.has_value()) BeLate();
    }

    void BeLate() noexcept try {
      if (server_.late_.size() == ServeReport::kLateMax) return;
      LateConnection late;
      late.peer = peer_;
      late.loop = Loop::Current().number();
      server_.late_.push_back(std::move(late));
      late_ = server_.late_.size();
    } catch (const std::bad_alloc&) {  // it goes without its name
    }
    // For those that are late.
    void Linger() {
      if (late_ > 0) server_.late_[late_ - 1].is_lingering = true;
    }

    const Endpoint& peer() const { return peer_; }

   private:
    Server& server_;
    internal::LiveCount count_;
    OneOf open_;
    Endpoint peer_;
    size_t late_ = 0;  // its place in late_, plus 1
  };

  Task<absl::Status> ServeConnections() {
    OnChildError on_error = [this](const TaskInfo& who, const Outcome<>& outcome) { OnFailed(who, outcome); };
    auto body = [this](Scope& connections) {
      connections_ = &connections;
      return AcceptAll(connections);
    };
    absl::Status status = co_await Supervise(on_error, body);
    connections_ = nullptr;
    // The cut has come before the accept that was being ended had its turn.
    if (cut_off_.has_value() && absl::IsCancelled(status)) co_return absl::OkStatus();
    co_return status;
  }

  Task<> FollowShutdown() {
    co_await shutdown_.Requested();
    is_closing_ = true;
    if (connections_ != nullptr && member_ != nullptr) member_->Close();  // the others keep theirs
    TakeBacklog();
    listener_.Close();
    co_await shutdown_.GraceOver();
    if (connections_ != nullptr) CutOff();
    co_await SleepFor(kLingerBound);
    if (open_ > 0) NoteLingering();
    co_await SleepUntil(kNever);
  }
  static Task<> NeverEnd(Task<> task) {
    co_await std::move(task);
    co_await SleepUntil(kNever);
  }

  // Until the listener is closed. A connection that had been taken by then is served.
  Task<absl::Status> AcceptAll(Scope& connections) {
    if (member_ != nullptr) member_->Open(connections, *this);
    const absl::Cleanup close = [this] {  // however it ends: what would come then would be closed
      if (member_ != nullptr) member_->Close();
      listener_.Close();
      intake_.Close();
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
    return peer.ok() ? ServeTaken(*std::move(peer), Connection(*this)) : FailWith(peer.status());
  }
  Task<absl::Status> ServeTaken(TcpStream peer, Connection connection) {
    co_return co_await connection(std::move(peer));
  }

  static Task<absl::Status> FailWith(absl::Status status) { co_return status; }

  void Start(Scope& connections, TcpStream peer) {
    ++accepted_;
    if (!peer.is_open()) {  // lost on its way to another member and back
      ++failed_;
      return;
    }
    try {
      connections.Spawn(Connection(*this, member_ != nullptr ? member_->Count() : internal::LiveCount()), std::move(peer));
    } catch (const std::bad_alloc&) {  // one connection less, not the server
      ++failed_;
    }
  }

  // Closing would reset them, and with them clients that have sent their request already. All in one step: between two the
  // backlog would fill again, and the grace time is running. Of those that have died meanwhile, it passes 16 with each try.
  void TakeBacklog() try {
    // Not where accepting has failed, and its connections are being stopped.
    if (connections_ == nullptr || !listener_.is_open()) return;
    for (int left = kBacklogMax; left > 0; --left) {
      absl::StatusOr<TcpStream> peer = listener_.TryAccept();
      if (peer.ok()) {
        Start(*connections_, *std::move(peer));
      } else if (ErrnoOf(peer.status()) != ECONNABORTED) {
        return;
      }
    }
  } catch (const std::bad_alloc&) {  // those connections, not the server
  }

  // A connection that has not begun yet names itself when it does; one that was sent here counts itself, too, in TakeOver.
  void CutOff() {
    cut_off_ = open_;
    for (Connection& connection : list_) connection.BeLate();
    connections_->RequestStop(StopReason::Static("the grace time is over"));
  }

  void NoteLingering() {
    lingering_ = open_;
    for (Connection& connection : list_) connection.Linger();
    LogLingering();
  }

  void LogLingering() noexcept try {
    std::string text = "gyre: shutdown: " + std::to_string(open_) + " connections have not ended 1 s after their stop";
    if (const Connection* const first = list_.front()) text += ", such as that of " + first->peer().ToString();
    internal::Log(text);
  } catch (const std::bad_alloc&) {
    internal::Log("gyre: shutdown: connections have not ended 1 s after their stop");
  }

  void OnFailed(const TaskInfo& who, const Outcome<>& outcome) {
    if (!cut_off_.has_value()) ++failed_;  // later ones count as cut off
    if (options_.on_error()) options_.on_error()(who, outcome);
  }

  ServeReport Report() const {
    ServeReport report;
    report.failed = failed_;
    report.cut_off = cut_off_.value_or(0);
    report.lingering = lingering_;
    report.late = late_;
    report.handed_over = handed_over_;
    report.served = accepted_ - report.failed - report.cut_off;
    return report;
  }

  const Shutdown shutdown_;
  Shutdown::Intake intake_;  // closed when it has stopped accepting
  TcpListener listener_;
  internal::GroupMember* const member_;  // null: of no group
  ConnectionHandler handler_;
  const ServeOptions options_;
  Scope* connections_ = nullptr;  // while there may be some
  bool is_closing_ = false;
  uint64_t accepted_ = 0;
  uint64_t failed_ = 0;
  uint64_t handed_over_ = 0;
  uint64_t open_ = 0;                // served here now
  std::optional<uint64_t> cut_off_;  // once the grace time was over
  uint64_t lingering_ = 0;
  std::vector<LateConnection> late_;
  internal::IntrusiveList<Connection> list_;  // those that have begun
};

// However `until` ends, but for an exception.
Task<> RequestAfter(Task<> until, Shutdown shutdown) {
  const Outcome<> end = co_await AsOutcome(std::move(until));
  if (end.has_exception()) std::rethrow_exception(end.exception());
  shutdown.Request();
}

Task<> Nothing() { co_return; }

// At the call, where the mistake is: an empty function would only be called, and throw, for the first connection.
void CheckHandler(const ConnectionHandler& handler) {
  GYRE_CHECK(handler != nullptr, "Serve was given an empty handler: it wants a function that serves a connection");
}

Task<absl::StatusOr<ServeReport>> ServeUntilShutdown(TcpListener listener, ConnectionHandler handler, Shutdown shutdown,
                                                     ServeOptions options) {
  Server server(std::move(listener), std::move(handler), std::move(shutdown), std::move(options));
  co_return co_await server.Run(Nothing());
}

Task<absl::StatusOr<ServeReport>> ServeWhileNot(TcpListener listener, ConnectionHandler handler, Duration grace,
                                                Task<> until, ServeOptions options) {
  const Shutdown shutdown(grace);
  Server server(std::move(listener), std::move(handler), shutdown, std::move(options));
  co_return co_await server.Run(RequestAfter(std::move(until), shutdown));
}

Task<absl::StatusOr<ServeReport>> ServeWhileNoSignal(absl::StatusOr<SignalWatcher> watched, TcpListener listener,
                                                     ConnectionHandler handler, Duration grace, ServeOptions options) {
  SignalWatcher signals = co_await Try(std::move(watched));
  const Shutdown shutdown(grace);
  Server server(std::move(listener), std::move(handler), shutdown, std::move(options));
  co_return co_await server.Run(internal::ShutDownAtSignals(std::move(signals), shutdown));
}

}  // namespace

Task<absl::StatusOr<ServeReport>> Serve(TcpListener listener, ConnectionHandler handler, Shutdown shutdown,
                                        ServeOptions options) {
  CheckHandler(handler);
  return ServeUntilShutdown(std::move(listener), std::move(handler), std::move(shutdown), std::move(options));
}

Task<absl::StatusOr<ServeReport>> internal::ServeUntil(TcpListener listener, ConnectionHandler handler, Duration grace,
                                                       Task<> until, ServeOptions options) {
  CheckHandler(handler);
  return ServeWhileNot(std::move(listener), std::move(handler), grace, std::move(until), std::move(options));
}

Task<absl::StatusOr<ServeReport>> ServeUntilSignal(TcpListener listener, ConnectionHandler handler, Duration grace,
                                                   ServeOptions options) {
  CheckHandler(handler);
  return ServeWhileNoSignal(SignalWatcher::Watch(SIGTERM, SIGINT), std::move(listener), std::move(handler), grace,
                            std::move(options));
}

ServeReport& ServeReport::operator+=(const ServeReport& other) {
  served += other.served;
  failed += other.failed;
  cut_off += other.cut_off;
  lingering += other.lingering;
  handed_over += other.handed_over;
  for (size_t i = 0; i < other.late.size() && late.size() < kLateMax; ++i) late.push_back(other.late[i]);
  return *this;
}

std::string LateConnection::ToString() const {
  return peer.ToString() + " on loop " + std::to_string(loop) + (is_lingering ? ", still there 1 s after its stop" : "");
}

std::string ServeReport::ToString() const {
  std::string text = std::to_string(served) + " served, " + std::to_string(cut_off) + " cut off";
  if (failed != 0) text += ", " + std::to_string(failed) + " failed";
  return text;
}

}  // namespace gyre
