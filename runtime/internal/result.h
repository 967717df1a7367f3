// How a result of any type is kept: a value as itself, a reference as a pointer, void as nothing.
#ifndef GYRE_RUNTIME_INTERNAL_RESULT_H_
#define GYRE_RUNTIME_INTERNAL_RESULT_H_

#include <memory>
#include <type_traits>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace gyre::internal {

template <class T>
struct StoredTraits {
  using Type = T;
  static T Take(Type& stored) { return std::move(stored); }
};
template <class T>
struct StoredTraits<T&> {
  using Type = T*;
  static T& Take(Type& stored) { return *stored; }
};
template <class T>
struct StoredTraits<T&&> {
  using Type = T*;
  static T&& Take(Type& stored) { return static_cast<T&&>(*stored); }
};
template <>
struct StoredTraits<void> {
  using Type = std::monostate;
  static void Take(Type&) {}
};

template <class T>
using Stored = typename StoredTraits<T>::Type;

template <class T>
inline constexpr bool kIsStatusOr = false;
template <class T>
inline constexpr bool kIsStatusOr<absl::StatusOr<T>> = true;

// absl::Status or absl::StatusOr: results that can say by themselves that something failed.
template <class T>
inline constexpr bool kIsStatusLike = std::is_same_v<T, absl::Status> || kIsStatusOr<T>;

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <class T>
const absl::Status& StatusOf(const absl::StatusOr<T>& value) {
  return value.status();
}

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_RESULT_H_
