// HandleTable: numbers for the handles of a channel, by which it knows one that is open from one that has been closed.
//
// A number is a place in the table, and how often that place had been used before: so the number of a closed handle
// says closed also when another one has its place. (After four thousand million uses of one place it would not.)
//
// Thread-safety: none.
// Cost:          8 bytes for each handle that is open at the same time; all is O(1).
#ifndef GYRE_SYNC_INTERNAL_HANDLE_TABLE_H_
#define GYRE_SYNC_INTERNAL_HANDLE_TABLE_H_

#include <cstdint>
#include <vector>

namespace gyre::internal {

class HandleTable {
 public:
  // Of a new handle; never 0.
  uint64_t Open() {
    if (first_free_ == kNone) {
      entries_.emplace_back();  // throws, if anything does, before anything has changed
      first_free_ = static_cast<uint32_t>(entries_.size());
    }
    const uint32_t place = first_free_;
    const Entry& entry = entries_[place - 1];
    first_free_ = entry.next_free;
    return uint64_t{entry.uses} << 32 | place;
  }
  // Of an open one.
  void Close(uint64_t number) {
    Entry& entry = EntryOf(number);
    ++entry.uses;
    entry.next_free = first_free_;
    first_free_ = static_cast<uint32_t>(number);
  }
  // Of a number that Open gave.
  bool IsOpen(uint64_t number) const { return entries_[static_cast<uint32_t>(number) - 1].uses == number >> 32; }

 private:
  static constexpr uint32_t kNone = 0;  // places count from 1
  struct Entry {
    uint32_t uses = 0;  // that have ended
    uint32_t next_free = kNone;
  };
  Entry& EntryOf(uint64_t number) { return entries_[static_cast<uint32_t>(number) - 1]; }

  std::vector<Entry> entries_;
  uint32_t first_free_ = kNone;
};

}  // namespace gyre::internal

#endif  // GYRE_SYNC_INTERNAL_HANDLE_TABLE_H_
