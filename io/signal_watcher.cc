#include "gyre/io/signal_watcher.h"

// A signal handler may run on any thread at any moment: in the middle of a turn, of malloc, of a watcher's destructor.
// So it only follows pointers that never go away, and touches lock-free atomics, a loop's inbox and its eventfd.
//
// Each watcher has a slot. Slots form a list that only grows; a slot is reused but never freed, so the handler may walk
// the list without asking anybody. What a slot points to, the waiting leaf and its loop, does go away. Two rules keep
// the handler off it:
//  - Whoever takes the leaf out of `waiter` completes it, and nobody else: the handler by CompleteFromAnyThread, the
//    loop's thread by not suspending or by a stop. The frame can't end before its leaf is completed.
//  - Completing goes on for a moment after the loop has the leaf (it writes the eventfd), when the loop may be about to
//    end. So `users` counts the handlers inside a slot, and the leaf's destructor waits until they are out, as does
//    the slot's release. That wait is short, and can't be for this very thread: a handler that interrupted it has
//    returned before it goes on.
//
// Rejected: signalfd needs the signal blocked in every thread of a program that is not ours; a self-pipe read by one
// loop needs a second hop to the others, and a loop that outlives them; a thread in sigwait needs both.

#include <sched.h>

#include <atomic>
#include <bit>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "gyre/runtime/check.h"
#include "gyre/runtime/errors.h"
#include "gyre/runtime/leaf.h"

namespace gyre {
namespace internal {
namespace {

constexpr int kSignalMax = 64;

constexpr uint64_t Bit(int number) { return uint64_t{1} << (number - 1); }

}  // namespace

// Waits until a slot has a signal. It may wake for one that has been taken already: look again.
class [[nodiscard]] SignalArrival final : public Leaf {
 public:
  explicit SignalArrival(SignalSlot& slot);
  ~SignalArrival();

  template <class P>
  bool await_suspend(std::coroutine_handle<P> awaiting) {
    return Suspend(awaiting, [this] { return WaitUnlessPending(); });
  }
  void await_resume() const noexcept {}

  // From the handler, which has taken this leaf out of its slot.
  void OnSignal() { CompleteFromAnyThread(); }

 private:
  bool WaitUnlessPending();
  bool TakeBack();
  void OnStop() noexcept override {
    if (TakeBack()) CompleteStopped();  // or else the handler's completion is on its way
  }

  SignalSlot& slot_;
};

// One watcher's state.
//
// wanted    the signals that count here. Watch:release, Deliver:acquire: who sees a bit sees the slot as Watch left it.
// pending   signals that came and were not taken. Relaxed: `waiter` orders it, as follows.
// waiter    Deliver sets a bit of `pending` and then exchanges the waiter; WaitUnlessPending exchanges the waiter and
//           then reads `pending`. Both exchanges, and every other write, are acq_rel read-modify-writes of one word, so
//           one reads from the other (or from those behind it): either Deliver finds the leaf, or the waiting side sees
//           the bit. With the leaf, the bit travels through the inbox (release/acquire).
// users     handlers inside Deliver. Release clears `wanted` and then adds 0 to `users`: a Deliver behind that in the
//           word's order reads from it (acq_rel) and finds nothing wanted; one before it is counted, and waited for.
//           Its fetch_sub:release pairs with the waiting load:acquire. The leaf's destructor needs no such step: the
//           Deliver that took the leaf had added itself before it posted it.
// Exercised by tests/io/signal_watcher_test.cc.
class SignalSlot {
 public:
  // In the handler.
  void Deliver(uint64_t bit) {
    users_.fetch_add(1, std::memory_order_acq_rel);
    if ((wanted_.load(std::memory_order_acquire) & bit) != 0) {
      pending_.fetch_or(bit, std::memory_order_relaxed);
      SignalArrival* const leaf = waiter_.exchange(nullptr, std::memory_order_acq_rel);
      if (leaf != nullptr) leaf->OnSignal();
    }
    users_.fetch_sub(1, std::memory_order_release);
  }

  // The lowest signal that came; 0 if none did.
  int TakePending() {
    const uint64_t pending = pending_.load(std::memory_order_relaxed);
    if (pending == 0) return 0;
    const int number = std::countr_zero(pending) + 1;
    pending_.fetch_and(~Bit(number), std::memory_order_relaxed);
    return number;
  }
  bool HasPending() const { return pending_.load(std::memory_order_relaxed) != 0; }

  void SetWaiter(SignalArrival& leaf) { waiter_.exchange(&leaf, std::memory_order_acq_rel); }
  // False if the handler has taken it.
  bool TakeWaiterBack(SignalArrival& leaf) {
    SignalArrival* expected = &leaf;
    return waiter_.compare_exchange_strong(expected, nullptr, std::memory_order_acq_rel);
  }
  void WaitForHandlers() const {
    while (users_.load(std::memory_order_acquire) != 0) sched_yield();
  }

  uint64_t wanted() const { return wanted_.load(std::memory_order_relaxed); }
  bool is_free() const { return wanted() == 0; }
  void Acquire(uint64_t signals) { wanted_.store(signals, std::memory_order_release); }
  void Release() {
    wanted_.store(0, std::memory_order_relaxed);
    users_.fetch_add(0, std::memory_order_acq_rel);
    WaitForHandlers();
    pending_.store(0, std::memory_order_relaxed);
  }

  SignalSlot* next = nullptr;  // never changes once the slot is in the list
  bool has_next_call = false;  // a Next waits; its loop's thread only

