// Backend: what a loop asks of the world. One contract; epoll, io_uring and the simulation implement it.
//
// An Op is one request: submit it, and it completes exactly once. A Descriptor is the loop's state block for one
// open descriptor: it belongs to the loop, not to the TcpStream that refers to it nor to the await in progress, so that
// an operation in the kernel always has something to complete into. Retiring it ends what is in flight, closes the
// descriptor, and only then frees the block; a loop ends when no block is left.
//
// Repeating operations. kAccept and kReceiveBuffer are streams of items: each Submit asks for the next one. A backend
// may keep one multishot request armed in the kernel and run ahead of the program, keeping items that nobody has asked
// for in its state block (io_uring; the simulation does so at random); epoll runs ahead by nothing, the kernel keeps
// the items. Either way an item that was not handed over stays where it is when an Op is cancelled, and Retire gives
// back what is left (closes the sockets, frees the buffers).
//
// Thread-safety: the loop's thread only, but for Wake.
// Lifetime:      of an Op and of all it points to: until its completion. The backend outlives its Descriptors' handles
//                or detaches them.
// Cancellation:  Cancel(op) asks; the completion still comes, exactly once, and it alone frees the Op: stopped
//                if nothing was handed over, or the result if the operation won.
// Errors:        results are a count or 0, or -errno. EINTR never shows; EAGAIN only where connect can't get a port.
// Cost:          one virtual call per operation, against a system call of a microsecond.
#ifndef GYRE_RUNTIME_BACKEND_H_
#define GYRE_RUNTIME_BACKEND_H_

#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gyre/runtime/bare_descriptor.h"
#include "gyre/runtime/internal/counter.h"
#include "gyre/runtime/internal/executor_source.h"
#include "gyre/runtime/internal/intrusive_list.h"
#include "gyre/runtime/op.h"
#include "gyre/runtime/time.h"

namespace gyre {

class Loop;

using internal::Counter;

struct BackendCounters {
  Counter syscalls;          // every system call the backend made
  Counter waits;             // of those, the ones that asked for events
  Counter events;            // readiness events or completions taken
  Counter stale_events;      // for descriptors closed meanwhile
  Counter accept_pauses;     // times that accepting paused for want of descriptors or memory
  Counter wakes;             // wake-ups written to this loop
};

// The state block. Each backend derives its own.
class Descriptor {
 public:
  virtual ~Descriptor() = default;
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  // Null once the loop has ended: only the handle is left to free the block.
  Backend* backend() const { return backend_; }

  // The bare descriptor, for logs and Release; the simulation numbers its own.
  int fd() const { return fd_; }

  // The one operation that may wait in each direction; a second one is a usage error.
  Op* reader = nullptr;
  Op* writer = nullptr;
  // A send was stopped midway, so the peer's view of the byte stream ends inside a message. [D29]
  bool is_send_broken = false;

 protected:
  Descriptor(Backend& backend, int fd) : backend_(&backend), fd_(fd) {}

  Backend* backend_;
  int fd_;

 private:
  friend class Backend;
};

// Waits until this loop has closed a descriptor: an accept for which the process had none left.
class DescriptorWaiter : public internal::ListHook<DescriptorWaiter> {
 public:
  // Leaves the list.
  virtual void OnDescriptorFreed() noexcept = 0;

 protected:
  ~DescriptorWaiter() = default;
};

class Backend {
 public:
  virtual ~Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  virtual std::string_view name() const = 0;

  // The loop tells itself once, before anything else.
  void Attach(Loop& loop) { loop_ = &loop; }

  // --- time
  virtual TimePoint ReadClock() = 0;
  // Timers are rounded up to 2^shift ns; 0 in simulation, where each fires exactly at its deadline.
  virtual int tick_shift() const { return 16; }
  // The simulation's source of shuffled ready queues; null in production.
  virtual internal::Rng* scheduling_rng() { return nullptr; }

  // Pools that belong to this backend's world; null in production, where a runtime has them.
  virtual internal::ExecutorSource* executors() { return nullptr; }

  // --- operations
  // True: finished at once, the result is in the op. False: a completion follows.
  virtual bool Submit(Op& op) = 0;
  // For an op that is waiting; see Cancellation above.
  virtual void Cancel(Op& op) = 0;
  // For an op the backend queued with Op::QueueForPerform: tries it. False: it waits on.
  virtual bool Perform(Op& op) = 0;
  // Collects completions into the ready queue; waits for one until `until` (kNever: for ever; the epoch: not at all).
  virtual void Turn(TimePoint until) = 0;
  // Makes a Turn that waits return. Any thread, also a signal handler.
  virtual void Wake() noexcept = 0;
  // Returns when Wake has been called `count` times in all; for the end of a loop, whose last wakers may still be on their
  // way.
  virtual void AwaitWakes(uint64_t count) = 0;

  // --- for a loop inside another's (EmbeddedLoop), which polls one descriptor instead of waiting in Turn
  // Gives the descriptor, which stays the backend's: readable once a Turn would bring something, or Wake was called; -errno where
  // it can't be had. It tells both an edge and the level, and a Turn that brings fewer than 64 events lowers the level. Once.
  virtual int OpenPollable() { return -EOPNOTSUPP; }
  // Makes the descriptor readable at `when`, too; the next Turn after that ends it. Takes the place of an earlier alarm.
  virtual void SetAlarm(TimePoint /*when*/) {}

