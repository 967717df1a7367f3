// SingleFlight<Key, Value>: of all that ask for the same at the same time, one fetches it, and each gets a copy.
//
//   gyre::SingleFlight<std::string, Page> fetches;
//   Page page = co_await fetches.Do(url, [url] { return Fetch(url); });
//
// It is no cache: whoever asks when the fetch has ended begins the next. Where the one that fetches fails (an
// exception, or a bad status, which are its own) or is stopped, the next that waits runs its callable.
//
// Thread-safety: one loop.
// Lifetime:      outlives its calls; to destroy it before is a check failure. The callable is moved into the call.
// Cancellation:  a stopped Do stops its callable, and the next takes over; one that waits leaves nothing behind.
// Errors:        those of the callable, to the one that ran it.
// Cost:          a frame, an entry of a hash map and a block for each key in flight.
#ifndef GYRE_SYNC_SINGLE_FLIGHT_H_
#define GYRE_SYNC_SINGLE_FLIGHT_H_

#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "gyre/runtime/check.h"
#include "gyre/runtime/task.h"
#include "gyre/sync/internal/form.h"
#include "gyre/sync/internal/leadership.h"

namespace gyre {

template <class Key, std::copy_constructible Value>
class SingleFlight {
 public:
  SingleFlight() = default;
  SingleFlight(const SingleFlight&) = delete;
  SingleFlight& operator=(const SingleFlight&) = delete;
  ~SingleFlight() { GYRE_CHECK(flights_.empty(), "a SingleFlight was destroyed while a task waits for it"); }

  // `f()` gives a Task<Value>.
  template <class F>
    requires std::same_as<std::invoke_result_t<F&>, Task<Value>>
  Task<Value> Do(Key key, F f) {
    home_.CheckHome("a SingleFlight", !flights_.empty(), /*is_in_use=*/false);
    const Guest guest(*this, key);
    Flight& flight = *guest.flight;
    internal::Lead<internal::OneLoop> lead = co_await flight.leadership.Enter();
    if (lead.is_leader()) {
      Value value = co_await std::invoke(f);
      if (IsBad(value)) co_return value;
      flight.value.emplace(std::move(value));
      guest.EndFlight();
      lead.Finish();
    }
    co_return *flight.value;
  }

  // Keys that are being fetched.
  size_t in_flight() const { return flights_.size(); }

 private:
  struct Flight {
    internal::Leadership<internal::OneLoop> leadership{"a SingleFlight"};
    std::optional<Value> value;
    size_t guests = 0;
  };

  // A call, which keeps its flight: that leaves the map when it has landed, or with its last guest.
  struct Guest {
    Guest(SingleFlight& its, const Key& its_key) : flights(its), key(its_key) {
      auto found = flights.flights_.find(key);
      if (found == flights.flights_.end()) found = flights.flights_.emplace(key, std::make_shared<Flight>()).first;
      flight = found->second;
      ++flight->guests;
    }
    Guest(const Guest&) = delete;
    Guest& operator=(const Guest&) = delete;
    ~Guest() {
      if (--flight->guests == 0 && !flight->value.has_value()) EndFlight();
    }
    void EndFlight() const { flights.flights_.erase(key); }

    SingleFlight& flights;
    const Key& key;  // of the call
    std::shared_ptr<Flight> flight;
  };

  static bool IsBad(const Value& value) {
    if constexpr (requires { { value.ok() } -> std::convertible_to<bool>; }) {
      return !value.ok();
    } else {
      return false;
    }
  }

  [[no_unique_address]] internal::OneLoop home_;
  absl::flat_hash_map<Key, std::shared_ptr<Flight>> flights_;
};

}  // namespace gyre

#endif  // GYRE_SYNC_SINGLE_FLIGHT_H_
