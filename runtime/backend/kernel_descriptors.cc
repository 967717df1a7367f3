#include "gyre/runtime/backend/kernel_descriptors.h"

#include "gyre/runtime/backend/sys_table.h"

namespace gyre::internal {
namespace {

class Kernel final : public DescriptorWorld {
 public:
  void CloseBare(int fd) noexcept override { Sys().close(fd); }
};

constinit Kernel g_kernel;

}  // namespace

DescriptorWorld& KernelDescriptors() { return g_kernel; }

}  // namespace gyre::internal
