#include "gyre/runtime/internal/message.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

namespace gyre::internal {
namespace {

constexpr size_t kSlabBytes = 16 * 1024;  // and its alignment
constexpr size_t kHeaderBytes = 64;       // a line of its own: the thread that cuts does not write to it
constexpr int64_t kStillCut = int64_t{1} << 40;

// Empty slabs to begin with next. Which slot one is in does not matter.
// exchange:acq_rel  hands a slab, and what the threads before wrote to it, from the one that emptied it to the next.
// load:relaxed      only asks whether the exchange is worth it.
constinit std::array<std::atomic<MessageSlab*>, 16> spare_slabs{};

constinit std::atomic<int64_t> slabs_in_use{0};  // relaxed: a number for tests

}  // namespace

struct MessageSlab {
  // Messages not yet deleted; while a thread still cuts from it, kStillCut less those it has cut, more.
  // fetch_sub:acq_rel  the one that comes to zero sees that all others are done with their messages.
  std::atomic<int64_t> live{kStillCut};
};
static_assert(sizeof(MessageSlab) <= kHeaderBytes);

namespace {

MessageSlab* TakeSlab() {
  for (auto& spare : spare_slabs) {
    if (spare.load(std::memory_order_relaxed) == nullptr) continue;
    MessageSlab* const slab = spare.exchange(nullptr, std::memory_order_acq_rel);
    if (slab == nullptr) continue;
    slab->live.store(kStillCut, std::memory_order_relaxed);
    return slab;
  }
  return new (::operator new(kSlabBytes, std::align_val_t(kSlabBytes))) MessageSlab;
}

void PutSlab(MessageSlab* slab) {
  slabs_in_use.fetch_sub(1, std::memory_order_relaxed);
  for (auto& spare : spare_slabs) {
    if (spare.load(std::memory_order_relaxed) != nullptr) continue;
    slab = spare.exchange(slab, std::memory_order_acq_rel);
    if (slab == nullptr) return;
  }
  ::operator delete(slab, kSlabBytes, std::align_val_t(kSlabBytes));
}

void CountOffSlab(MessageSlab& slab, int64_t count) {
  if (slab.live.fetch_sub(count, std::memory_order_acq_rel) == count) PutSlab(&slab);
}

// The thread cuts no more from its slab.
void Retire(MessageCutter& cutter) {
  if (cutter.slab != nullptr) CountOffSlab(*cutter.slab, kStillCut - cutter.cut);
  cutter = MessageCutter();
}

// At the end of the thread. Destructors of other thread-locals may make messages even later: each of those has a slab of its own.
class RetireAtExit {
 public:
  void Arm() { is_armed_ = true; }
  ~RetireAtExit() {
    Retire(tls_message_cutter);
    is_over = true;
  }
  static inline constinit thread_local bool is_over = false;

 private:
  bool is_armed_ = false;
};
thread_local RetireAtExit tls_retire_at_exit;

}  // namespace

int64_t Message::SlabsInUse() { return slabs_in_use.load(std::memory_order_relaxed); }

void* Message::CutFromNewSlab(size_t bytes) {
  if (!RetireAtExit::is_over) tls_retire_at_exit.Arm();
  MessageSlab* const slab = TakeSlab();
  slabs_in_use.fetch_add(1, std::memory_order_relaxed);
  MessageCutter& cutter = tls_message_cutter;
  Retire(cutter);
  char* const begin = reinterpret_cast<char*>(slab) + kHeaderBytes;
  cutter.slab = slab;
  cutter.next = begin + bytes;
  cutter.end = begin + (kSlabBytes - kHeaderBytes);
  cutter.cut = 1;
  if (RetireAtExit::is_over) Retire(cutter);
  return begin;
}

void Message::CountOff(void* message) noexcept {
  const uintptr_t slab = reinterpret_cast<uintptr_t>(message) & ~uintptr_t{kSlabBytes - 1};
  CountOffSlab(*reinterpret_cast<MessageSlab*>(slab), 1);
}

}  // namespace gyre::internal
