// Every form of the operators is here: a sanitizer that kept one of its own would miss that a block of ours goes to ours.
#include "gyre/tests/support/refused_memory.h"

#include <cstddef>
#include <cstdlib>
#include <new>

namespace gyre::testing {
namespace {

constinit thread_local int tls_refused = 0;
constinit thread_local uint64_t tls_refusals = 0;

void* AllocateOrNull(size_t bytes, size_t alignment) noexcept {
  if (tls_refused > 0) {
    ++tls_refusals;
    return nullptr;
  }
  void* address = nullptr;
  return posix_memalign(&address, alignment, bytes != 0 ? bytes : 1) == 0 ? address : nullptr;
}

void* Allocate(size_t bytes, size_t alignment) {
  void* const address = AllocateOrNull(bytes, alignment);
  if (address == nullptr) throw std::bad_alloc();
  return address;
}

constexpr size_t kAlignment = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

}  // namespace

RefusedMemory::RefusedMemory() { ++tls_refused; }
RefusedMemory::~RefusedMemory() { --tls_refused; }
uint64_t RefusedMemory::refusals() { return tls_refusals; }

}  // namespace gyre::testing

using gyre::testing::Allocate;
using gyre::testing::AllocateOrNull;
using gyre::testing::kAlignment;

void* operator new(size_t bytes) { return Allocate(bytes, kAlignment); }
void* operator new[](size_t bytes) { return Allocate(bytes, kAlignment); }
void* operator new(size_t bytes, std::align_val_t alignment) { return Allocate(bytes, static_cast<size_t>(alignment)); }
void* operator new[](size_t bytes, std::align_val_t alignment) {
  return Allocate(bytes, static_cast<size_t>(alignment));
}
void* operator new(size_t bytes, const std::nothrow_t&) noexcept { return AllocateOrNull(bytes, kAlignment); }
void* operator new[](size_t bytes, const std::nothrow_t&) noexcept { return AllocateOrNull(bytes, kAlignment); }
void* operator new(size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return AllocateOrNull(bytes, static_cast<size_t>(alignment));
}
void* operator new[](size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return AllocateOrNull(bytes, static_cast<size_t>(alignment));
}

void operator delete(void* address) noexcept { std::free(address); }
void operator delete[](void* address) noexcept { std::free(address); }
void operator delete(void* address, size_t) noexcept { std::free(address); }
void operator delete[](void* address, size_t) noexcept { std::free(address); }
void operator delete(void* address, std::align_val_t) noexcept { std::free(address); }
void operator delete[](void* address, std::align_val_t) noexcept { std::free(address); }
void operator delete(void* address, size_t, std::align_val_t) noexcept { std::free(address); }
void operator delete[](void* address, size_t, std::align_val_t) noexcept { std::free(address); }
void operator delete(void* address, const std::nothrow_t&) noexcept { std::free(address); }
void operator delete[](void* address, const std::nothrow_t&) noexcept { std::free(address); }
void operator delete(void* address, std::align_val_t, const std::nothrow_t&) noexcept { std::free(address); }
void operator delete[](void* address, std::align_val_t, const std::nothrow_t&) noexcept { std::free(address); }
