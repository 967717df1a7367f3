// RunOn and SpawnOn: run a callable on another loop and wait for its result here.
//
//   int hits = co_await gyre::RunOn(cache_loop, [&key](){ return Cache::Local().Hits(key); });
//   absl::Status status = co_await gyre::RunOn(loop, Store, std::move(record));          // Task<absl::Status> Store(Record)
//   gyre::TaskHandle<int> task = gyre::SpawnOn(scope, loop, Compute, 7);
//
// `f(args...)` is called on the other loop; if it gives a Task, that runs there to its end. Arguments reach it as rvalues; use
// std::ref for references. It sees the caller's context values.
//
// Thread-safety: called on one loop about any other, or about the same.
// Lifetime:      RunOn keeps `f` and `args` until the end, on the caller's side: they are destroyed there, and so is the result. What
//                belongs to a loop (a Task, a TcpStream, a Buffer, a TaskHandle) must not be among them. The other Loop must
//                outlive the call, as those of one Runtime do. One that has begun to run it does by itself: it stays for the end.
// Cancellation:  a stop of the caller stops what runs over there, and is delivered here when that has ended: stopped, or with
//                its result if it has one in spite of the stop. If that ends stopped for a reason of its own, or because its
//                loop ends, so does the await here.
// Errors:        an exception over there is thrown here; a status is a result. Of a loop that has ended: kUnavailable, thrown as
//                StatusError where the result can't hold it. [D27]
// Cost:          one message each way, and a wake for a loop that sleeps; of a coroutine, its frame and its strand, from the other
//                loop's pool; of a plain call, no allocation.
#ifndef GYRE_RUNTIME_RUN_ON_H_
#define GYRE_RUNTIME_RUN_ON_H_

#include <concepts>
#include <coroutine>
#include <exception>
#include <functional>
#include <new>
#include <tuple>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "gyre/runtime/errors.h"
#include "gyre/runtime/internal/finish.h"
#include "gyre/runtime/internal/remote_run.h"
#include "gyre/runtime/leaf.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/outcome.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/task.h"

namespace gyre {
namespace internal {

template <class F, class... Args>
concept RemoteCallable = std::invocable<std::decay_t<F>&, std::decay_t<Args>...>;

// What a call gives in the end: of a Task, its result.
template <class R>
struct RemoteResultTraits {
  using Type = R;
};
template <class T>
struct RemoteResultTraits<Task<T>> {
  using Type = T;
};
template <class F, class... Args>
using RemoteResult =
    typename RemoteResultTraits<std::invoke_result_t<std::decay_t<F>&, std::decay_t<Args>...>>::Type;

// A RemoteRun of `f(args...)`, with its outcome.
template <class F, class... Args>
class RemoteCall : public RemoteRun {
 public:
  using T = RemoteResult<F, Args...>;

  // Stopped until it has ended.
  Outcome<T>& outcome() { return outcome_; }

 protected:
  template <class G, class... As>
  explicit RemoteCall(std::in_place_t, G&& f, As&&... args)
      : RemoteRun(kIsTask<std::invoke_result_t<F&, Args...>>), f_(std::forward<G>(f)), args_(std::forward<As>(args)...) {}
  ~RemoteCall() = default;

 private:
  PromiseBase* Begin() final {
    auto call = [this](Args&... args) -> decltype(auto) { return std::invoke(f_, std::move(args)...); };
    using R = std::invoke_result_t<F&, Args...>;
    static_assert(kIsTask<R> || std::is_void_v<R> || !Awaitable<R>,
                  "gyre: what runs on another loop gives a Task or a plain value: co_await the operation in a coroutine");
    if constexpr (kIsTask<R>) {
      auto task = std::apply(call, args_);
      return TaskAccess::Release(task);
    } else if constexpr (std::is_void_v<R>) {
      std::apply(call, args_);
      ReplaceOutcome(outcome_, [] { return Outcome<T>::FromValue(); });
    } else if constexpr (std::is_reference_v<R>) {
      R reference = std::apply(call, args_);
      ReplaceOutcome(outcome_, [&reference] { return Outcome<T>::FromValue(&reference); });
    } else {
      outcome_ = Outcome<T>::FromValue(std::apply(call, args_));
    }
    return nullptr;
  }
  void TakeOutcome(PromiseBase* frame) noexcept final { ReplaceOutcome(outcome_, static_cast<Promise<T>*>(frame)); }
  void SetException(std::exception_ptr exception) noexcept final { ReplaceOutcome(outcome_, std::move(exception)); }
  void SetStopped(SharedStopReason reason) noexcept final {
    ReplaceOutcome(outcome_, [&reason] { return Outcome<T>::FromStop(std::move(reason)); });
  }

