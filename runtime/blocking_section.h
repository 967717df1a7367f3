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

}  // namespace internal

class [[nodiscard]] BlockingSection {
 public:
  BlockingSection() : host_(internal::tls_blocking_host) {
    if (host_ != nullptr) host_->OnBlock();
  }
  BlockingSection(const BlockingSection&) = delete;
  BlockingSection& operator=(const BlockingSection&) = delete;
  ~BlockingSection() {
    if (host_ != nullptr) host_->OnUnblock();
  }

 private:
  internal::BlockingHost* const host_;
};

}  // namespace gyre

#endif  // GYRE_RUNTIME_BLOCKING_SECTION_H_
