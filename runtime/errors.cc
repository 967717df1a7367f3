#include "gyre/runtime/errors.h"

#include <array>
#include <charconv>
#include <cstring>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/cord.h"

namespace gyre {
namespace {

// strerror_r comes in two kinds: glibc's gives the text, POSIX's a number, with the text in the buffer.
[[maybe_unused]] const char* TextOf(const char* text, const char*) { return text; }
[[maybe_unused]] const char* TextOf(int, const char* buffer) { return buffer; }

// absl::ErrnoToStatus says the same, but from a table that its first caller fills: in a library that was built without
// TSan, that looks like a race with every other loop.
std::string Describe(int error_number) {
  std::array<char, 128> buffer = {};
  return TextOf(strerror_r(error_number, buffer.data(), buffer.size()), buffer.data());
}

constexpr char kErrnoPayload[] = "gyre/errno";

}  // namespace

StatusError::StatusError(absl::Status status) : status_(std::move(status)), what_(status_.ToString()) {}

Stopped::Stopped(std::string reason) : what_("stopped: " + std::move(reason)) {}

std::string UnhandledError::ToString() const {
  std::string text = "gyre: unhandled error in ";
  if (task_id == 0) {
    text += "a callback";
  } else {
    text += "task " + std::to_string(task_id);
    if (!task_name.empty()) text += " \"" + task_name + "\"";
  }
  text += ": " + internal::StatusFromException(exception).ToString();
  return text;
}

void internal::RethrowFailure(std::exception_ptr failure) {
  try {
    std::rethrow_exception(std::move(failure));
  } catch (const StatusFailure& error) {
    throw StatusError(error.status());
  }
}

absl::Status internal::StatusFromException(const std::exception_ptr& exception) {
  if (exception == nullptr) return absl::OkStatus();
  try {
    std::rethrow_exception(exception);
  } catch (const StatusError& error) {
    return error.status();
  } catch (const Stopped& stopped) {
    return absl::CancelledError(stopped.what());
  } catch (const std::exception& error) {
    return absl::UnknownError(error.what());
  } catch (...) {
    return absl::UnknownError("an exception that is no std::exception");
  }
}

absl::Status internal::StatusFromErrno(int error_number, std::string_view what) {
  std::string message(what);
  message += ": ";
  message += Describe(error_number);
  absl::Status status(absl::ErrnoToStatusCode(error_number), message);
  const std::string text = std::to_string(error_number);
  status.SetPayload(kErrnoPayload, absl::Cord(absl::string_view(text)));
  return status;
}

int ErrnoOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kErrnoPayload);
  if (!payload.has_value()) return 0;
  const std::string text(*payload);
  int error_number = 0;
  std::from_chars(text.data(), text.data() + text.size(), error_number);
  return error_number;
}

}  // namespace gyre
