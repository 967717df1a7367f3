// LoopRoot: the top of a tree of strands, where a loop can find it: for reports.
//
// Thread-safety: the loop's thread only.
#ifndef GYRE_RUNTIME_INTERNAL_LOOP_ROOT_H_
#define GYRE_RUNTIME_INTERNAL_LOOP_ROOT_H_

#include "gyre/runtime/internal/intrusive_list.h"

namespace gyre::internal {

class ScopeCore;

class LoopRoot : public ListHook<LoopRoot> {
 public:
  LoopRoot(IntrusiveList<LoopRoot>& roots, ScopeCore& top) : top_(top) { roots.PushBack(*this); }
  ~LoopRoot() { IntrusiveList<LoopRoot>::Remove(*this); }
  LoopRoot(const LoopRoot&) = delete;
  LoopRoot& operator=(const LoopRoot&) = delete;

  ScopeCore& top() const { return top_; }

 private:
  ScopeCore& top_;
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_LOOP_ROOT_H_
