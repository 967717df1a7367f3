// The one door through which frames and buffers get memory from the system, so that tests can refuse it.
//
// Thread-safety: RawAllocate and RawFree any thread. SetAllocationHook while no loop runs.
// Errors:        std::bad_alloc when the system, or the hook, refuses.
#ifndef GYRE_RUNTIME_INTERNAL_ALLOCATION_H_
#define GYRE_RUNTIME_INTERNAL_ALLOCATION_H_

#include <cstddef>

namespace gyre::internal {

// Asked before each allocation; false makes it fail. While a hook is set, loops do not recycle frames, so that the
// hook sees every one of them.
using AllocationHook = bool (*)(size_t bytes);
void SetAllocationHook(AllocationHook hook);
bool HasAllocationHook();

void* RawAllocate(size_t bytes, size_t alignment);
void RawFree(void* address) noexcept;

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_ALLOCATION_H_
