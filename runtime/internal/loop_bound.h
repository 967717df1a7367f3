// LoopBound: what must be destroyed on its loop, at the latest when that ends.
//
// Thread-safety: the loop's thread.
#ifndef GYRE_RUNTIME_INTERNAL_LOOP_BOUND_H_
#define GYRE_RUNTIME_INTERNAL_LOOP_BOUND_H_

#include "gyre/runtime/internal/intrusive_list.h"

namespace gyre::internal {

class LoopBound : public ListHook<LoopBound> {
 public:
  // It has left the loop's list. It may put others there.
  virtual void OnLoopEnd() noexcept = 0;

 protected:
  LoopBound() = default;
  ~LoopBound() = default;
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_LOOP_BOUND_H_
