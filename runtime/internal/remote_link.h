// RemoteLink: the way from any thread into a scope, for spawning. What has been let in keeps the scope open until it arrives.
//
// Thread-safety: Enter from any thread; the rest on the scope's loop.
// Lifetime:      shared by the scope and its RemoteScopes; the loop is there as long as anybody is inside.
#ifndef GYRE_RUNTIME_INTERNAL_REMOTE_LINK_H_
#define GYRE_RUNTIME_INTERNAL_REMOTE_LINK_H_

#include <cstddef>
#include <mutex>

namespace gyre {
class Loop;
class Scope;
}  // namespace gyre

namespace gyre::internal {

class RemoteLink {
 public:
  RemoteLink(Scope& scope, Loop& loop) : scope_(&scope), loop_(&loop) {}

  // False: the scope has ended.
  bool Enter() {
    const std::lock_guard lock(mutex_);
    if (is_closed_) return false;
    ++inside_;
    return true;
  }
  void Leave() noexcept {
    const std::lock_guard lock(mutex_);
    --inside_;
  }
  // True if nobody is inside, and nobody comes in from now on.
  bool TryClose() noexcept {
    const std::lock_guard lock(mutex_);
    if (inside_ == 0) is_closed_ = true;
    return is_closed_;
  }

  // For those inside.
  Scope& scope() const { return *scope_; }
  Loop& loop() const { return *loop_; }

 private:
  std::mutex mutex_;
  size_t inside_ = 0;
  bool is_closed_ = false;
  Scope* const scope_;
  Loop* const loop_;
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_REMOTE_LINK_H_
