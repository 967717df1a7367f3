// must fail: a Task's result must not be over-aligned: return it through a std::unique_ptr
#include "gyre/runtime/task.h"

struct alignas(64) Line {};

gyre::Task<Line> Caller() { co_return Line(); }
