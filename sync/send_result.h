// SendResult<T>: whether an item was sent; if not, why, and the item itself.
//
//   gyre::SendResult<Job> sent = co_await jobs.Send(std::move(job));
//   if (!sent.ok()) RunHere(std::move(sent.item()));
//   co_await gyre::Try(co_await jobs.Send(std::move(other)));             // or only the status
//
// Thread-safety: a value.
// Errors:        status(): kUnavailable where the other side is closed, kResourceExhausted where a Try... found no room.
#ifndef GYRE_SYNC_SEND_RESULT_H_
#define GYRE_SYNC_SEND_RESULT_H_

#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "gyre/runtime/check.h"

namespace gyre {

template <class T>
class [[nodiscard]] SendResult {
 public:
  // Sent.
  SendResult() = default;
  // Not sent. `why` is a literal.
  static SendResult Closed(T&& item, const char* why) {
    return SendResult(std::move(item), absl::StatusCode::kUnavailable, why);
  }
  static SendResult Full(T&& item, const char* why) {
    return SendResult(std::move(item), absl::StatusCode::kResourceExhausted, why);
  }

  bool ok() const { return !item_.has_value(); }
  absl::Status status() const { return ok() ? absl::OkStatus() : absl::Status(code_, why_); }
  // For Try, and for who does not want the item back.
  // NOLINTNEXTLINE(google-explicit-constructor): co_await Try(co_await jobs.Send(job)) is what people write.
  operator absl::Status() const { return status(); }

  // What was not sent.
  T& item() {
    GYRE_CHECK(!ok(), "SendResult::item: the item was sent");
    return *item_;
  }

 private:
  SendResult(T&& item, absl::StatusCode code, const char* why) : item_(std::move(item)), code_(code), why_(why) {}

  std::optional<T> item_;
  absl::StatusCode code_ = absl::StatusCode::kOk;
  const char* why_ = "";
};

}  // namespace gyre

#endif  // GYRE_SYNC_SEND_RESULT_H_
