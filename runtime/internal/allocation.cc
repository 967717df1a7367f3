#include "gyre/runtime/internal/allocation.h"

#include <cstdlib>
#include <new>

namespace gyre::internal {
namespace {

constinit AllocationHook g_hook = nullptr;  // written only while no loop runs

}  // namespace

void SetAllocationHook(AllocationHook hook) { g_hook = hook; }

bool HasAllocationHook() { return g_hook != nullptr; }

void* RawAllocate(size_t bytes, size_t alignment) {
  if (g_hook != nullptr && !g_hook(bytes)) throw std::bad_alloc();
  void* address = nullptr;
  if (posix_memalign(&address, alignment, bytes) != 0) throw std::bad_alloc();
  return address;
}

void RawFree(void* address) noexcept { std::free(address); }

}  // namespace gyre::internal
