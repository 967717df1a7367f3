// Holder, Holding and Holdings: who has what a primitive gave out, for reports. A Holder knows where it was asked for, and with
// GYRE_DEBUG_CHECKS by which task. Of what there can be several, as permits, all that are out are known with GYRE_DEBUG_CHECKS:
// each is a Holding in the primitive's Holdings; without, both are empty.
//
// Thread-safety: none; a Holding's list is touched inside a Section only.
// Cost:          a Holder: 8 bytes, 24 with GYRE_DEBUG_CHECKS.
#ifndef GYRE_SYNC_INTERNAL_HOLDER_H_
#define GYRE_SYNC_INTERNAL_HOLDER_H_

#include <cstddef>
#include <cstdint>
#include <source_location>
#include <string>

#include "gyre/runtime/current_task.h"
#include "gyre/runtime/loop.h"

namespace gyre::internal {

#ifdef GYRE_DEBUG_CHECKS
inline constexpr bool kHolderTaskIsKnown = true;
#else
inline constexpr bool kHolderTaskIsKnown = false;
#endif

template <bool kIsKnown = kHolderTaskIsKnown>
class HolderTask {
 public:
  static HolderTask Current() { return HolderTask(); }
  std::string ToString() const { return std::string(); }
};

template <>
class HolderTask<true> {
 public:
  static HolderTask Current() {
    HolderTask task;
    task.id_ = CurrentTaskId();
    if (const Loop* loop = Loop::TryCurrent()) task.loop_ = loop->number();
    return task;
  }
  std::string ToString() const;

 private:
  uint64_t id_ = 0;
  static constexpr size_t kNoLoop = ~size_t{0};
  size_t loop_ = kNoLoop;
};

class Holder {
 public:
  Holder() = default;
  // The task that runs now.
  explicit Holder(std::source_location where) : where_(where), task_(HolderTask<>::Current()) {}

  const std::source_location& where() const { return where_; }
  // "by task 3 of loop 0, since FILE:LINE (FUNCTION)"
  std::string ToString() const;

 private:
  std::source_location where_;
  [[no_unique_address]] HolderTask<> task_;
};

// What was given out: whatever the user holds derives from it.
template <bool kIsKnown = kHolderTaskIsKnown>
class Holding {
 public:
  Holder holder() const { return Holder(); }
};

// All that is given out of one primitive.
template <bool kIsKnown = kHolderTaskIsKnown>
class Holdings {
 public:
  void Add(Holding<kIsKnown>&, const Holder&) {}
  void Remove(Holding<kIsKnown>&) {}
  // `to` has moved from `from`, which may be in no list.
  void Move(Holding<kIsKnown>&, Holding<kIsKnown>&) {}
  std::string ToString() const { return std::string(); }
};

template <>
class Holding<true> {
 public:
  const Holder& holder() const { return holder_; }

 private:
  friend Holdings<true>;
  Holding* previous_ = nullptr;
  Holding* next_ = nullptr;
  Holder holder_;
};

template <>
class Holdings<true> {
 public:
  void Add(Holding<true>& holding, const Holder& holder);
  void Remove(Holding<true>& holding);
  void Move(Holding<true>& from, Holding<true>& to);
  // "held HOLDER and HOLDER": the first few. Empty if nobody holds any.
  std::string ToString() const;

 private:
  Holding<true>* first_ = nullptr;
};

}  // namespace gyre::internal

#endif  // GYRE_SYNC_INTERNAL_HOLDER_H_
