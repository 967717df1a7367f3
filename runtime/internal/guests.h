// Guests: what other threads have sent to run on a loop, and the end of the loop, which waits for it.
//
// Thread-safety: the loop's thread only.
// Lifetime:      a member of the loop.
// Cancellation:  when the loop's root has ended, its guests are stopped; a loop ends when the last of them has.
#ifndef GYRE_RUNTIME_INTERNAL_GUESTS_H_
#define GYRE_RUNTIME_INTERNAL_GUESTS_H_

#include <cstddef>
#include <optional>

#include "gyre/runtime/check.h"
#include "gyre/runtime/internal/scope_core.h"
#include "gyre/runtime/stop_reason.h"

namespace gyre::internal {

class Guests {
 public:
  // Where one guest's first frame runs: it has context values of its own.
  class Strand : public ScopeCore {
   public:
    explicit Strand(ScopeCore& group) : ScopeCore(group, Kind::kRoot) {}
  };

  explicit Guests(LoopCore& loop) : loop_(loop) {}

  // False: the loop is about to end, and takes no more. Otherwise the guest's strand belongs below `group`, and Leave
  // follows when that is gone.
  bool Enter() {
    if (is_done_ != nullptr) return false;
    if (!group_.has_value()) group_.emplace(loop_);
    ++live_;
    return true;
  }
  ScopeCore& group() { return *group_; }
  void Leave() noexcept {
    GYRE_DCHECK(live_ > 0, "internal: more guests left a loop than had come");
    if (--live_ == 0 && is_done_ != nullptr) SetDone();
  }

  // The root has ended: sets `is_done` when the last guest has left.
  void Close(bool& is_done) noexcept {
    is_done_ = &is_done;
    if (live_ == 0) return SetDone();
    group_->RequestStop(StopReason::Static("the loop ends"));
  }

 private:
  class Group : public ScopeCore {
   public:
    explicit Group(LoopCore& loop) : ScopeCore(loop, Kind::kPlain), root_(loop.roots, *this) {}

   private:
    LoopRoot root_;
  };

  void SetDone() noexcept {
    group_.reset();
    *is_done_ = true;
  }

  LoopCore& loop_;
  std::optional<Group> group_;  // a root of its own: stops of the loop's tasks don't reach guests
  size_t live_ = 0;
  bool* is_done_ = nullptr;     // once closed
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_GUESTS_H_
