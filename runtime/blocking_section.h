// BlockingSection: says that this code is about to wait for something other than the processor.
//
//   gyre::Offload([&] {
//     Digest digest = Hash(data);
//     gyre::BlockingSection section;                  // meanwhile another thread takes this one's place in the pool
//     reply.wait();
//   });
//
// On a thread of a CpuPool, another thread runs jobs in its stead until the section ends; anywhere else it does
// nothing. BlockOn has one inside, so a job may call back into a loop that offloads in turn, even where the pool has
// one thread.
//
// Thread-safety: on the stack of one thread.
// Cost:          elsewhere a load; in a pool's job a lock, and now and then a new thread.
#ifndef GYRE_RUNTIME_BLOCKING_SECTION_H_
#define GYRE_RUNTIME_BLOCKING_SECTION_H_

#include <utility>

namespace gyre {
namespace internal {

// What hears of blocking sections on a thread.
class BlockingHost {
 public:
  virtual void OnBlock() noexcept = 0;
  virtual void OnUnblock() noexcept = 0;

 protected:
  ~BlockingHost() = default;
};

inline constinit thread_local BlockingHost* tls_blocking_host = nullptr;

// Makes `host` the thread's for a while.
class ScopedBlockingHost {
 public:
  explicit ScopedBlockingHost(BlockingHost* host) : before_(std::exchange(tls_blocking_host, host)) {}
  ScopedBlockingHost(const ScopedBlockingHost&) = delete;
  ScopedBlockingHost& operator=(const ScopedBlockingHost&) = delete;
  ~ScopedBlockingHost() { tls_blocking_host = before_; }

 private:
  BlockingHost* const before_;
};

}  // namespace internal

class [[nodiscard]] BlockingSection {
 public:
  // Inside another section it has no effect.
  BlockingSection() : host_(std::exchange(internal::tls_blocking_host, nullptr)) {
    if (host_ != nullptr) host_->OnBlock();
  }
  BlockingSection(const BlockingSection&) = delete;
  BlockingSection& operator=(const BlockingSection&) = delete;
  ~BlockingSection() {
    if (host_ == nullptr) return;
    host_->OnUnblock();
    internal::tls_blocking_host = host_;
  }

 private:
  internal::BlockingHost* const host_;
};

}  // namespace gyre

#endif  // GYRE_RUNTIME_BLOCKING_SECTION_H_
