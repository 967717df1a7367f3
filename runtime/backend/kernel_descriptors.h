// KernelDescriptors: the world in which the kernel's descriptors live: every backend's but the simulation's.
//
// Thread-safety: any thread.
#ifndef GYRE_RUNTIME_BACKEND_KERNEL_DESCRIPTORS_H_
#define GYRE_RUNTIME_BACKEND_KERNEL_DESCRIPTORS_H_

#include "gyre/runtime/bare_descriptor.h"

namespace gyre::internal {

DescriptorWorld& KernelDescriptors();

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_BACKEND_KERNEL_DESCRIPTORS_H_
