// BareDescriptor: an open connection that belongs to no loop: what Release gives and Adopt takes.
//
// Thread-safety: a value: any thread may carry it, and drop it. One from a simulation stays on its thread.
// Lifetime:      closes the descriptor when dropped or assigned to, unless it was adopted or taken before that. A
//                simulated world outlives its descriptors.
// Cost:          a few words, and memory for the unread bytes if there are any.
#ifndef GYRE_RUNTIME_BARE_DESCRIPTOR_H_
#define GYRE_RUNTIME_BARE_DESCRIPTOR_H_

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace gyre {

class Backend;

// Where descriptors live without a loop: the kernel, or a simulated world.
class DescriptorWorld {
 public:
  virtual void CloseBare(int fd) noexcept = 0;

 protected:
  ~DescriptorWorld() = default;
};

class [[nodiscard]] BareDescriptor {
 public:
  // Holds nothing.
  BareDescriptor() = default;
  BareDescriptor(BareDescriptor&& other) noexcept { Swap(other); }
  BareDescriptor& operator=(BareDescriptor&& other) noexcept {
    BareDescriptor taken(std::move(other));
    Swap(taken);
    return *this;
  }
  ~BareDescriptor() {
    if (fd_ >= 0) world_->CloseBare(fd_);
  }

  explicit operator bool() const { return fd_ >= 0; }
  // -1 if it holds nothing.
  int fd() const { return fd_; }
  // What was received and not used: the adopter receives it first.
  std::span<const std::byte> unread() const { return unread_; }

  // Gives up the descriptor: the caller closes it. The unread bytes are not in it any more; unread() goes on showing
  // them.
  int TakeFd() { return std::exchange(fd_, -1); }

 private:
  friend class Backend;

  void Swap(BareDescriptor& other) noexcept {
    std::swap(world_, other.world_);
    std::swap(fd_, other.fd_);
    std::swap(is_send_broken_, other.is_send_broken_);
    unread_.swap(other.unread_);
  }

  DescriptorWorld* world_ = nullptr;
  int fd_ = -1;
  bool is_send_broken_ = false;  // see Descriptor
  std::vector<std::byte> unread_;
};

}  // namespace gyre

#endif  // GYRE_RUNTIME_BARE_DESCRIPTOR_H_
