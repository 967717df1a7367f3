// Remote<T>: an object that belongs to one loop, held from anywhere: it is used on its loop, and destroyed there.
//
//   auto make = [] { return gyre::Remote<Cache>(std::in_place, 1000); };                      // on the loop that will own it
//   gyre::Remote<Cache> cache = co_await gyre::RunOn(other, make);
//   int hits = co_await cache.With([](Cache& cache, const Key& key) { return cache.Hits(key); }, key);
//
// Thread-safety: made on a loop; moved and dropped on any thread; With from any loop's coroutines, Get on its own alone.
// Lifetime:      the object lives until the Remote is dropped, or until its loop ends, whichever is first. With must not outlive the
//                Loop, as RunOn says; the Remote may.
// Cancellation:  With is a RunOn.
// Errors:        Get elsewhere than on its loop, or after its end, or of an empty Remote, is a check failure.
// Cost:          one allocation; a message when it is dropped elsewhere.
#ifndef GYRE_RUNTIME_REMOTE_H_
#define GYRE_RUNTIME_REMOTE_H_

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <utility>

#include "gyre/runtime/check.h"
#include "gyre/runtime/internal/loop_bound.h"
#include "gyre/runtime/internal/loop_core.h"
#include "gyre/runtime/internal/runnable.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/run_on.h"

namespace gyre {
namespace internal {

// The object, and its way home. One holder, the Remote, until that drops it.
class RemoteState : public LoopBound, private Runnable {
 public:
  RemoteState(const RemoteState&) = delete;
  RemoteState& operator=(const RemoteState&) = delete;

  Loop& loop() const { return *loop_; }
  // A check failure anywhere but on its loop.
  void CheckUse() const;
  // By its holder, on any thread, once.
  void Drop() noexcept override;

 protected:
  RemoteState();
  virtual ~RemoteState() = default;

  // When the object is there.
  void Bind();

 private:
  virtual void DestroyObject() noexcept = 0;
  void OnLoopEnd() noexcept override;
  void Run() override { DestroyHere(); }
  void DestroyHere() noexcept;

  Loop* const loop_;
  LoopCore* const core_;
  // Held while a dropped state is sent home, so that the loop can't end, and go, in between.
  std::mutex mutex_;
  // Written under the lock. relaxed: CheckUse reads it on the thread that has written it, or stops a wrong program.
  std::atomic<bool> has_loop_ended_{false};
  bool is_on_its_way_ = false;
  bool is_ending_ = false;   // OnLoopEnd destroys the object, and deletes this if it was dropped meanwhile
  bool is_dropped_ = false;
};

template <class T>
class RemoteObject final : public RemoteState {
 public:
  template <class... Args>
  explicit RemoteObject(std::in_place_t, Args&&... args) : object_(std::in_place, std::forward<Args>(args)...) {
    Bind();
  }
  T& object() { return *object_; }

 private:
  void DestroyObject() noexcept override { object_.reset(); }

  std::optional<T> object_;
};

// On the object's loop: calls with the object as the first argument.
template <class T, class F>
class CallWithObject {
 public:
  template <class G>
  CallWithObject(RemoteObject<T>& state, G&& f) : state_(&state), f_(std::forward<G>(f)) {}
  template <class... Args>
    requires std::invocable<F&, T&, Args...>
  decltype(auto) operator()(Args&&... args) { return std::invoke(f_, state_->object(), std::forward<Args>(args)...); }

 private:
  RemoteObject<T>* state_;
  F f_;
};

}  // namespace internal

template <class T>
class Remote {
 public:
  Remote() = default;
  // Makes the object from `args`, on the current loop, which owns it from now on.
  template <class... Args>
  explicit Remote(std::in_place_t, Args&&... args)
      : state_(new internal::RemoteObject<T>(std::in_place, std::forward<Args>(args)...)) {}
  Remote(Remote&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  Remote& operator=(Remote&& other) noexcept {
    if (this != &other) {
      Reset();
      state_ = std::exchange(other.state_, nullptr);
    }
    return *this;
  }
  ~Remote() { Reset(); }

  explicit operator bool() const { return state_ != nullptr; }
  Loop& loop() const { return state().loop(); }

  // On its loop.
  T& Get() const {
    state().CheckUse();
    return state().object();
  }
  // `f(object, args...)` on its loop, and what that gives, as RunOn. This Remote must outlive the await.
  template <class F, class... Args>
  auto With(F&& f, Args&&... args) const {
    return RunOn(loop(), internal::CallWithObject<T, std::decay_t<F>>(state(), std::forward<F>(f)),
                 std::forward<Args>(args)...);
  }
  // On its loop the object is destroyed at once, elsewhere when the loop comes to it.
  void Reset() noexcept {
    if (state_ != nullptr) std::exchange(state_, nullptr)->Drop();
  }

 private:
  internal::RemoteObject<T>& state() const {
    GYRE_CHECK(state_ != nullptr, "an empty Remote was used");
    return *state_;
  }

  internal::RemoteObject<T>* state_ = nullptr;
};

}  // namespace gyre

#endif  // GYRE_RUNTIME_REMOTE_H_