 private:
  static_assert(std::atomic<uint64_t>::is_always_lock_free && std::atomic<SignalArrival*>::is_always_lock_free,
                "a signal handler may use lock-free atomics only");

  std::atomic<uint64_t> wanted_{0};
  std::atomic<uint64_t> pending_{0};
  std::atomic<SignalArrival*> waiter_{nullptr};
  std::atomic<uint32_t> users_{0};
};

SignalArrival::SignalArrival(SignalSlot& slot) : slot_(slot) {
  GYRE_CHECK(!slot.has_next_call, "SignalWatcher::Next was called while another Next of the same watcher waits");
  slot.has_next_call = true;
}

SignalArrival::~SignalArrival() {
  slot_.WaitForHandlers();
  slot_.has_next_call = false;
}

bool SignalArrival::WaitUnlessPending() {
  slot_.SetWaiter(*this);
  return slot_.HasPending() && TakeBack();
}

bool SignalArrival::TakeBack() { return slot_.TakeWaiterBack(*this); }

namespace {

struct InstalledSignal {
  int watchers = 0;
  struct sigaction before = {};  // while there are watchers
};

constinit std::mutex g_mutex;                       // for all but the handler
constinit InstalledSignal g_installed[kSignalMax + 1];  // guarded by g_mutex

// The list of slots. Push (under g_mutex):release publishes a slot's `next`; the handler's load:acquire sees it.
constinit std::atomic<SignalSlot*> g_slots{nullptr};

extern "C" void GyreOnSignal(int number) {
  const int error_before = errno;
  for (SignalSlot* slot = g_slots.load(std::memory_order_acquire); slot != nullptr; slot = slot->next) {
    slot->Deliver(Bit(number));
  }
  errno = error_before;
}

// 0 or an errno.
int AddWatcher(int number) {
  InstalledSignal& installed = g_installed[number];
  if (installed.watchers == 0) {
    struct sigaction ours = {};
    ours.sa_handler = &GyreOnSignal;
    ours.sa_flags = SA_RESTART | SA_ONSTACK;
    sigfillset(&ours.sa_mask);  // handlers don't pile up on one stack
    if (sigaction(number, &ours, &installed.before) != 0) return errno;
  }
  ++installed.watchers;
  return 0;
}

void RemoveWatcher(int number) {
  InstalledSignal& installed = g_installed[number];
  if (--installed.watchers > 0) return;
  struct sigaction current = {};
  sigaction(number, nullptr, &current);
  // Somebody who put a handler over ours keeps it.
  if (current.sa_handler == &GyreOnSignal) sigaction(number, &installed.before, nullptr);
}

void RemoveWatchers(uint64_t signals) {
  for (; signals != 0; signals &= signals - 1) RemoveWatcher(std::countr_zero(signals) + 1);
}

SignalSlot& FreeSlot() {
  for (SignalSlot* slot = g_slots.load(std::memory_order_relaxed); slot != nullptr; slot = slot->next) {
    if (slot->is_free()) return *slot;
  }
  auto* const slot = new SignalSlot;
  slot->next = g_slots.load(std::memory_order_relaxed);
  g_slots.store(slot, std::memory_order_release);
  return *slot;
}

bool CanBeWatched(int number) {
  if (number < 1 || number > kSignalMax) return false;
  // These come again and again if their handler returns: the instruction that failed is tried again.
  return number != SIGSEGV && number != SIGBUS && number != SIGFPE && number != SIGILL;
}

absl::StatusOr<SignalSlot*> AcquireSlot(std::span<const int> signals) {
  if (signals.empty()) return absl::InvalidArgumentError("a SignalWatcher needs at least one signal");
  uint64_t mask = 0;
  for (const int number : signals) {
    if (!CanBeWatched(number)) {
      return absl::InvalidArgumentError("signal " + std::to_string(number) + " can't be watched");
    }
    mask |= Bit(number);
  }
  const std::lock_guard lock(g_mutex);
  SignalSlot& slot = FreeSlot();
  slot.Acquire(mask);  // before the handler is there, so that none is missed
  uint64_t added = 0;
  for (uint64_t left = mask; left != 0; left &= left - 1) {
    const int number = std::countr_zero(left) + 1;
    if (const int error = AddWatcher(number); error != 0) {
      RemoveWatchers(added);
      slot.Release();
      return StatusFromErrno(error, "watch signal " + std::to_string(number));
    }
    added |= Bit(number);
  }
  return &slot;
}

void ReleaseSlot(SignalSlot& slot) {
  GYRE_CHECK(!slot.has_next_call, "a SignalWatcher was destroyed while its Next waits");
  const std::lock_guard lock(g_mutex);
  RemoveWatchers(slot.wanted());  // first, so that a signal finds either the watcher or what was there before
  slot.Release();
}

Task<int> NextSignal(SignalSlot& slot) {
  for (;;) {
    co_await SignalArrival(slot);
    const int number = slot.TakePending();
    if (number != 0) co_return number;
  }
}

}  // namespace
}  // namespace internal

absl::StatusOr<SignalWatcher> SignalWatcher::Watch(std::span<const int> signals) {
  absl::StatusOr<internal::SignalSlot*> slot = internal::AcquireSlot(signals);
  if (!slot.ok()) return slot.status();
  return SignalWatcher(**slot);
}

SignalWatcher::~SignalWatcher() {
  if (slot_ != nullptr) internal::ReleaseSlot(*slot_);
}

Task<int> SignalWatcher::Next() {
  GYRE_CHECK(slot_ != nullptr, "a SignalWatcher was used after it had been moved from");
  return internal::NextSignal(*slot_);
}

}  // namespace gyre
