// The server's own "runtime/task.h": gyre's is "gyre/runtime/task.h".
#ifndef SHOUT_RUNTIME_TASK_H_
#define SHOUT_RUNTIME_TASK_H_

#include <string>
#include <utility>

namespace shout {

class Task {
 public:
  explicit Task(std::string line) : line_(std::move(line)) {}
  // The line, louder.
  std::string Run() const;

 private:
  std::string line_;
};

}  // namespace shout

#endif  // SHOUT_RUNTIME_TASK_H_
