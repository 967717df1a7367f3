// CoalescedPost: a callable that any thread may post to a loop, as often as it likes, and that runs once for all the
// posts made before it runs: "something has changed, look at it".
//
//   gyre::CoalescedPost flush(gyre::Loop::Current(), [&] { Flush(journal); });
//   std::thread([&] { journal.Append(entry); flush.Post(); });
//
// Each object is a key of its own. Compare libuv's uv_async_t and Trio's run_sync_soon(idempotent=True).
//
// Thread-safety: Post from any thread, also from a signal handler. The run that a post leads to sees all that its thread
//                did before, also where the post was merged with an earlier one. Made on any thread.
// Lifetime:      destroyed by what runs on the loop, or after the loop has ended; a check failure elsewhere, also in the
//                code of an EmbeddedLoop's host. What is still to run is dropped then, and the callable destroyed; one that is running is destroyed when it returns,
//                so a callable may destroy its own CoalescedPost. The Loop object outlives this one, and this one
//                every Post that has not led to a run yet: of a post that has run nothing is touched any more.
// Cancellation:  none; destroy it.
// Errors:        kClosed once the loop has ended. kAccepted is no promise: what has not run when the loop ends is dropped,
//                and so is a post merged with one that the loop's end overtakes. What the callable throws goes to the
//                unhandled-error hook, and it may be posted again.
// Cost:          one allocation when it is made, none later. Post is an atomic exchange if a post is pending; otherwise
//                also a push, and a wake for a loop that sleeps.
#ifndef GYRE_RUNTIME_COALESCED_POST_H_
#define GYRE_RUNTIME_COALESCED_POST_H_

#include <atomic>
#include <concepts>
#include <optional>
#include <type_traits>
#include <utility>

#include "gyre/runtime/internal/runnable.h"
#include "gyre/runtime/loop.h"

namespace gyre {
namespace internal {

// What a CoalescedPost and its loop's queue share. Belongs to the CoalescedPost, and once that is gone, to the queue.
class CoalescedCallback : public Runnable {
 public:
  explicit CoalescedCallback(Loop& loop) : Runnable(RunnableKind::kCallback), loop_(loop) {}

  PostResult Post() noexcept;
  // By the CoalescedPost, in place of destroying this.
  void Abandon() noexcept;

 protected:
  virtual ~CoalescedCallback() = default;

 private:
  void Run() override;
  void Drop() noexcept override;
  void DestroyUnlessPending() noexcept;

  virtual void Call() = 0;
  virtual void DestroyCallable() noexcept = 0;

  Loop& loop_;
  // Of the loop's thread.
  bool is_running_ = false;    // left by Run
  bool is_abandoned_ = false;  // never left

  // True while this is in the loop's inbox or ready queue, or a Post is about to put it there. Set by Post; left by Run,
  // Drop, and a Post that was refused.
  // Post:release  publishes what its thread did before.  Pairs with Run:acquire. That holds for each Post: one that finds
  //               true is a read-modify-write too, so Run, which reads the last of them, is in the release sequences of
  //               all. A Post that looked first and left would publish nothing.
  // Post:acquire  where it finds false, the queue has let go of this node's link, which the push writes.  Pairs with the
  //               three that leave true, each with release.
  // Abandon:relaxed, DestroyUnlessPending:relaxed  no Post may be under way then; of those before, the loop has the node.
  // No post is lost: Run leaves true before it calls, so a Post is before that (this call sees its work) or after it (it
  // finds false, and pushes).
  // Exercised by tests/runtime/coalesced_post_test.cc and tests/stress/coalesced_post_stress_test.cc.
  std::atomic<bool> is_pending_{false};
};

template <class F>
class CoalescedCallbackOf final : public CoalescedCallback {
 public:
  template <class G>
  CoalescedCallbackOf(Loop& loop, G&& callable) : CoalescedCallback(loop), callable_(std::forward<G>(callable)) {}

 private:
  void Call() override { (*callable_)(); }
  void DestroyCallable() noexcept override { callable_.reset(); }

  std::optional<F> callable_;
};

}  // namespace internal

class CoalescedPost {
 public:
  // Keeps `f`, to call it on `loop` as `f()`.
  template <class F>
    requires std::invocable<std::decay_t<F>&>
  CoalescedPost(Loop& loop, F&& f)
      : callback_(*new internal::CoalescedCallbackOf<std::decay_t<F>>(loop, std::forward<F>(f))) {}
  CoalescedPost(const CoalescedPost&) = delete;
  CoalescedPost& operator=(const CoalescedPost&) = delete;
  ~CoalescedPost() { callback_.Abandon(); }

  // The callable runs on the loop, where the first of the pending posts stands among the loop's posts. Posted while it
  // runs, it runs once more, in a later turn.
  PostResult Post() noexcept { return callback_.Post(); }

 private:
  internal::CoalescedCallback& callback_;
};

}  // namespace gyre

#endif  // GYRE_RUNTIME_COALESCED_POST_H_
