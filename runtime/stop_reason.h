// StopReason: why a scope was asked to stop, for logs and for the message of a kCancelled status.
//
// Thread-safety: a value; copy it freely.
// Lifetime:      owns its text.
// Cost:          RequestStop() without a message stores no text; the place it was called from is always kept.
#ifndef GYRE_RUNTIME_STOP_REASON_H_
#define GYRE_RUNTIME_STOP_REASON_H_

#include <source_location>
#include <string>
#include <string_view>
#include <utility>

namespace gyre {

class StopReason {
 public:
  // NOLINTNEXTLINE(google-explicit-constructor): RequestStop("shutting down") is what people write.
  StopReason(std::string_view message, std::source_location where = std::source_location::current())
      : message_(message), where_(where) {}
  // No message, only where.
  explicit StopReason(std::source_location where = std::source_location::current()) : where_(where) {}
  // NOLINTNEXTLINE(google-explicit-constructor)
  StopReason(const char* message, std::source_location where = std::source_location::current())
      : message_(message), where_(where) {}

  const std::string& message() const { return message_; }
  const std::source_location& where() const { return where_; }

  // "MESSAGE (FILE:LINE)", or "stop requested (FILE:LINE)" without a message.
  std::string ToString() const;

 private:
  std::string message_;
  std::source_location where_;
};

}  // namespace gyre

#endif  // GYRE_RUNTIME_STOP_REASON_H_
