// ContextRef: the values that a task has set for itself and for what it starts. Never changed in place: setting a value
// makes a new map, so a child that holds the old one does not see it.
//
// Thread-safety: a map does not change, so calls to other loops share it. Their references are gone when the call has ended: a
//                value dies on the loop where it was set.
// Cost:          a lookup is a linear search: programs have a handful of such values.
#ifndef GYRE_RUNTIME_INTERNAL_CONTEXT_H_
#define GYRE_RUNTIME_INTERNAL_CONTEXT_H_

#include <memory>
#include <utility>
#include <vector>

namespace gyre::internal {

using ContextMap = std::vector<std::pair<const void*, std::shared_ptr<const void>>>;  // by ContextVar's address
using ContextRef = std::shared_ptr<const ContextMap>;

// Null if there is none.
inline const void* FindContextValue(const ContextRef& context, const void* key) {
  if (context == nullptr) return nullptr;
  for (const auto& [known, value] : *context) {
    if (known == key) return value.get();
  }
  return nullptr;
}

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_CONTEXT_H_
