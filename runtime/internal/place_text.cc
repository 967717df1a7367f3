#include "gyre/runtime/internal/place_text.h"

#include <string_view>

namespace gyre::internal {

std::string PlaceText(const std::source_location& where) {
  std::string_view file = where.file_name();
  const std::string_view virtual_includes = "/_virtual_includes/";  // Bazel's copies of headers, a folder per target
  if (const size_t at = file.find(virtual_includes); at != std::string_view::npos) {
    file.remove_prefix(at + virtual_includes.size());
    file.remove_prefix(file.find('/') + 1);
  }
  return std::string(file) + ":" + std::to_string(where.line());
}

}  // namespace gyre::internal
