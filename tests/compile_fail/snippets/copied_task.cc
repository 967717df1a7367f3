// must fail on clang: call to implicitly-deleted copy constructor of 'gyre::Task<int>'
// must fail on gcc: use of deleted function 'constexpr gyre::Task<int>::Task(const gyre::Task<int>&)'
#include "gyre/runtime/task.h"

gyre::Task<int> Copy(const gyre::Task<int>& task) { return task; }
