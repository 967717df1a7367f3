// The lock-likes of sync/ behind one face, in both forms, so that one suite and one random walk run on all of them.
//
// A `Like` says what the thing is, how a task takes it, and how a task takes all of it, which keeps out everybody else: the
// same, but for readers. And for the walk: how it takes some, `units` of `kUnits` together, which a reader-writer lock reads as
// "one reader" or "all of them: a writer"; and what else it can do with some of that, where `random` decides with how many units.
#ifndef GYRE_TESTS_SYNC_LOCK_LIKES_H_
#define GYRE_TESTS_SYNC_LOCK_LIKES_H_

#include <cstddef>
#include <optional>
#include <utility>
#include <variant>

#include "gtest/gtest.h"
#include "gyre/runtime/task.h"
#include "gyre/sync/capacity_limiter.h"
#include "gyre/sync/internal/form.h"
#include "gyre/sync/mutex.h"
#include "gyre/sync/rw_lock.h"
#include "gyre/sync/semaphore.h"

namespace gyre::testing {

template <class Form>
struct SemaphoreLike {
  using Hold = BasicPermit<Form>;
  class Object : public BasicSemaphore<Form> {
   public:
    explicit Object(size_t units = 1) : BasicSemaphore<Form>(units) {}
  };
  static constexpr size_t kUnits = 3;
  static size_t Ask(size_t random) { return random % (kUnits + 1); }

  static auto Take(Object& object) { return object.Acquire(); }
  static std::optional<Hold> TryTake(Object& object) { return object.TryAcquire(); }
  static auto TakeAll(Object& object) { return Take(object); }
  static std::optional<Hold> TryTakeAll(Object& object) { return TryTake(object); }
  static void GiveBack(Hold& hold) { hold.Release(); }
  static Task<Hold> TakeSome(Object& object, size_t units) { co_return co_await object.Acquire(units); }
  static std::optional<Hold> TryTakeSome(Object& object, size_t units) { return object.TryAcquire(units); }
  static size_t GiveBackSome(Hold& hold, size_t random) { return SplitOff(hold, random).units(); }
  static size_t HandOnSome(Hold& from, size_t random, Hold& to) {
    Hold some = SplitOff(from, random);
    const size_t units = some.units();
    to.Merge(std::move(some));
    return units;
  }
  static size_t ForgetSome(Hold& hold, size_t random) { return SplitOff(hold, random).Forget(); }

 private:
  static Hold SplitOff(Hold& hold, size_t random) { return hold.Split(random % (hold.units() + 1)); }
};

template <class Form>
struct MutexLike {
  using Hold = BasicMutexGuard<Form>;
  class Object : public BasicMutex<Form> {
   public:
    explicit Object(size_t = 1) {}
  };
  static constexpr size_t kUnits = 1;
  static size_t Ask(size_t) { return 1; }

  static auto Take(Object& object) { return object.Lock(); }
  static std::optional<Hold> TryTake(Object& object) { return object.TryLock(); }
  static auto TakeAll(Object& object) { return Take(object); }
  static std::optional<Hold> TryTakeAll(Object& object) { return TryTake(object); }
  static void GiveBack(Hold& hold) { hold.Unlock(); }
  static Task<Hold> TakeSome(Object& object, size_t) { co_return co_await object.Lock(); }
  static std::optional<Hold> TryTakeSome(Object& object, size_t) { return object.TryLock(); }
};

template <class Form>
struct RwLockLike {
  using Hold = typename BasicRwLock<Form>::WriteGuard;
  using AnyHold = std::variant<typename BasicRwLock<Form>::ReadGuard, typename BasicRwLock<Form>::WriteGuard>;
  class Object : public BasicRwLock<Form> {
   public:
    explicit Object(size_t = 1) {}
  };
  static constexpr size_t kUnits = 1000;  // more than there are tasks
  static size_t Ask(size_t random) { return random % 3 == 0 ? kUnits : 1; }

  static auto Take(Object& object) { return object.WriteLock(); }
  static std::optional<Hold> TryTake(Object& object) { return object.TryWriteLock(); }
  static auto TakeAll(Object& object) { return Take(object); }
  static std::optional<Hold> TryTakeAll(Object& object) { return TryTake(object); }
  static void GiveBack(Hold& hold) { hold.Unlock(); }
  static Task<AnyHold> TakeSome(Object& object, size_t units) {
    if (units == 1) co_return AnyHold(co_await object.ReadLock());
    co_return AnyHold(co_await object.WriteLock());
  }
  static std::optional<AnyHold> TryTakeSome(Object& object, size_t units) {
    if (units == 1) {
      auto reading = object.TryReadLock();
      return reading ? std::optional<AnyHold>(std::move(*reading)) : std::nullopt;
    }
    auto writing = object.TryWriteLock();
    return writing ? std::optional<AnyHold>(std::move(*writing)) : std::nullopt;
  }
  static size_t GiveBackSome(AnyHold& hold, size_t) {
    auto* const writing = std::get_if<typename BasicRwLock<Form>::WriteGuard>(&hold);
    if (writing == nullptr) return 0;
    hold = std::move(*writing).Downgrade();
    return kUnits - 1;
  }
};

// A reader-writer lock, taken by a reader: a writer takes all of it.
template <class Form>
struct ReadLockLike {
  using Hold = typename BasicRwLock<Form>::ReadGuard;
  using Object = BasicRwLock<Form>;

  static auto Take(Object& object) { return object.ReadLock(); }
  static std::optional<Hold> TryTake(Object& object) { return object.TryReadLock(); }
  static auto TakeAll(Object& object) { return object.WriteLock(); }
  static auto TryTakeAll(Object& object) { return object.TryWriteLock(); }
  static void GiveBack(auto& hold) { hold.Unlock(); }
};

template <class Form>
struct CapacityLimiterLike {
  using Hold = BasicLimiterToken<Form>;
  class Object : public BasicCapacityLimiter<Form> {
   public:
    explicit Object(size_t units = 1) : BasicCapacityLimiter<Form>(units) {}
  };
  static constexpr size_t kUnits = 3;
  static size_t Ask(size_t) { return 1; }

  static auto Take(Object& object) { return object.Acquire(); }
  static std::optional<Hold> TryTake(Object& object) { return object.TryAcquire(); }
  static auto TakeAll(Object& object) { return Take(object); }
  static std::optional<Hold> TryTakeAll(Object& object) { return TryTake(object); }
  static void GiveBack(Hold& hold) { hold.Release(); }
  static Task<Hold> TakeSome(Object& object, size_t) { co_return co_await object.Acquire(); }
  static std::optional<Hold> TryTakeSome(Object& object, size_t) { return object.TryAcquire(); }
};

using LockLikes =
    ::testing::Types<SemaphoreLike<gyre::internal::OneLoop>, SemaphoreLike<gyre::internal::ManyLoops>,
                     MutexLike<gyre::internal::OneLoop>, MutexLike<gyre::internal::ManyLoops>,
                     RwLockLike<gyre::internal::OneLoop>, RwLockLike<gyre::internal::ManyLoops>,
                     ReadLockLike<gyre::internal::OneLoop>, ReadLockLike<gyre::internal::ManyLoops>,
                     CapacityLimiterLike<gyre::internal::OneLoop>, CapacityLimiterLike<gyre::internal::ManyLoops>>;

}  // namespace gyre::testing

#endif  // GYRE_TESTS_SYNC_LOCK_LIKES_H_
