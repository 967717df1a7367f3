#include "gyre/runtime/backend/sim_backend.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <deque>
#include <iterator>
#include <new>
#include <span>
#include <string>
#include <thread>
#include <utility>

#include "gyre/runtime/check.h"
#include "gyre/runtime/internal/waiting.h"
#include "gyre/runtime/loop.h"

namespace gyre {

using internal::BufferBlock;
using internal::BufferPool;
using internal::SimEvent;
using internal::SimSocket;

namespace {

constexpr size_t kAheadMax = 4;  // items that a repeating operation takes before anyone asks

// Once a loop has been busy for too long, time goes on after so many more turns: the way to one deadline may take
// several steps.
constexpr uint64_t kBusyTurnsAgain = 100;

}  // namespace

class SimBackend::Block final : public Descriptor, public internal::SimSocketWatcher {
 public:
  Block(SimBackend& backend, int fd, SimSocket& socket, uint64_t serial)
      : Descriptor(backend, fd), serial(serial), socket(&socket) {}

  void OnReadable() override { static_cast<SimBackend*>(backend_)->OnReadiness(*this, kReadable); }
  void OnWritable() override { static_cast<SimBackend*>(backend_)->OnReadiness(*this, kWritable); }

  struct AheadBuffer {
    BufferBlock* buffer;
    size_t begin;
    size_t end;
  };

