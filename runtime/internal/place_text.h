// PlaceText: "FILE:LINE", as a reader of the source would name the file: for reports.
#ifndef GYRE_RUNTIME_INTERNAL_PLACE_TEXT_H_
#define GYRE_RUNTIME_INTERNAL_PLACE_TEXT_H_

#include <source_location>
#include <string>

namespace gyre::internal {

std::string PlaceText(const std::source_location& where);

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_PLACE_TEXT_H_
