#include "gyre/examples/server_flags.h"

#include <charconv>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace examples {
namespace {

constexpr int kLoopsMax = 1024;

// The texts of the flags, before anything is made of them.
struct Texts {
  std::string address = "127.0.0.1";
  std::string port = "7777";
  std::string loops = "1";
  std::string backend = "auto";
  std::string grace = "10s";

  std::string* Find(std::string_view name) {
    if (name == "--address") return &address;
    if (name == "--port") return &port;
    if (name == "--loops") return &loops;
    if (name == "--backend") return &backend;
    if (name == "--grace") return &grace;
    return nullptr;
  }
};

absl::Status Bad(std::string_view flag, std::string_view given, std::string_view expected) {
  return absl::InvalidArgumentError(std::string(flag) + " \"" + std::string(given) + "\": expected " +
                                    std::string(expected));
}

absl::StatusOr<int> ParseNumber(std::string_view flag, std::string_view text, int min, int max) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < min || number > max) {
    return Bad(flag, text, "a number from " + std::to_string(min) + " to " + std::to_string(max));
  }
  return number;
}

absl::Status ReadWhere(const Texts& texts, ServerFlags& flags) {
  const absl::StatusOr<int> port = ParseNumber("--port", texts.port, 0, 65535);
  if (!port.ok()) return port.status();
  const absl::StatusOr<gyre::Endpoint> where = gyre::Endpoint::Parse(texts.address, static_cast<uint16_t>(*port));
  if (!where.ok()) return Bad("--address", texts.address, "an IPv4 or IPv6 address");
  flags.where = *where;
  return absl::OkStatus();
}

absl::Status ReadBackend(const Texts& texts, ServerFlags& flags) {
  const absl::StatusOr<gyre::BackendKind> backend = gyre::ParseBackendKind(texts.backend);
  if (!backend.ok()) return Bad("--backend", texts.backend, "auto, epoll or io_uring");
  flags.run_options.set_backend(*backend).set_allow_environment(*backend == gyre::BackendKind::kAuto);
  return absl::OkStatus();
}

absl::Status ReadGrace(const Texts& texts, ServerFlags& flags) {
  absl::Duration grace;
  if (!absl::ParseDuration(texts.grace, &grace) || grace < absl::ZeroDuration()) {
    return Bad("--grace", texts.grace, "a duration such as 500ms, 10s, 1m or inf");
  }
  flags.grace = absl::ToChronoNanoseconds(grace);
  return absl::OkStatus();
}

absl::StatusOr<ServerFlags> Read(const Texts& texts) {
  ServerFlags flags;
  const absl::StatusOr<int> loops = ParseNumber("--loops", texts.loops, 1, kLoopsMax);
  if (!loops.ok()) return loops.status();
  flags.loops = *loops;
  for (const auto& read : {&ReadWhere, &ReadBackend, &ReadGrace}) {
    if (absl::Status status = read(texts, flags); !status.ok()) return status;
  }
  return flags;
}

}  // namespace

absl::StatusOr<ServerFlags> ParseServerFlags(int argc, const char* const* argv) {
  Texts texts;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--help") {
      ServerFlags flags;
      flags.help = true;
      return flags;
    }
    const size_t equals = argument.find('=');
    const std::string_view name = argument.substr(0, equals);
    std::string* const text = texts.Find(name);
    if (text == nullptr) return Bad("argument", argument, "--address, --port, --loops, --backend, --grace or --help");
    if (equals == argument.npos && ++i == argc) return Bad(name, "", "a value behind it");
    *text = equals == argument.npos ? argv[i] : argument.substr(equals + 1);
  }
  return Read(texts);
}

}  // namespace examples
