// The exceptions gyre itself throws, and the report of an error that nobody was left to receive.
//
// Thread-safety: values.
#ifndef GYRE_RUNTIME_ERRORS_H_
#define GYRE_RUNTIME_ERRORS_H_

#include <cstdint>
#include <exception>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace gyre {

// A bad status where the result type has no place for one: a child of a scope whose body returns void.
class StatusError : public std::exception {
 public:
  explicit StatusError(absl::Status status);
  const absl::Status& status() const { return status_; }
  const char* what() const noexcept override { return what_.c_str(); }

 private:
  absl::Status status_;
  std::string what_;
};

// Run's root was stopped, and its type can't hold a status.
class Stopped : public std::exception {
 public:
  explicit Stopped(std::string reason);
  const char* what() const noexcept override { return what_.c_str(); }

 private:
  std::string what_;
};

// An error whose scope had reported another one already, or that left a posted callback or an on_error.
struct UnhandledError {
  std::string task_name;  // empty for an unnamed task or a callback
  uint64_t task_id = 0;   // 0 for a callback
  std::exception_ptr exception;

  std::string ToString() const;
};

using UnhandledErrorHook = std::function<void(const UnhandledError&)>;

namespace internal {

// A bad status on its way to a join; there it becomes a status again if the result type has a place for one.
class StatusFailure final : public StatusError {
 public:
  using StatusError::StatusError;
};

// Throws what failed, where the result has no place for a status: what began as one becomes a StatusError like any other,
// so that no join further out takes the exception for a status.
[[noreturn]] void RethrowFailure(std::exception_ptr failure);

// A StatusError's own status; kCancelled for Stopped; kUnknown with what() for any other exception.
absl::Status StatusFromException(const std::exception_ptr& exception);

// What an errno says, with the errno itself kept as a payload. `what` names the operation: "connect 127.0.0.1:80".
absl::Status StatusFromErrno(int error_number, std::string_view what);

}  // namespace internal

// The errno inside a status that gyre made from a system call's failure; 0 if there is none.
int ErrnoOf(const absl::Status& status);

}  // namespace gyre

#endif  // GYRE_RUNTIME_ERRORS_H_
