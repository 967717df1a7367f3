// RemoteRun: one coroutine or call that another thread has sent to a loop: its way there, its life, its stop, and its end.
// RunOn and BlockOn are what people call; they say what the end means for who has sent it.
//
// Thread-safety: Send and SendStop by the sender; what is virtual by the loop's thread, but for OnEnd (see there).
// Lifetime:      the sender's, until OnEnd. The loop must outlive that; once Begin was called, it does by itself.
// Cancellation:  SendStop asks the coroutine's strand to stop. The end is told when both the coroutine has ended and that
//                request has arrived, so nothing of either is under way any more.
// Cost:          two messages, three with a stop; no allocation beside the frame and the strand, which both come from the
//                loop's frame pool: what runs there writes to lines that this loop's CPU has.
#ifndef GYRE_RUNTIME_INTERNAL_REMOTE_RUN_H_
#define GYRE_RUNTIME_INTERNAL_REMOTE_RUN_H_

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <exception>

#include "gyre/runtime/internal/context.h"
#include "gyre/runtime/internal/guests.h"
#include "gyre/runtime/internal/promise.h"
#include "gyre/runtime/stop_reason.h"

namespace gyre {
class Loop;
}

namespace gyre::internal {

class RemoteRun : public Boundary {
 public:
  // False: the loop has ended, nothing follows, and the outcome says so. `context`: the values that the coroutine sees.
  bool Send(Loop& loop, ContextRef context) noexcept;
  // At most once, after Send; no effect when the coroutine has ended.
  void SendStop(StopReason&& reason) noexcept;

 protected:
  // `is_coroutine`: Begin makes one. Otherwise all is done in it, which needs no strand unless there are context values.
  explicit RemoteRun(bool is_coroutine) : is_coroutine_(is_coroutine), note_(*this) {}
  ~RemoteRun() = default;

  // Makes the coroutine; or gives null, with the outcome in place.
  virtual PromiseBase* Begin() = 0;
  // Moves the result out of the finished frame, and destroys that.
  virtual void TakeOutcome(PromiseBase* frame) noexcept = 0;
  virtual void SetException(std::exception_ptr exception) noexcept = 0;
  virtual void SetStopped(SharedStopReason reason) noexcept = 0;
  // The loop has ended, or is about to: nothing has run.
  virtual void SetUnavailable() noexcept = 0;
  // The outcome is in place, and nobody else will touch this object: it may be gone when this returns. Exactly once after
  // Send; on the loop's thread, or from SendStop.
  virtual void OnEnd() noexcept = 0;

 private:
  // The stop, under way.
  class StopNote final : public Runnable {
   public:
    explicit StopNote(RemoteRun& run) : Runnable(RunnableKind::kTask), run_(run) {}
    void Run() override { run_.ArriveStop(); }
    void Drop() noexcept override { run_.Let(); }

   private:
    RemoteRun& run_;
  };

  enum class Phase : uint8_t {
    kSent,     // left by Run, Drop
    kRunning,  // left by OnDone, OnStopped
    kEnded,
  };

  void Run() final;
  void Drop() noexcept final;
  std::coroutine_handle<> OnDone(PromiseBase& frame) noexcept final;
  void OnStopped() noexcept final;
  void Start();
  void Call();
  void MakeStrand();
  void End() noexcept;
  void ArriveStop() noexcept;
  // One of those that hold the object lets go of it.
  void Let() noexcept;

  Loop* loop_ = nullptr;
  ContextRef context_;
  PromiseBase* frame_ = nullptr;
  Guests::Strand* strand_ = nullptr;
  const bool is_coroutine_;
  Phase phase_ = Phase::kSent;
  bool is_guest_ = false;
  bool is_stop_early_ = false;  // it arrived before the start, as it may in a simulation
  // The coroutine, and the note while it is under way.
  // Let:acq_rel       the last to let go has seen all that the other wrote: OnEnd may hand the outcome on.
  // SendStop:relaxed  only claims a place, or sees that there is nothing left to stop; the note's push publishes.
  std::atomic<uint8_t> holders_{1};
  StopNote note_;
  StopReason reason_;
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_REMOTE_RUN_H_
