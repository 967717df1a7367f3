#include "gyre/bench/throughput_cell.h"

#include <charconv>
#include <cstdint>

#include "absl/strings/str_cat.h"

namespace gyre::bench {
namespace {

constexpr int kConnectionsMax = 100'000;
constexpr int kMessageBytesMax = 1 << 20;
constexpr int kDepthMax = 1024;
constexpr int kLoopsMax = 64;
constexpr std::int64_t kOutstandingBytesMax = 16 << 20;  // of one connection

// Takes a number from the front of `text`.
std::optional<int> TakeNumber(std::string_view& text, int max) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || number < 1 || number > max) return std::nullopt;
  text.remove_prefix(end - text.data());
  return number;
}

bool TakeSeparator(std::string_view& text, char separator) {
  if (text.empty() || text.front() != separator) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

std::string Cell::Name() const {
  const std::string load = absl::StrCat(connections, "x", message_bytes, "x", depth);
  return loops == 1 ? load : absl::StrCat(load, "@", loops);
}

std::optional<Cell> ParseCell(std::string_view text) {
  const std::optional<int> connections = TakeNumber(text, kConnectionsMax);
  if (!connections || !TakeSeparator(text, 'x')) return std::nullopt;
  const std::optional<int> message_bytes = TakeNumber(text, kMessageBytesMax);
  if (!message_bytes || !TakeSeparator(text, 'x')) return std::nullopt;
  const std::optional<int> depth = TakeNumber(text, kDepthMax);
  if (!depth) return std::nullopt;
  const std::optional<int> loops = TakeSeparator(text, '@') ? TakeNumber(text, kLoopsMax) : 1;
  if (!loops || !text.empty()) return std::nullopt;
  if (std::int64_t{*message_bytes} * *depth > kOutstandingBytesMax) return std::nullopt;
  return Cell{*connections, *message_bytes, *depth, *loops};
}

std::string CellLimits() {
  return absl::StrCat("CONNECTIONSxBYTESxDEPTH or ...@LOOPS, at most ", kConnectionsMax, " connections, ",
                      kMessageBytesMax, " bytes, depth ", kDepthMax, ", ", kLoopsMax, " loops, and ",
                      kOutstandingBytesMax, " bytes outstanding on each connection");
}

std::vector<Cell> DefaultCells() {
  std::vector<Cell> cells;
  for (int connections : {1, 64, 1024}) {
    for (int message_bytes : {64, 16 * 1024}) {
      for (int depth : {1, 16}) cells.push_back({connections, message_bytes, depth});
    }
  }
  for (int connections : {64, 1024}) {
    for (int depth : {1, 16}) cells.push_back({connections, 64, depth, /*loops=*/2});
  }
  return cells;
}

std::vector<Cell> ShortCells() {
  return {{1, 64, 1}, {16, 64, 16}, {64, 16 * 1024, 1}, {4, 16 * 1024, 64}, {16, 16 * 1024, 4, /*loops=*/2}};
}

}  // namespace gyre::bench
