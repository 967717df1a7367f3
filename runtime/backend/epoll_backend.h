// EpollBackend: the backend for every Linux: tries each call at once, and asks epoll only about what would block.
//
// Thread-safety: the loop's thread only, but for Wake.
// Lifetime:      state blocks are kept and reused until the loop ends, so that an event that comes too late finds a
//                newer generation instead of freed memory.
// Errors:        as Backend says; Create: the errno of epoll_create1, eventfd or epoll_ctl, and nothing stays open.
// Cost:          a message costs a recv, a send and a share of one epoll wait. A connection costs one epoll_ctl, and
//                none if it never had to wait.
#ifndef GYRE_RUNTIME_BACKEND_EPOLL_BACKEND_H_
#define GYRE_RUNTIME_BACKEND_EPOLL_BACKEND_H_

#include <sys/epoll.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "gyre/runtime/backend.h"
#include "gyre/runtime/backend/sys_table.h"

namespace gyre {

class EpollBackend final : public Backend {
 public:
  static absl::StatusOr<std::unique_ptr<EpollBackend>> Create();
  ~EpollBackend() override;

  std::string_view name() const override { return "epoll"; }
  TimePoint ReadClock() override;

  bool Submit(Op& op) override;
  void Cancel(Op& op) override;
  bool Perform(Op& op) override;
  void Turn(TimePoint until) override;
  void Wake() noexcept override;
  void AwaitWakes(uint64_t count) override;
  int OpenPollable() override;
  void SetAlarm(TimePoint when) override;

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
  DescriptorWorld& world() override;
  int AcceptNow(Descriptor& listener, Descriptor** accepted) override;
  bool ShedOne(Descriptor& listener) override;
  size_t DetachAll() override;
  size_t live_descriptors() const override { return live_count_; }

 private:
  class Block;

  static constexpr int kEventsMax = 512;

  EpollBackend(int epoll_fd, int wake_fd) : epoll_fd_(epoll_fd), wake_fd_(wake_fd) {}

  // Makes the call and counts it.
  template <class F, class... Args>
  auto Call(F* internal::SysTable::* call, Args... args) {
    counters().syscalls.Add(1);
    return (internal::Sys().*call)(args...);
  }
  // The same, giving -errno instead of -1.
  template <class F, class... Args>
  int CallForResult(F* internal::SysTable::* call, Args... args);

  // What an adopted connection had received before.
  struct Unread {
    std::vector<std::byte> bytes;
    size_t taken = 0;
  };

  // --- state blocks
  int NewBlock(int fd, Block** block);
  void FreeBlock(Block& block);
  void CloseFd(int fd, bool reset);

  // --- operations. True: finished, the result is in the op. False: it waits. A reader is tried only if may_read.
  bool Try(Op& op, Block& block);
  bool TryAccept(Op& op, Block& block);
  int AcceptOne(Block& listener, Descriptor** accepted);
  bool TryConnect(Op& op, Block& block);
  bool FinishConnect(Op& op, Block& block);
  bool TryReceive(Op& op, Block& block);
  bool TryReceiveBuffer(Op& op, Block& block);
  bool TrySend(Op& op, Block& block);
  int64_t Receive(Block& block, void* into, size_t size);
  int64_t TakeUnread(Block& block, void* into, size_t size);
  inline ssize_t SendFirst(const Op& op, const Block& block, size_t* asked);
  bool SentSome(Op& op, Block& block, ssize_t result, size_t asked);
  ssize_t SendSeveral(const Op& op, const Block& block, size_t* asked);
  bool Wait(Op& op, Block& block);
  bool RegisterAndWait(Op& op, Block& block);
  int Register(Block& block);
  bool Fail(Op& op, Block& block, int error);
  static void EndWaiting(Op*& slot);

  // --- events
  int WaitForEvents(TimePoint until);
  int WaitMilliseconds(int64_t wait_ns);
  inline void Deliver(const epoll_event& event);

  const int epoll_fd_;
  const int wake_fd_;
  int reserve_fd_ = -1;  // see ShedOne
  int alarm_fd_ = -1;    // a timerfd, once OpenPollable was called
  bool has_pwait2_ = true;
  size_t live_count_ = 0;
  std::vector<Block*> blocks_;  // by index; each keeps its place for good
  std::vector<uint32_t> free_;  // indices of those without a descriptor; has room for all
  std::unordered_map<uint32_t, Unread> unread_;  // by index of the block, which says so: has_unread
  std::array<epoll_event, kEventsMax> events_;
};

}  // namespace gyre

#endif  // GYRE_RUNTIME_BACKEND_EPOLL_BACKEND_H_
