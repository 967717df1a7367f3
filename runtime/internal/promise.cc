#include "gyre/runtime/internal/promise.h"

#include <new>
#include <string>

#include "gyre/runtime/log.h"

namespace gyre::internal {
namespace {

// One resumption that waits its turn because the budget is spent. Rare (once per kTransferBudget transfers), so it has
// a block of its own instead of a place in every frame.
class DeferredResume final : public Runnable {
 public:
  explicit DeferredResume(PromiseBase& frame) : Runnable(RunnableKind::kTask), frame_(frame) {}

  static void* operator new(size_t size) { return AllocateFrame(size); }
  static void operator delete(void* address, size_t size) noexcept { FreeFrame(address, size); }

  void Run() override {
    PromiseBase& frame = frame_;
    delete this;
    Resume(frame);
  }
  void Drop() noexcept override { GYRE_CHECK(false, "internal: a loop ended with a coroutine ready to run"); }

 private:
  PromiseBase& frame_;
};

}  // namespace

void PromiseBase::CheckMadeOutside() const noexcept {
  GYRE_CHECK(continuation_ == 0,
             "a Task made on one loop was awaited on another: send a callable and its arguments instead");
}

std::coroutine_handle<> Defer(LoopCore& loop, PromiseBase& frame) noexcept {
  try {
    loop.PushReady(*new DeferredResume(frame));
  } catch (const std::bad_alloc&) {
    loop.current = frame.scope();
    return frame.handle();
  }
  return std::noop_coroutine();
}

void Requeue(PromiseBase& frame) noexcept { Defer(*frame.scope()->loop(), frame).resume(); }

void UnwindStopped(PromiseBase& innermost) noexcept {
  LoopCore* loop = innermost.scope()->loop();
  ++loop->unwinding;
  loop->current = innermost.scope();
  PromiseBase* frame = &innermost;
  for (;;) {
    if (frame->has_boundary()) {
      Boundary* boundary = frame->boundary();
      frame->handle().destroy();
      --loop->unwinding;
      boundary->OnStopped();
      return;
    }
    PromiseBase& parent = frame->parent();
    frame->handle().destroy();
    frame = &parent;
  }
}

void ReportNeverAwaited(const PromiseBase& frame) noexcept {
  try {
    const std::source_location defined = frame.place().where();
    Log("gyre: a Task was destroyed without having been awaited or spawned: " + std::string(defined.function_name()) +
        " (" + defined.file_name() + ":" + std::to_string(defined.line()) + ")");
  } catch (const std::bad_alloc&) {
  }
}

void DestroyUnwinding(PromiseBase& frame) noexcept {
  LoopCore* loop = tls_loop;  // the frame's strand may be gone
  ++loop->unwinding;
  frame.handle().destroy();
  --loop->unwinding;
}

}  // namespace gyre::internal
