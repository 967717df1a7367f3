// The server's own "io/buffer.h": gyre's is "gyre/io/buffer.h".
#ifndef SHOUT_IO_BUFFER_H_
#define SHOUT_IO_BUFFER_H_

#include <optional>
#include <string>
#include <string_view>

namespace shout {

// Puts bytes together to lines.
class Buffer {
 public:
  void Add(std::string_view bytes) { bytes_ += bytes; }

  // The next whole line, without its end.
  std::optional<std::string> NextLine() {
    const size_t end = bytes_.find('\n');
    if (end == bytes_.npos) return std::nullopt;
    std::string line = bytes_.substr(0, end);
    bytes_.erase(0, end + 1);
    return line;
  }

 private:
  std::string bytes_;
};

}  // namespace shout

#endif  // SHOUT_IO_BUFFER_H_
