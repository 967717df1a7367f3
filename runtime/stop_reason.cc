#include "gyre/runtime/stop_reason.h"

#include <string>

#include "gyre/runtime/internal/source_place.h"

namespace gyre {

std::string StopReason::ToString() const {
  std::string text(message().empty() ? "stop requested" : message());
  text += " (";
  text += where_.file_name();
  text += ":";
  text += std::to_string(where_.line());
  text += ")";
  if (by_task_id_ != 0) {
    text += ", by task " + std::to_string(by_task_id_);
    if (!by_task_name_.empty()) text += " \"" + by_task_name_ + "\"";
  }
  return text;
}

uint64_t internal::SharedStopReason::Pack(std::source_location where, uint64_t by_task_id) {
  const SourcePlace place(where);
  if (by_task_id > kTaskIdMax || !place.is_known()) return 0;
  return uint64_t{static_cast<uint32_t>(place.distance())} << 32 | by_task_id << 1 | kPacked;
}

internal::SharedStopReason::SharedStopReason(StopReason&& reason) {
  const bool has_text = !reason.message().empty() || !reason.by_task_name_.empty();
  if (!has_text) word_ = Pack(reason.where_, reason.by_task_id_);
  if (word_ == 0) word_ = reinterpret_cast<uint64_t>(new Record(std::move(reason)));
}

StopReason internal::SharedStopReason::get() const {
  if (const Record* record = this->record()) return record->reason;
  if (word_ == 0) return StopReason();
  StopReason reason(SourcePlace::FromDistance(static_cast<int32_t>(word_ >> 32)).where());
  reason.by_task_id_ = static_cast<uint32_t>(word_) >> 1;
  return reason;
}

}  // namespace gyre
