#include "gyre/runtime/coalesced_post.h"

#include "gyre/runtime/check.h"

namespace gyre::internal {

// After a push that was accepted nothing of this object is touched: the run may destroy it.
PostResult CoalescedCallback::Post() noexcept {
  if (is_pending_.exchange(true, std::memory_order_acq_rel)) return PostResult::kAccepted;
  if (loop_.PushFromAnyThread(*this)) return PostResult::kAccepted;
  is_pending_.store(false, std::memory_order_release);
  return PostResult::kClosed;
}

void CoalescedCallback::Run() {
  is_pending_.exchange(false, std::memory_order_acq_rel);
  if (is_abandoned_) return delete this;
  is_running_ = true;
  InvokeGuarded(loop_, [this] { Call(); });
  is_running_ = false;
  if (is_abandoned_) DestroyUnlessPending();
}

void CoalescedCallback::Drop() noexcept {
  is_pending_.store(false, std::memory_order_release);
  if (is_abandoned_) delete this;
}

void CoalescedCallback::Abandon() noexcept {
  GYRE_CHECK(tls_loop == &loop_.core() || !loop_.IsRunning(),
             "a CoalescedPost was destroyed on another thread than its loop's: post its destruction to that");
  GYRE_CHECK(tls_loop == &loop_.core() || !is_pending_.load(std::memory_order_relaxed),
             "a CoalescedPost was destroyed while a Post was under way");
  is_abandoned_ = true;
  if (!is_running_) DestroyUnlessPending();
}

// The callable goes at once; this when the queue has no hold of it.
void CoalescedCallback::DestroyUnlessPending() noexcept {
  if (!is_pending_.load(std::memory_order_relaxed)) return delete this;
  DestroyCallable();
}

}  // namespace gyre::internal
