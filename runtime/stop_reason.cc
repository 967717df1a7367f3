#include "gyre/runtime/stop_reason.h"

#include <string>

namespace gyre {

std::string StopReason::ToString() const {
  std::string text = message_.empty() ? "stop requested" : message_;
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

const StopReason& internal::SharedStopReason::get() const {
  static const StopReason kBlank;
  return record_ != nullptr ? record_->reason : kBlank;
}

}  // namespace gyre
