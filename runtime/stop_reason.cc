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
  return text;
}

}  // namespace gyre
