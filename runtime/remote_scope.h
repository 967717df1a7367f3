// RemoteScope: spawns into a scope from any thread.
//
//   gyre::RemoteScope remote(scope);
//   std::thread([remote] { remote.Spawn(Handle, ReadRequest()); });
//
// Thread-safety: made on the scope's loop; Spawn from any thread. Copies refer to the same scope.
// Lifetime:      independent of the scope, its loop and its runtime. What Spawn has accepted runs: the scope stays open for it.
// Cancellation:  the child is the scope's like any other. In a scope that is stopped but open it starts, and is stopped at its
//                first suspension.
// Errors:        false once the scope has ended; the callable and its arguments are destroyed on the calling thread. Throws
//                std::bad_alloc. A child that can't be made on arrival for want of memory goes to the unhandled-error hook.
// Cost:          one allocation, a lock, and a wake for a loop that sleeps.
#ifndef GYRE_RUNTIME_REMOTE_SCOPE_H_
#define GYRE_RUNTIME_REMOTE_SCOPE_H_

#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

#include "gyre/runtime/internal/message.h"
#include "gyre/runtime/internal/remote_link.h"
#include "gyre/runtime/internal/runnable.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/scope.h"

namespace gyre {
namespace internal {

// Of `scope`, made at the first call.
std::shared_ptr<RemoteLink> RemoteLinkOf(Scope& scope);

// A child on its way.
template <class F, class... Args>
class RemoteSpawn final : public Runnable, public Message {
 public:
  template <class G, class... As>
  explicit RemoteSpawn(std::shared_ptr<RemoteLink> link, G&& f, As&&... args)
      : Runnable(RunnableKind::kMessage),
        link_(std::move(link)),
        f_(std::forward<G>(f)),
        args_(std::forward<As>(args)...) {}

  void Run() override {
    const std::unique_ptr<RemoteSpawn> self(this);
    Scope& scope = link_->scope();
    InvokeGuarded(link_->loop(), [&] {
      std::apply([&](Args&... args) { scope.Spawn(std::move(f_), std::move(args)...); }, args_);
    });
    link_->Leave();
    ScopeKey::JoinIfDone(scope);
  }
  void Drop() noexcept override { GYRE_CHECK(false, "internal: a loop ended while a child of one of its scopes came"); }

 private:
  const std::shared_ptr<RemoteLink> link_;
  F f_;
  [[no_unique_address]] std::tuple<Args...> args_;
};

}  // namespace internal

class RemoteScope {
 public:
  explicit RemoteScope(Scope& scope) : link_(internal::RemoteLinkOf(scope)) {}

  // As Scope::Spawn. False once the scope has ended.
  template <class F, class... Args>
    requires internal::Spawnable<F, Args...>
  bool Spawn(F&& f, Args&&... args) const {
    using Message = internal::RemoteSpawn<std::decay_t<F>, std::decay_t<Args>...>;
    auto message = std::make_unique<Message>(link_, std::forward<F>(f), std::forward<Args>(args)...);
    if (!link_->Enter()) return false;
    const bool is_pushed = link_->loop().PushFromAnyThread(*message);
    GYRE_CHECK(is_pushed, "internal: a loop ended before one of its scopes");
    static_cast<void>(message.release());
    return true;
  }

 private:
  std::shared_ptr<internal::RemoteLink> link_;
};

}  // namespace gyre

#endif  // GYRE_RUNTIME_REMOTE_SCOPE_H_
