#include "gyre/runtime/run.h"

#include <cstdlib>
#include <memory>
#include <string>

#include "gyre/runtime/backend/epoll_backend.h"
#include "gyre/runtime/internal/stop_link.h"

namespace gyre {

absl::StatusOr<BackendKind> ParseBackendKind(std::string_view name) {
  if (name == "auto") return BackendKind::kAuto;
  if (name == "epoll") return BackendKind::kEpoll;
  if (name == "io_uring") return BackendKind::kIoUring;
  return absl::InvalidArgumentError("unknown backend \"" + std::string(name.substr(0, 64)) +
                                    "\": expected auto, epoll or io_uring");
}

namespace internal {

absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(const RunOptions& options) {
  BackendKind kind = options.backend();
  if (options.allow_environment()) {
    if (const char* name = secure_getenv("GYRE_BACKEND"); name != nullptr) {
      absl::StatusOr<BackendKind> from_environment = ParseBackendKind(name);
      if (!from_environment.ok()) return from_environment.status();
      kind = *from_environment;
    }
  }
  if (kind == BackendKind::kIoUring) {
    return absl::UnimplementedError("this build of gyre has no io_uring backend yet: use auto or epoll");
  }
  absl::StatusOr<std::unique_ptr<EpollBackend>> backend = EpollBackend::Create();
  if (!backend.ok()) return backend.status();
  return std::unique_ptr<Backend>(*std::move(backend));
}

void RootBase::RunOn(Loop& loop, const RunOptions& options) {
  Start(loop, options, /*stop=*/nullptr);
  loop.RunUntil(is_done_);
  Report(options);
}

void RootBase::Start(Loop& loop, const RunOptions& options, StopHandle* stop) {
  loop_ = &loop;
  loop.SetSpin(options.spin());
  scope_.emplace(loop.core());
  try {
    if (stop != nullptr) *stop = StopHandle(scope_->extras().stop_link.link = std::make_shared<StopLink>(*scope_));
    if (options.unhandled_error_hook()) loop.SetUnhandledErrorHook(options.unhandled_error_hook());
    if (options.on_start()) options.on_start()(loop);
    loop.core().PushReady(*this);
  } catch (...) {
    SetException(std::current_exception());
    scope_.reset();  // this may outlive the loop
    is_done_ = true;
  }
}

void RootBase::Report(const RunOptions& options) const {
  RunReport* const report = options.report();
  if (report == nullptr) return;
  report->dropped_callbacks = loop_->left_over().callbacks;
  report->dropped_timers = loop_->left_over().timers;
  report->closed_descriptors = loop_->left_over().descriptors;
  report->backend = loop_->backend().name();
}

void RootBase::Run() {
  if (frame_ != nullptr) {  // from the reap queue
    TakeOutcome(std::exchange(frame_, nullptr));
    return End();
  }
  try {
    frame_ = Begin();
  } catch (...) {
    SetException(std::current_exception());
    return End();
  }
  frame_->Start(*scope_, static_cast<Boundary&>(*this));
  Resume(*frame_);
}

std::coroutine_handle<> RootBase::OnDone(PromiseBase&) noexcept {
  loop_->core().PushReap(*this);
  return std::noop_coroutine();
}

void RootBase::OnStopped() noexcept {
  frame_ = nullptr;
  DropRoot(scope_->reason());
  End();
}

// On the loop: what the strand keeps was made there.
void RootBase::End() noexcept {
  loop_->core().current = nullptr;
  scope_.reset();
  loop_->guests().Close(is_done_);
}

}  // namespace internal
}  // namespace gyre