  void SetUnavailable() noexcept final {
    try {
      absl::Status status = absl::UnavailableError("the loop that was to run this has ended");
      if constexpr (kIsStatusLike<T>) {
        ReplaceOutcome(outcome_, [&status] { return Outcome<T>::FromValue(std::move(status)); });
      } else {
        SetException(std::make_exception_ptr(StatusError(std::move(status))));
      }
    } catch (...) {
      SetException(std::current_exception());
    }
  }

  Outcome<T> outcome_;
  F f_;
  [[no_unique_address]] std::tuple<Args...> args_;
};

template <class F, class... Args>
class [[nodiscard]] RunOnAwaiter final : public Leaf {
  using T = RemoteResult<F, Args...>;

 public:
  RunOnAwaiter(Loop& loop, F&& f, std::tuple<Args...>&& args)
      : remote_(loop), call_(*this, std::move(f), std::move(args), std::index_sequence_for<Args...>()) {}

  template <std::derived_from<PromiseBase> P>
  bool await_suspend(std::coroutine_handle<P> awaiting) {
    return Suspend(awaiting, [this] {
      ContextRef context;
      if (loop_core().has_context) context = scope_core().Context();
      return !call_.Send(remote_, std::move(context));
    });
  }
  T await_resume() { return std::move(call_.outcome()).value(); }

 private:
  class Call final : public RemoteCall<F, Args...> {
   public:
    template <size_t... I>
    Call(RunOnAwaiter& caller, F&& f, std::tuple<Args...>&& args, std::index_sequence<I...>)
        : RemoteCall<F, Args...>(std::in_place, std::move(f), std::get<I>(std::move(args))...), caller_(caller) {}

   private:
    void OnEnd() noexcept override { caller_.CompleteFromAnyThread(); }

    RunOnAwaiter& caller_;
  };

  void OnStop() noexcept override {
    try {
      call_.SendStop(scope_core().reason().get());
    } catch (const std::bad_alloc&) {
      call_.SendStop(StopReason());
    }
  }
  bool Undo() noexcept override { return call_.outcome().stopped(); }
  void Run() override {
    if (is_waiting() && call_.outcome().stopped()) return RunCompleted(/*is_stopped=*/true);
    Leaf::Run();
  }

  Loop& remote_;
  Call call_;
};

template <class F, class... Args>
class [[nodiscard]] RunOnOperation {
 public:
  template <class G, class... As>
  explicit RunOnOperation(Loop& loop, G&& f, As&&... args)
      : loop_(loop), f_(std::forward<G>(f)), args_(std::forward<As>(args)...) {}
  auto operator co_await() && { return RunOnAwaiter<F, Args...>(loop_, std::move(f_), std::move(args_)); }

 private:
  Loop& loop_;
  F f_;
  std::tuple<Args...> args_;
};

}  // namespace internal

template <class F, class... Args>
  requires internal::RemoteCallable<F, Args...>
auto RunOn(Loop& loop, F&& f, Args&&... args) {
  return internal::RunOnOperation<std::decay_t<F>, std::decay_t<Args>...>(loop, std::forward<F>(f),
                                                                          std::forward<Args>(args)...);
}

namespace internal {

template <class F, class... Args>
Task<RemoteResult<F, Args...>> RunOnAsTask(std::reference_wrapper<Loop> loop, F f, Args... args) {
  co_return co_await RunOn(loop.get(), std::move(f), std::move(args)...);
}

}  // namespace internal

// A child of `scope` whose work runs on another loop: joined, stopped and failing as any other child.
template <class F, class... Args>
  requires internal::RemoteCallable<F, Args...>
auto SpawnOn(Scope& scope, Loop& loop, F&& f, Args&&... args) {
  return scope.Spawn(internal::RunOnAsTask<std::decay_t<F>, std::decay_t<Args>...>, std::ref(loop), std::forward<F>(f),
                     std::forward<Args>(args)...);
}

}  // namespace gyre

#endif  // GYRE_RUNTIME_RUN_ON_H_
