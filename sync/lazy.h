// Lazy<T>, SharedLazy<T>: a value that is made when it is first asked for, once.
//
//   gyre::Lazy<Config> config(ReadConfig);              // Task<Config> ReadConfig()
//   const Config& now = co_await config.Get();
//
// Where the one that makes it fails or is stopped, the next that waits makes it anew, and so on, until there is a
// value.
//
// Thread-safety: Lazy: one loop. SharedLazy: any thread; who waits resumes on its own loop. The value itself is shared:
//                it is not guarded, and a task that uses it on another loop had better not change it.
// Lifetime:      outlives its Gets; to destroy it before is a check failure. The value lives as long as it.
//                A Shared form outlives the waits that it has ended, too, until they resume; that is not checked.
// Cancellation:  a stopped Get stops what makes the value, and the next takes over; one that waits leaves nothing
//                behind.
// Errors:        an exception of the factory, to the one that ran it.
// Cost:          a frame for each Get; TryGet takes none.
#ifndef GYRE_SYNC_LAZY_H_
#define GYRE_SYNC_LAZY_H_

#include <functional>
#include <optional>
#include <utility>

#include "gyre/runtime/task.h"
#include "gyre/sync/internal/form.h"
#include "gyre/sync/internal/leadership.h"

namespace gyre {

template <class T, class Form>
class BasicLazy {
 public:
  // Called on the loop of whoever needs the value first.
  explicit BasicLazy(std::function<Task<T>()> factory) : factory_(std::move(factory)) {}

  Task<T&> Get() {
    internal::Lead<Form> lead = co_await leadership_.Enter();
    if (lead.is_leader()) {
      value_.emplace(co_await factory_());
      lead.Finish();
    }
    co_return *value_;
  }
  // Null while there is no value.
  T* TryGet() { return leadership_.is_done() ? &*value_ : nullptr; }

 private:
  std::function<Task<T>()> factory_;
  std::optional<T> value_;  // written by the one that leads
  internal::Leadership<Form> leadership_{"a Lazy"};
};

template <class T>
using Lazy = BasicLazy<T, internal::OneLoop>;
template <class T>
using SharedLazy = BasicLazy<T, internal::ManyLoops>;

}  // namespace gyre

#endif  // GYRE_SYNC_LAZY_H_
