#include "gyre/runtime/internal/owner_thread.h"

#include <sys/syscall.h>
#include <unistd.h>

namespace gyre::internal {
namespace {

pid_t ThreadId() { return static_cast<pid_t>(syscall(SYS_gettid)); }

std::string Describe(const char* name, pid_t id) {
  return "thread \"" + std::string(name) + "\" (" + std::to_string(id) + ")";
}

}  // namespace

void OwnerThread::Enter() noexcept {
  if (is_set_ && !IsAnother()) return;
  thread_ = pthread_self();
  id_ = ThreadId();
  if (pthread_getname_np(thread_, name_, sizeof(name_)) != 0) name_[0] = '\0';
  is_set_ = true;
}

std::string OwnerThread::ToString() const {
  char name[16] = {};
  pthread_getname_np(pthread_self(), name, sizeof(name));
  const std::string here = Describe(name, ThreadId());
  if (!is_set_) return "; its loop does not run any more, and this is " + here;
  return "; its loop runs on " + Describe(name_, id_) + ", and this is " + here;
}

}  // namespace gyre::internal
