// BlockOn: runs a callable on a loop and blocks the calling thread until it has ended. The way from a plain thread into gyre.
//
//   absl::Status status = gyre::BlockOn(loop, Flush, std::move(batch));   // Task<absl::Status> Flush(Batch)
//
// Thread-safety: any thread that runs no loop; inside one it is a check failure, because it would deadlock. So would the host
//                of an EmbeddedLoop that blocks on its own guest, and nothing notices that.
// Lifetime:      as RunOn; `f` and `args` live on the caller's stack.
// Cancellation:  nobody can stop the caller; if the coroutine ends stopped, as it does when its loop ends, BlockOn gives
//                kCancelled, or throws gyre::Stopped where the result can't hold a status.
// Errors:        what the callable or its coroutine throws is thrown here. Of a loop that has ended: as RunOn.
// Cost:          two messages and two switches of threads.
#ifndef GYRE_RUNTIME_BLOCK_ON_H_
#define GYRE_RUNTIME_BLOCK_ON_H_

#include <condition_variable>
#include <mutex>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "gyre/runtime/blocking_section.h"
#include "gyre/runtime/check.h"
#include "gyre/runtime/errors.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/run_on.h"

namespace gyre {
namespace internal {

template <class F, class... Args>
class BlockingCall final : public RemoteCall<F, Args...> {
  using Call = RemoteCall<F, Args...>;
  using T = typename Call::T;

 public:
  template <class G, class... As>
  explicit BlockingCall(G&& f, As&&... args)
      : Call(std::in_place, std::forward<G>(f), std::forward<As>(args)...) {}

  T RunOn(Loop& loop) {
    if (this->Send(loop, nullptr)) {
      const BlockingSection section;  // a loop may need this thread's pool
      std::unique_lock lock(mutex_);
      ended_.wait(lock, [this] { return has_ended_; });
    }
    if (this->outcome().stopped()) {
      const std::string why = "the coroutine that BlockOn waited for was stopped";
      if constexpr (kIsStatusLike<T>) {
        return absl::CancelledError(why);
      } else {
        throw Stopped(why);
      }
    }
    return std::move(this->outcome()).value();
  }

 private:
  // Under the lock, so that the waiting thread can't leave before this is through with the condition variable.
  void OnEnd() noexcept override {
    const std::lock_guard lock(mutex_);
    has_ended_ = true;
    ended_.notify_one();
  }

  std::mutex mutex_;
  std::condition_variable ended_;
  bool has_ended_ = false;
};

}  // namespace internal

template <class F, class... Args>
  requires internal::RemoteCallable<F, Args...>
internal::RemoteResult<F, Args...> BlockOn(Loop& loop, F&& f, Args&&... args) {
  GYRE_CHECK(Loop::TryCurrent() == nullptr,
             "BlockOn was called on a thread that runs a loop, which would wait for itself: co_await RunOn instead");
  internal::BlockingCall<std::decay_t<F>, std::decay_t<Args>...> call(std::forward<F>(f), std::forward<Args>(args)...);
  return call.RunOn(loop);
}

}  // namespace gyre

#endif  // GYRE_RUNTIME_BLOCK_ON_H_
