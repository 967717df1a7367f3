// StopReason: why a scope was asked to stop, where, and by which task: for logs and for the message of a kCancelled status.
//
// Thread-safety: a value; copy it freely.
// Lifetime:      owns its text, but for one of Static.
// Errors:        a text that is copied may throw std::bad_alloc; Static, and one without a text, can't.
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
class SharedStopReason;
}  // namespace internal

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
  // Of a text that lives as long as the program, such as a literal: it is not copied. For destructors, leaves and whatever else
  // must not throw.
  static StopReason Static(const char* message, std::source_location where = std::source_location::current()) noexcept {
    StopReason reason(where);
    reason.static_message_ = message;
    return reason;
  }

  std::string_view message() const& {
    return static_message_ != nullptr ? std::string_view(static_message_) : std::string_view(message_);
  }
  std::string message() && { return static_message_ != nullptr ? std::string(static_message_) : std::move(message_); }
  const std::source_location& where() const { return where_; }
  // The task that asked; 0 and empty for a callback, a timer, another thread or code outside any task.
  uint64_t by_task_id() const { return by_task_id_; }
  const std::string& by_task_name() const& { return by_task_name_; }
  std::string by_task_name() && { return std::move(by_task_name_); }

  // "MESSAGE (FILE:LINE)", or "stop requested (FILE:LINE)" without a message; "..., by task 7 \"name\"" if known.
  std::string ToString() const;

 private:
  friend class internal::ScopeCore;
  friend class internal::SharedStopReason;

  std::string message_;
  const char* static_message_ = nullptr;  // instead of message_
  std::source_location where_;
  uint64_t by_task_id_ = 0;
  std::string by_task_name_;
};

namespace internal {

// One stop's reason, shared by the scope that was asked and the outcomes of all that it stopped. Null: not known.
//
// A reason without text, which is what most stops have, is packed into the word itself: its place and the asking task's id.
// Others are a counted record.
class SharedStopReason {
 public:
  SharedStopReason() = default;
  // Throws std::bad_alloc.
  explicit SharedStopReason(StopReason&& reason);
  SharedStopReason(const SharedStopReason& other) noexcept : word_(other.word_) {
    // Outcomes may be copied on any thread. Relaxed: a copy is made from a living reference.
    if (Record* record = this->record()) record->references.fetch_add(1, std::memory_order_relaxed);
  }
  SharedStopReason(SharedStopReason&& other) noexcept : word_(std::exchange(other.word_, 0)) {}
  SharedStopReason& operator=(SharedStopReason other) noexcept {
    std::swap(word_, other.word_);
    return *this;
  }
  ~SharedStopReason() {
    // acq_rel: the last owner sees all that others did before they let go.
    Record* record = this->record();
    if (record != nullptr && record->references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete record;
  }

  explicit operator bool() const { return word_ != 0; }
  // A blank reason if none is known.
  StopReason get() const;

  // A reason without text as a packed word; 0 where it does not fit into one.
  static uint64_t Pack(std::source_location where, uint64_t by_task_id);
  // A packed reason as a word whose lowest bit is set, for a place that is too small for more; 0 if it is not packed.
  uint64_t packed_word() const { return (word_ & kPacked) != 0 ? word_ : 0; }
  static SharedStopReason FromPackedWord(uint64_t word) {
    SharedStopReason reason;
    reason.word_ = word;
    return reason;
  }

 private:
  struct Record {
    explicit Record(StopReason&& given) : reason(std::move(given)) {}
    const StopReason reason;
    std::atomic<uint32_t> references{1};
  };
  // Bit 0: packed. Then bits 1 to 31 are the task's id, and 32 to 63 the place.
  static constexpr uint64_t kPacked = 1;
  static constexpr uint64_t kTaskIdMax = (uint64_t{1} << 31) - 1;

  Record* record() const { return (word_ & kPacked) != 0 ? nullptr : reinterpret_cast<Record*>(word_); }

  uint64_t word_ = 0;
};
static_assert(sizeof(void*) == sizeof(uint64_t), "gyre is for 64-bit systems");

}  // namespace internal
}  // namespace gyre

#endif  // GYRE_RUNTIME_STOP_REASON_H_
