// SourcePlace: a std::source_location in four bytes, for what every await and every stop leaves behind.
#ifndef GYRE_RUNTIME_INTERNAL_SOURCE_PLACE_H_
#define GYRE_RUNTIME_INTERNAL_SOURCE_PLACE_H_

#include <bit>
#include <cstdint>
#include <source_location>

namespace gyre::internal {

// A place in the source, in four bytes: as a distance between statics of one program. None where it does not fit.
class SourcePlace {
 public:
  SourcePlace() = default;
  explicit SourcePlace(std::source_location where) {
    static_assert(sizeof(where) == sizeof(void*), "std::source_location is expected to be one pointer");
    const intptr_t distance = std::bit_cast<intptr_t>(where) - reinterpret_cast<intptr_t>(&kAnchor);
    distance_ = static_cast<int32_t>(distance);
#if defined(__PIC__) && !defined(__PIE__)
    // Code of a shared library: the anchor may be another library's, too far away.
    if (distance_ != distance) [[unlikely]] distance_ = 0;
#endif
  }
  bool is_known() const { return distance_ != 0; }
  int32_t distance() const { return distance_; }
  static SourcePlace FromDistance(int32_t distance) {
    SourcePlace place;
    place.distance_ = distance;
    return place;
  }
  std::source_location where() const {
    if (!is_known()) return std::source_location();
    return std::bit_cast<std::source_location>(reinterpret_cast<intptr_t>(&kAnchor) + distance_);
  }

 private:
  static constexpr char kAnchor = 0;
  int32_t distance_ = 0;
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_SOURCE_PLACE_H_