  const uint64_t serial;
  SimSocket* socket;
  uint64_t reader_count = 0;  // operations begun; tells a late cancel whether its own is still there
  uint64_t writer_count = 0;
  bool is_connecting = false;        // the waiting connect has been asked for
  bool has_sent_some = false;        // of the waiting send
  bool wants_buffers_large = false;  // the last one was filled
  bool is_repeating = false;         // kAccept or kReceiveBuffer was submitted once
  std::deque<AheadBuffer> ahead_buffers;
  std::deque<Block*> ahead_accepts;
};

SimBackend::~SimBackend() {
  core_.events.RemoveHandler(handler_);
  GYRE_CHECK(blocks_.empty(), "internal: a simulated backend was destroyed with open descriptors");
}

// --- operations

bool SimBackend::Submit(Op& op) {
  Block& block = Of(*op.descriptor());
  if (const int failure = InjectedFailure(op.opcode()); failure != 0) {
    op.result = -failure;
    return true;
  }
  if (op.is_reader()) {
    block.reader = &op;
    ++block.reader_count;
    if (op.opcode() != Opcode::kReceive) block.is_repeating = true;
  } else {
    block.writer = &op;
    ++block.writer_count;
    block.is_connecting = block.has_sent_some = false;
  }
  if (Chance(core_.options.forced_suspension_one_in)) {
    op.QueueForPerform();
    return false;
  }
  return Try(op);
}

int SimBackend::InjectedFailure(Opcode opcode) {
  const uint64_t nth = ++core_.submitted[static_cast<size_t>(opcode)];
  for (const testing::SimOptions::Failure& failure : core_.options.failures) {
    if (failure.opcode == opcode && failure.nth == nth) return failure.error_number;
  }
  return 0;
}

bool SimBackend::Finish(Op& op, int64_t result) {
  if (result == -EAGAIN) return false;
  op.result = static_cast<int32_t>(result);
  (op.is_reader() ? op.descriptor()->reader : op.descriptor()->writer) = nullptr;
  return true;
}

bool SimBackend::Try(Op& op) {
  Block& block = Of(*op.descriptor());
  switch (op.opcode()) {
    case Opcode::kAccept:
      return TryAccept(op, block);
    case Opcode::kConnect:
      return TryConnect(op, block);
    case Opcode::kReceive:
      return TryReceive(op, block);
    case Opcode::kReceiveBuffer:
      return TryReceiveBuffer(op, block);
    case Opcode::kSend:
      return TrySend(op, block);
  }
  GYRE_CHECK(false, "internal: an unknown operation");
  return false;
}

bool SimBackend::TryAccept(Op& op, Block& block) {
  Descriptor* accepted = nullptr;
  const int result = AcceptNow(block, &accepted);
  op.accepted = accepted;
  return Finish(op, result);
}

bool SimBackend::TryConnect(Op& op, Block& block) {
  if (!block.is_connecting) {
    const int asked = core_.network.Connect(*block.socket, static_cast<const sockaddr*>(op.address), op.vector_count);
    if (asked == -EAGAIN) {  // no port is left: a result here, not a wait
      Finish(op, 0);
      op.result = -EAGAIN;
      return true;
    }
    block.is_connecting = asked == 0;
    return asked != 0 && Finish(op, asked);
  }
  return Finish(op, core_.network.ConnectResult(*block.socket));
}

bool SimBackend::TryReceive(Op& op, Block& block) {
  const std::span into(static_cast<std::byte*>(op.vectors[0].iov_base), op.vectors[0].iov_len);
  if (block.ahead_buffers.empty()) return Finish(op, core_.network.Receive(*block.socket, into));
  Block::AheadBuffer& first = block.ahead_buffers.front();
  const size_t count = std::min(into.size(), first.end - first.begin);
  if (count > 0) std::memcpy(into.data(), first.buffer->data() + first.begin, count);
  first.begin += count;
  if (first.begin == first.end) {
    BufferPool::Free(first.buffer);
    block.ahead_buffers.pop_front();
  }
  return Finish(op, static_cast<int64_t>(count));
}

bool SimBackend::TryReceiveBuffer(Op& op, Block& block) {
  if (block.ahead_buffers.empty()) {
    BufferBlock* buffer = nullptr;
    const int64_t result = ReceiveIntoBuffer(block, &buffer);
    op.block = buffer;
    return Finish(op, result);
  }
  const Block::AheadBuffer first = block.ahead_buffers.front();
  block.ahead_buffers.pop_front();
  const size_t count = first.end - first.begin;
  if (first.begin > 0) std::memmove(first.buffer->data(), first.buffer->data() + first.begin, count);
  op.block = first.buffer;
  return Finish(op, static_cast<int64_t>(count));
}

bool SimBackend::TrySend(Op& op, Block& block) {
  if (block.is_send_broken) return Finish(op, -EPIPE);
  for (;;) {
    while (op.vector_count > 0 && op.vectors->iov_len == 0) {
      ++op.vectors;
      --op.vector_count;
    }
    if (op.vector_count == 0) return Finish(op, 0);
    std::span bytes(static_cast<const std::byte*>(op.vectors->iov_base), op.vectors->iov_len);
    const bool is_cut_short = Chance(core_.options.short_write_one_in);
    if (is_cut_short) bytes = bytes.first(1 + core_.rng.Below(bytes.size()));
    const int64_t sent = core_.network.Send(*block.socket, bytes);
    if (sent < 0) {
      if (block.has_sent_some && sent != -EAGAIN && sent != -EPIPE) block.is_send_broken = true;
      return Finish(op, sent);
    }
    block.has_sent_some = true;
    op.vectors->iov_base = static_cast<std::byte*>(op.vectors->iov_base) + sent;
    op.vectors->iov_len -= static_cast<size_t>(sent);
    if (is_cut_short) {
      op.QueueForPerform();
      return false;
    }
  }
}

void SimBackend::Cancel(Op& op) {
  Block& block = Of(*op.descriptor());
  if (!Chance(core_.options.late_cancel_one_in)) return CancelNow(op, block);
  const auto wait = static_cast<uint64_t>(std::max<int64_t>(core_.options.latency_max.count() / 4, 1));
  const TimePoint when = After(ReadClock(), Duration(static_cast<int64_t>(core_.rng.Below(wait))));
  const uint64_t count = op.is_reader() ? block.reader_count : block.writer_count;
  core_.events.Schedule(when, handler_, kLateCancel, block.serial, op.is_reader() ? 1 : 0, count);
}

void SimBackend::CancelNow(Op& op, Block& block) {
  if (op.opcode() == Opcode::kSend && block.has_sent_some) block.is_send_broken = true;
  Finish(op, 0);
  op.CompleteCancelled();
}

// --- repeating operations

int SimBackend::AcceptOne(Block& listener, Block** accepted) {
  if (const int result = core_.network.AcceptResult(*listener.socket); result != 0) return result;
  SimSocket* const socket = core_.network.Accept(*listener.socket);
  const int result = NewBlock(*socket, accepted);
  if (result != 0) core_.network.PutBack(*listener.socket, *socket);
  return result;
}

int64_t SimBackend::ReceiveIntoBuffer(Block& block, BufferBlock** buffer) {
  if (!core_.network.IsReadable(*block.socket)) return -EAGAIN;
  try {
    *buffer = loop().buffer_pool().Lease(block.wants_buffers_large);
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  }
  const int64_t count = core_.network.Receive(*block.socket, std::span((*buffer)->data(), (*buffer)->capacity));
  if (count <= 0) {
    BufferPool::Free(*buffer);
    *buffer = nullptr;
    return count;
  }
  block.wants_buffers_large = static_cast<size_t>(count) == (*buffer)->capacity;
  return count;
}

void SimBackend::RunAhead(Block& block) {
  if (!block.is_repeating) return;
  if (block.socket->state == SimSocket::State::kListening) {
    if (block.ahead_accepts.size() >= kAheadMax || !Chance(core_.options.run_ahead_one_in)) return;
    Block* accepted = nullptr;
    if (AcceptOne(block, &accepted) == 0) block.ahead_accepts.push_back(accepted);
  } else if (block.socket->arrived > 0) {  // ends and errors stay where they are
    if (block.ahead_buffers.size() >= kAheadMax || !Chance(core_.options.run_ahead_one_in)) return;
    BufferBlock* buffer = nullptr;
    const int64_t count = ReceiveIntoBuffer(block, &buffer);
    if (count > 0) block.ahead_buffers.push_back({buffer, 0, static_cast<size_t>(count)});
  }
}

// Closes the sockets and frees the buffers that nobody asked for.
void SimBackend::ReturnAhead(Block& block) {
  for (const Block::AheadBuffer& ahead : block.ahead_buffers) BufferPool::Free(ahead.buffer);
  block.ahead_buffers.clear();
  std::deque<Block*> accepts = std::move(block.ahead_accepts);
  block.ahead_accepts.clear();
  for (Block* accepted : accepts) Retire(*accepted, /*reset=*/false);
}

// --- descriptors

SimBackend::Block& SimBackend::Of(Descriptor& descriptor) const {
  GYRE_CHECK(descriptor.backend() == this,
             "a socket was used on another loop than its own, or after its loop had ended");
  return static_cast<Block&>(descriptor);
}

int SimBackend::NewBlock(SimSocket& socket, Block** block) {
  const int fd = core_.fds.Open(socket, core_.options.descriptors_max);
  if (fd < 0) return fd;
  *block = new Block(*this, fd, socket, ++last_serial_);
  blocks_.emplace(last_serial_, *block);
  socket.watcher = *block;
  return 0;
}

void SimBackend::Forget(Block& block) {
  block.socket->watcher = nullptr;
  blocks_.erase(block.serial);
}

int SimBackend::OpenStream(int family, Descriptor** opened) {
  if (family != AF_INET && family != AF_INET6) return -EAFNOSUPPORT;
  SimSocket* const socket = core_.network.Open(family);
  Block* block = nullptr;
  const int result = NewBlock(*socket, &block);
  if (result != 0) core_.network.Close(*socket, /*reset=*/false);
  *opened = block;
  return result;
}

int SimBackend::Adopt(int fd, Descriptor** adopted) {
  SimSocket* const socket = core_.fds.Find(fd);
  if (socket == nullptr || socket->watcher != nullptr) return -EBADF;
  Block* const block = new Block(*this, fd, *socket, ++last_serial_);
  blocks_.emplace(last_serial_, block);
  socket->watcher = block;
  *adopted = block;
  return 0;
}

int SimBackend::Bind(Descriptor& descriptor, const sockaddr* address, socklen_t length) {
  return core_.network.Bind(*Of(descriptor).socket, address, length);
}
int SimBackend::Listen(Descriptor& descriptor, int backlog) {
  return core_.network.Listen(*Of(descriptor).socket, backlog);
}
// There are no CPUs: the network's dice stay.
int SimBackend::SteerByCpu(Descriptor& descriptor, uint32_t) {
  Of(descriptor);
  return 0;
}
int SimBackend::SetOption(Descriptor& descriptor, int level, int name, int value) {
  return core_.network.SetOption(*Of(descriptor).socket, level, name, value);
}
int SimBackend::GetOption(Descriptor& descriptor, int level, int name, int* value) {
  return core_.network.GetOption(*Of(descriptor).socket, level, name, value);
}
int SimBackend::LocalAddress(Descriptor& descriptor, sockaddr* address, socklen_t* length) {
  return core_.network.LocalAddress(*Of(descriptor).socket, address, length);
}
int SimBackend::PeerAddress(Descriptor& descriptor, sockaddr* address, socklen_t* length) {
  return core_.network.PeerAddress(*Of(descriptor).socket, address, length);
}
int SimBackend::Shutdown(Descriptor& descriptor, int how) {
  const int result = core_.network.Shutdown(*Of(descriptor).socket, how);
  return result == -ENOTCONN ? 0 : result;  // there is nothing left to end
}

void SimBackend::Retire(Descriptor& descriptor, bool reset) {
  Block& block = Of(descriptor);
  for (Op* op : {block.reader, block.writer}) {
    if (op == nullptr) continue;
    Finish(*op, 0);
    op->CompleteWith(-EBADF);
  }
  ReturnAhead(block);
  Forget(block);
  core_.fds.Close(block.fd());
  core_.network.Close(*block.socket, reset);
  delete &block;
}

int SimBackend::Release(Descriptor& descriptor, std::vector<std::byte>& unread) {
  Block& block = Of(descriptor);
  GYRE_CHECK(block.reader == nullptr && block.writer == nullptr,
             "a socket was released while an operation waited on it");
  try {
    for (const Block::AheadBuffer& ahead : block.ahead_buffers) {
      unread.insert(unread.end(), ahead.buffer->data() + ahead.begin, ahead.buffer->data() + ahead.end);
    }
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  }
  for (const Block::AheadBuffer& ahead : block.ahead_buffers) BufferPool::Free(ahead.buffer);
  while (!block.ahead_accepts.empty()) {
    Block& last = *block.ahead_accepts.back();
    block.ahead_accepts.pop_back();
    core_.network.PutBack(*block.socket, *last.socket);
    Forget(last);
    core_.fds.Close(last.fd());
    delete &last;
  }
  const int fd = block.fd();
  Forget(block);
  delete &block;
  return fd;
}

int SimBackend::PutBack(Descriptor& descriptor, std::span<const std::byte> bytes) {
  Block& block = Of(descriptor);
  try {
    while (!bytes.empty()) {
      BufferBlock* const buffer = loop().buffer_pool().Lease(/*is_large=*/bytes.size() > BufferPool::kSmallBytes);
      const size_t count = std::min(bytes.size(), buffer->capacity);
      std::memcpy(buffer->data(), bytes.data(), count);
      block.ahead_buffers.push_back({buffer, 0, count});
      bytes = bytes.subspan(count);
    }
  } catch (const std::bad_alloc&) {
    for (const Block::AheadBuffer& ahead : block.ahead_buffers) BufferPool::Free(ahead.buffer);
    block.ahead_buffers.clear();
    return -ENOMEM;
  }
  return 0;
}

int SimBackend::AcceptNow(Descriptor& listener, Descriptor** accepted) {
  Block& block = Of(listener);
  Block* next = nullptr;
  int result = 0;
  if (!block.ahead_accepts.empty()) {
    next = block.ahead_accepts.front();
    block.ahead_accepts.pop_front();
  } else {
    result = AcceptOne(block, &next);
  }
  *accepted = next;
  return result;
}

bool SimBackend::ShedOne(Descriptor& listener) {
  Block& block = Of(listener);
  if (core_.network.AcceptResult(*block.socket) != 0) return false;
  core_.network.Close(*core_.network.Accept(*block.socket), /*reset=*/true);
  return true;
}

size_t SimBackend::DetachAll() {
  for (const auto& [serial, block] : std::map(blocks_)) {
    if (blocks_.contains(serial)) ReturnAhead(*block);  // may end others of them
  }
  const size_t left = blocks_.size();
  while (!blocks_.empty()) {
    Block& block = *blocks_.begin()->second;
    GYRE_CHECK(block.reader == nullptr && block.writer == nullptr, "internal: a loop ended with an operation waiting");
    Forget(block);
    core_.fds.Close(block.fd());
    core_.network.Close(*block.socket, /*reset=*/false);
    DetachBlock(block);
  }
  return left;
}

// --- events

bool SimBackend::IsLoopRunning() const { return internal::tls_loop == &loop().core(); }

// Something happened to the block's socket: by this loop, or by another one or none.
void SimBackend::OnReadiness(Block& block, EventKind kind) {
  if (!IsLoopRunning()) return Defer(SimEvent{TimePoint(), 0, handler_, kind, block.serial, 0, 0});
  counters().events.Add(1);
  Op* const waiting = kind == kReadable ? block.reader : block.writer;
  if (waiting != nullptr) {
    Poke(*waiting);
  } else {
    RunAhead(block);
  }
}

void SimBackend::Poke(Op& op) {
  if (!Chance(core_.options.in_place_completion_one_in)) return op.QueueForPerform();
  if (Try(op)) op.CompleteWith(op.result);
}

void SimBackend::OnSimEvent(const SimEvent& event) {
  if (event.kind == kWake) {
    sleeps_until_ = TimePoint();
  } else if (IsLoopRunning()) {
    Handle(event);
  } else {
    Defer(event);
  }
}

// What concerns a loop happens in its turn.
void SimBackend::Defer(const SimEvent& event) {
  deferred_.push_back(event);
  sleeps_until_ = TimePoint();
}

bool SimBackend::TakeDeferred() {
  const std::vector<SimEvent> events = std::exchange(deferred_, {});
  for (const SimEvent& event : events) Handle(event);
  return !events.empty();
}

void SimBackend::Handle(const SimEvent& event) {
  const auto found = blocks_.find(event.to);
  if (found == blocks_.end()) return;
  Block& block = *found->second;
  if (event.kind != kLateCancel) return OnReadiness(block, static_cast<EventKind>(event.kind));
  const bool is_reader = event.from == 1;
  Op* const op = is_reader ? block.reader : block.writer;
  if (op == nullptr || event.count != (is_reader ? block.reader_count : block.writer_count)) return;
  CancelNow(*op, block);
}

void SimBackend::AwaitWakes(uint64_t count) {
  while (wakes_.load(std::memory_order_acquire) < count) std::this_thread::yield();  // a waker is between two lines
}

void SimBackend::Wake() noexcept {
  is_woken_.store(true, std::memory_order_release);
  is_woken_.notify_one();
  core_.wakes.fetch_add(1, std::memory_order_release);
  core_.wakes.notify_one();
  wakes_.fetch_add(1, std::memory_order_release);  // the last touch: the loop may end now
}

bool SimBackend::DeliverDue() {
  bool has_delivered = false;
  while (core_.events.DeliverOne()) {
    has_delivered = true;
    if (core_.options.shuffle && core_.rng.Chance(1, 4)) break;  // the rest waits for the next turn
  }
  if (has_delivered) MaybeWakeSpuriously();
  return has_delivered;
}

void SimBackend::MaybeWakeSpuriously() {
  if (!blocks_.empty() && Chance(core_.options.spurious_wake_one_in)) {
    const auto which = static_cast<std::ptrdiff_t>(core_.rng.Below(blocks_.size()));
    Block& lucky = *std::next(blocks_.begin(), which)->second;
    if (lucky.reader != nullptr) lucky.reader->QueueForPerform();
    if (lucky.writer != nullptr) lucky.writer->QueueForPerform();
  }
}

void SimBackend::Turn(TimePoint until) {
  counters().waits.Add(1);
  const bool was_woken = is_woken_.exchange(false, std::memory_order_acquire);
  if (was_woken) counters().wakes.Add(1);
  const bool has_taken = TakeDeferred();
  if (takes_turns_) {
    if (has_taken) MaybeWakeSpuriously();
    sleeps_until_ = has_taken || was_woken ? TimePoint() : until;
    return;
  }
  if (DeliverDue() || has_taken || was_woken) return;
  if (until == TimePoint()) {
    if (++busy_turns_ < core_.options.busy_turns_max) return;
    busy_turns_ -= std::min(core_.options.busy_turns_max, kBusyTurnsAgain);
    until = loop().timers().NextExpiry().value_or(kNever);
    if (std::min(core_.events.next(), until) == kNever) return;
  } else {
    busy_turns_ = 0;
  }
  PassTime(until);
}

void SimBackend::PassTime(TimePoint until) {
  const TimePoint next = std::min(core_.events.next(), until);
  if (next == kNever) return WaitForWake();
  core_.events.AdvanceTo(next);
  DeliverDue();
}

void SimBackend::WaitForWake() {
  if (core_.options.check_deadlock) {  // otherwise other threads run on, and nothing but this loop stands still
    core_.ReportDeadlock("deadlock: every task waits, and no timer, no event and no other thread can wake one (" +
                         DescribeWaiting() + ")" + internal::DescribeWaiting(loop().core()));
  }
  is_woken_.wait(false, std::memory_order_acquire);
  is_woken_.store(false, std::memory_order_relaxed);
  counters().wakes.Add(1);
}

std::string SimBackend::DescribeWaiting() const {
  size_t waiting = 0;
  for (const auto& [serial, block] : blocks_) {
    waiting += (block->reader != nullptr ? 1u : 0u) + (block->writer != nullptr ? 1u : 0u);
  }
  return std::to_string(blocks_.size()) + " open descriptors, " + std::to_string(waiting) + " waiting operations";
}

// --- for a SimHost

void SimBackend::SendWake() {
  if (sleeps_until_ <= core_.events.now() || !is_woken_.exchange(false, std::memory_order_acquire)) return;
  counters().wakes.Add(1);
  const testing::SimOptions& options = core_.options;
  const Duration latency = core_.Between(options.wake_latency_min, options.wake_latency_max);
  core_.events.Schedule(core_.events.now() + latency, handler_, kWake, handler_);
}

}  // namespace gyre
