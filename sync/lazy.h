// Lazy<T>, SharedLazy<T>: a value that is made when it is first asked for, once.
//
//   gyre::Lazy<Config> config(ReadConfig);              // Task<Config> ReadConfig()
//   const Config& now = co_await config.Get();
//
//   gyre::Lazy<absl::StatusOr<Config>> config(LoadConfig);   // Task<absl::StatusOr<Config>> LoadConfig()
//   const Config& now = co_await gyre::Try(co_await config.Get());
//
// Where the one that makes it fails (an exception, or a bad status, which are its own) or is stopped, the next that waits
// makes it anew, and so on, until there is a value. A failure is never kept: whoever asks later tries again.
//
// Thread-safety: Lazy: one loop. SharedLazy: any thread; who waits resumes on its own loop. The value itself is shared:
//                it is not guarded, and a task that uses it on another loop had better not change it.
// Lifetime:      outlives its Gets; to destroy it before is a check failure. The value lives as long as it.
//                A Shared form outlives the waits that it has ended, too, until they resume (checked with GYRE_DEBUG_CHECKS).
// Cancellation:  a stopped Get stops what makes the value, and the next takes over; one that waits leaves nothing
//                behind.
// Errors:        an exception or a bad status of the factory, to the one that ran it.
// Cost:          a frame for each Get; TryGet takes none.
#ifndef GYRE_SYNC_LAZY_H_
#define GYRE_SYNC_LAZY_H_

#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gyre/runtime/task.h"
#include "gyre/sync/internal/form.h"
#include "gyre/sync/internal/leadership.h"

namespace gyre {
namespace internal {

template <class T>
struct LazyTraits {
  using Value = T;
  using Result = T&;
};
template <class T>
struct LazyTraits<absl::StatusOr<T>> {
  using Value = T;
  using Result = absl::StatusOr<std::reference_wrapper<T>>;
};

}  // namespace internal

// T: what the factory gives.
template <class T, class Form>
class BasicLazy {
  static_assert(!std::is_same_v<T, absl::Status>, "gyre: a Lazy makes a value; for a status alone, use Once");

 public:
  using Value = typename internal::LazyTraits<T>::Value;
  // Value&, or StatusOr<reference_wrapper<Value>> where T is a StatusOr.
  using Result = typename internal::LazyTraits<T>::Result;

  // Called on the loop of whoever needs the value first.
  explicit BasicLazy(std::function<Task<T>()> factory) : factory_(std::move(factory)) {}

  Task<Result> Get() {
    internal::Lead<Form> lead = co_await leadership_.Enter();
    if (lead.is_leader()) {
      if constexpr (kMayFail) {
        T made = co_await factory_();
        if (!made.ok()) co_return std::move(made).status();
        value_.emplace(*std::move(made));
      } else {
        value_.emplace(co_await factory_());
      }
      lead.Finish();
    }
    if constexpr (kMayFail) {
      co_return std::ref(*value_);
    } else {
      co_return *value_;
    }
  }
  // Null while there is no value.
  Value* TryGet() { return leadership_.is_done() ? &*value_ : nullptr; }

 private:
  static constexpr bool kMayFail = !std::is_same_v<T, Value>;

  std::function<Task<T>()> factory_;
  std::optional<Value> value_;  // written by the one that leads
  internal::Leadership<Form> leadership_{"a Lazy"};
};

template <class T>
using Lazy = BasicLazy<T, internal::OneLoop>;
template <class T>
using SharedLazy = BasicLazy<T, internal::ManyLoops>;

}  // namespace gyre

#endif  // GYRE_SYNC_LAZY_H_
