// StopReason: why a scope was asked to stop, where, and by which task: for logs and for the message of a kCancelled status.
//
// Thread-safety: a value; copy it freely.
// Lifetime:      owns its text.
// Cost:          RequestStop() without a message stores no text; the place it was called from is always kept.
#ifndef GYRE_RUNTIME_STOP_REASON_H_
#define GYRE_RUNTIME_STOP_REASON_H_

#include <atomic>
#include <cstdint>
#include <source_location>
#include <string>
#include <string_view>
#include <utility>

namespace gyre {

namespace internal {
class ScopeCore;
}

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
  // The task that asked; 0 and empty for a callback, a timer, another thread or code outside any task.
  uint64_t by_task_id() const { return by_task_id_; }
  const std::string& by_task_name() const { return by_task_name_; }

  // "MESSAGE (FILE:LINE)", or "stop requested (FILE:LINE)" without a message; "..., by task 7 \"name\"" if known.
  std::string ToString() const;

 private:
  friend class internal::ScopeCore;

  std::string message_;
  std::source_location where_;
  uint64_t by_task_id_ = 0;
  std::string by_task_name_;
};

namespace internal {

// One stop's reason, shared by the scope that was asked and the outcomes of all that it stopped. Null: not known.
class SharedStopReason {
 public:
  SharedStopReason() = default;
  // Throws std::bad_alloc.
  explicit SharedStopReason(StopReason&& reason) : record_(new Record(std::move(reason))) {}
  SharedStopReason(const SharedStopReason& other) noexcept : record_(other.record_) {
    // Outcomes may be copied on any thread. Relaxed: a copy is made from a living reference.
    if (record_ != nullptr) record_->references.fetch_add(1, std::memory_order_relaxed);
  }
  SharedStopReason(SharedStopReason&& other) noexcept : record_(std::exchange(other.record_, nullptr)) {}
  SharedStopReason& operator=(SharedStopReason other) noexcept {
    std::swap(record_, other.record_);
    return *this;
  }
  ~SharedStopReason() {
    // acq_rel: the last owner sees all that others did before they let go.
    if (record_ != nullptr && record_->references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete record_;
  }

  explicit operator bool() const { return record_ != nullptr; }
  // A blank reason if none is known.
  const StopReason& get() const;

 private:
  struct Record {
    explicit Record(StopReason&& given) : reason(std::move(given)) {}
    const StopReason reason;
    std::atomic<uint32_t> references{1};
  };

  Record* record_ = nullptr;
};

}  // namespace internal
}  // namespace gyre

#endif  // GYRE_RUNTIME_STOP_REASON_H_
