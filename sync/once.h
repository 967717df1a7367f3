// Once, SharedOnce: of all that want something done, the first does it, and the others wait until it is done.
//
//   gyre::Once is_warm;
//   co_await is_warm.Run(WarmUp);                       // Task<> WarmUp(), or Task<absl::Status>
//
// Where the one that runs it fails (an exception, or a bad status, which are its own) or is stopped, the next that
// waits runs its callable, and so on, until one ends well.
//
// Thread-safety: Once: one loop. SharedOnce: any thread; who waits resumes on its own loop, and sees what was done.
// Lifetime:      outlives its runs; to destroy it before is a check failure. The callable is moved into the run.
//                A Shared form outlives the waits that it has ended, too, until they resume (checked with GYRE_DEBUG_CHECKS).
// Cancellation:  a stopped Run stops its callable, and the next takes over; one that waits leaves nothing behind.
// Errors:        those of the callable, to the one that ran it.
// Cost:          a frame; once done, no suspension.
#ifndef GYRE_SYNC_ONCE_H_
#define GYRE_SYNC_ONCE_H_

#include <concepts>
#include <functional>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "gyre/runtime/task.h"
#include "gyre/sync/internal/form.h"
#include "gyre/sync/internal/leadership.h"

namespace gyre {

template <class Form>
class BasicOnce {
 public:
  BasicOnce() = default;

  // `f()` gives a Task<> or a Task<absl::Status>, and so does this.
  template <class F>
    requires std::same_as<std::invoke_result_t<F&>, Task<>>
  Task<> Run(F f) {
    internal::Lead<Form> lead = co_await leadership_.Enter();
    if (!lead.is_leader()) co_return;
    co_await std::invoke(f);
    lead.Finish();
  }
  template <class F>
    requires std::same_as<std::invoke_result_t<F&>, Task<absl::Status>>
  Task<absl::Status> Run(F f) {
    internal::Lead<Form> lead = co_await leadership_.Enter();
    if (!lead.is_leader()) co_return absl::OkStatus();
    absl::Status status = co_await std::invoke(f);
    if (status.ok()) lead.Finish();
    co_return status;
  }

  bool is_done() const { return leadership_.is_done(); }

 private:
  internal::Leadership<Form> leadership_{"a Once"};
};

using Once = BasicOnce<internal::OneLoop>;
using SharedOnce = BasicOnce<internal::ManyLoops>;

}  // namespace gyre

#endif  // GYRE_SYNC_ONCE_H_
