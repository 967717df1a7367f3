// RefusedMemory: while one lives, operator new fails on the thread that made it, with std::bad_alloc or null.
//
//   const RefusedMemory refused;
//   task.RequestStop("a text that is too long to be kept in place");
//
// For short stretches of gyre's own code that must do without memory; AllocationHook is for frames and buffers, over whole
// programs. A test that includes this has its operators new and delete from here.
//
// Thread-safety: of one thread. They may be nested.
#ifndef GYRE_TESTS_SUPPORT_REFUSED_MEMORY_H_
#define GYRE_TESTS_SUPPORT_REFUSED_MEMORY_H_

#include <cstdint>

namespace gyre::testing {

class RefusedMemory {
 public:
  RefusedMemory();
  RefusedMemory(const RefusedMemory&) = delete;
  RefusedMemory& operator=(const RefusedMemory&) = delete;
  ~RefusedMemory();

  // By this thread, so far.
  static uint64_t refusals();
};

}  // namespace gyre::testing

#endif  // GYRE_TESTS_SUPPORT_REFUSED_MEMORY_H_
