// Runs a program of scope_program.h on gyre, in a simulated world.
#ifndef GYRE_TESTS_SUPPORT_SCOPE_INTERPRETER_H_
#define GYRE_TESTS_SUPPORT_SCOPE_INTERPRETER_H_

#include <cstdint>

#include "gyre/runtime/sim/sim_options.h"
#include "gyre/tests/support/scope_program.h"

namespace gyre::testing {

// What the program saw, in order. What is left behind (a frame, a timer, a callback) is an event of node 0.
EventLog RunOnGyre(const Node& program, uint64_t seed, const SimOptions& options);

}  // namespace gyre::testing

#endif  // GYRE_TESTS_SUPPORT_SCOPE_INTERPRETER_H_
