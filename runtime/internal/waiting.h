// What waits on a loop, and for what, in words: for reports that a program can't go on.
//
// Thread-safety: the loop's thread, or while it stands still.
// Errors:        std::bad_alloc.
#ifndef GYRE_RUNTIME_INTERNAL_WAITING_H_
#define GYRE_RUNTIME_INTERNAL_WAITING_H_

#include <string>

namespace gyre {

class Leaf;

namespace internal {

struct LoopCore;
class PromiseBase;
class TaskCore;

// "task 3 \"writer\"".
std::string DescribeTask(const TaskCore& task);

// " at FILE:LINE, awaited at FILE:LINE": where a suspended frame is, and those that wait for it.
std::string DescribeStack(const PromiseBase& innermost);

// "task 3 \"writer\" waits at FILE:LINE, awaited at FILE:LINE, for a Mutex".
std::string DescribeLeaf(const Leaf& leaf);

// A line for each, the first 20, each after "\n  ".
std::string DescribeWaiting(LoopCore& loop);

}  // namespace internal
}  // namespace gyre

#endif  // GYRE_RUNTIME_INTERNAL_WAITING_H_
