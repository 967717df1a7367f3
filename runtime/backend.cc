#include "gyre/runtime/backend.h"

#include <cerrno>
#include <new>

namespace gyre {

int Backend::ReleaseBare(Descriptor& descriptor, std::span<const std::byte> unread, BareDescriptor* released) {
  BareDescriptor bare;
  try {
    bare.unread_.assign(unread.begin(), unread.end());
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  }
  bare.world_ = &world();
  bare.is_send_broken_ = descriptor.is_send_broken;
  const int fd = Release(descriptor, bare.unread_);
  if (fd < 0) return fd;
  bare.fd_ = fd;
  *released = std::move(bare);
  return 0;
}

int Backend::AdoptBare(BareDescriptor& bare, Descriptor** adopted) {
  if (!bare || bare.world_ != &world()) return -EBADF;
  Descriptor* descriptor = nullptr;
  if (const int result = Adopt(bare.fd_, &descriptor); result < 0) return result;
  if (!bare.unread_.empty()) {
    if (const int result = PutBack(*descriptor, bare.unread_); result < 0) {
      std::vector<std::byte> nothing;
      Release(*descriptor, nothing);  // `bare` still has it, and the bytes
      return result;
    }
  }
  descriptor->is_send_broken = bare.is_send_broken_;
  bare.fd_ = -1;
  bare.unread_.clear();
  *adopted = descriptor;
  return 0;
}

}  // namespace gyre