  // --- descriptors; each gives 0 or -errno, but for Release and world
  virtual int OpenStream(int family, Descriptor** opened) = 0;
  // Takes over a connected or listening stream socket that somebody else made; on error it stays theirs.
  virtual int Adopt(int fd, Descriptor** adopted) = 0;
  virtual int Bind(Descriptor& descriptor, const sockaddr* address, socklen_t length) = 0;
  virtual int Listen(Descriptor& descriptor, int backlog) = 0;
  // Of the `listeners` sockets that share its address: a connection goes to the one whose number, in the order of their
  // Listens, is that of the receiving CPU modulo `listeners`.
  virtual int SteerByCpu(Descriptor& descriptor, uint32_t listeners) = 0;
  virtual int SetOption(Descriptor& descriptor, int level, int name, int value) = 0;
  virtual int GetOption(Descriptor& descriptor, int level, int name, int* value) = 0;
  virtual int LocalAddress(Descriptor& descriptor, sockaddr* address, socklen_t* length) = 0;
  virtual int PeerAddress(Descriptor& descriptor, sockaddr* address, socklen_t* length) = 0;
  virtual int Shutdown(Descriptor& descriptor, int how) = 0;
  // Ends waiting ops with -EBADF, closes, frees. `reset`: the peer sees a reset instead of an orderly end.
  virtual void Retire(Descriptor& descriptor, bool reset) = 0;
  // Gives up the bare descriptor, which is what it returns, without closing it; no op may be waiting. Bytes that were
  // received and not asked for go behind `unread`. Frees the block. -ENOMEM: nothing has changed.
  virtual int Release(Descriptor& descriptor, std::vector<std::byte>& unread) = 0;
  // For one just adopted: these bytes are received first.
  virtual int PutBack(Descriptor& descriptor, std::span<const std::byte> bytes) = 0;
  virtual DescriptorWorld& world() = 0;

  // Release and Adopt with all that belongs to a connection: `unread` (what the program gives back, which comes first),
  // what the backend had received, and is_send_broken. On an error the descriptor, or `bare`, is as it was.
  int ReleaseBare(Descriptor& descriptor, std::span<const std::byte> unread, BareDescriptor* released);
  int AdoptBare(BareDescriptor& bare, Descriptor** adopted);

  // The connection that waits to be accepted, or -EAGAIN; also while a kAccept waits. -ECONNABORTED: those that it tried had
  // died before, and there may be more.
  virtual int AcceptNow(Descriptor& listener, Descriptor** accepted) = 0;
  // Spends the descriptor kept in reserve to take one connection off a full process and reset it. [accept, EMFILE]
  // True if a connection was shed.
  virtual bool ShedOne(Descriptor& listener) = 0;
  // In order of arrival; DescriptorHandle::Close tells the first.
  internal::IntrusiveList<DescriptorWaiter>& descriptor_waiters() { return descriptor_waiters_; }

  // The loop ends: closes what is still open, so that handles which outlive it free only memory. Gives their number.
  virtual size_t DetachAll() = 0;
  virtual size_t live_descriptors() const = 0;

  // For a message about something that was used elsewhere: see OwnerThread.
  std::string DescribeThreads() const;

  const BackendCounters& counters() const { return counters_; }
  BackendCounters& counters() { return counters_; }

 protected:
  Backend() = default;
  Loop& loop() const { return *loop_; }
  static void DetachBlock(Descriptor& descriptor) {
    descriptor.backend_ = nullptr;
    descriptor.fd_ = -1;
  }

 private:
  Loop* loop_ = nullptr;
  internal::IntrusiveList<DescriptorWaiter> descriptor_waiters_;
  BackendCounters counters_;
};

// Owns a Descriptor: retires it when dropped. What TcpStream and TcpListener hold.
class DescriptorHandle {
 public:
  DescriptorHandle() = default;
  explicit DescriptorHandle(Descriptor* descriptor) : descriptor_(descriptor) {}
  DescriptorHandle(DescriptorHandle&& other) noexcept : descriptor_(other.Take()) {}
  DescriptorHandle& operator=(DescriptorHandle&& other) noexcept {
    if (this != &other) {
      Close();
      descriptor_ = other.Take();
    }
    return *this;
  }
  ~DescriptorHandle() { Close(); }

  // On its home loop; after the loop's end, anywhere.
  void Close(bool reset = false) noexcept;

  explicit operator bool() const { return descriptor_ != nullptr; }
  Descriptor& operator*() const { return *descriptor_; }
  Descriptor* operator->() const { return descriptor_; }
  Descriptor* get() const { return descriptor_; }
  Descriptor* Take() {
    Descriptor* descriptor = descriptor_;
    descriptor_ = nullptr;
    return descriptor;
  }

 private:
  Descriptor* descriptor_ = nullptr;
};

}  // namespace gyre

#endif  // GYRE_RUNTIME_BACKEND_H_
