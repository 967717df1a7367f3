#include "shout_server.h"

#include <optional>
#include <string>

#include "io/buffer.h"
#include "runtime/task.h"

namespace shout {

gyre::Task<absl::Status> Answer(gyre::TcpStream peer) {
  Buffer lines;
  for (;;) {
    gyre::Buffer chunk = co_await gyre::Try(co_await peer.Receive());
    if (chunk.empty()) co_return absl::OkStatus();
    lines.Add(chunk.string_view());
    while (std::optional<std::string> line = lines.NextLine()) {
      const std::string loud = Task(*line).Run() + "\n";
      co_await gyre::Try(co_await peer.Send(loud));
    }
  }
}

}  // namespace shout
