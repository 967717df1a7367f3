#include "gyre/runtime/log.h"

#include <atomic>
#include <cstdio>

namespace gyre {
namespace {

void WriteToStderr(std::string_view line) {
  std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
}

// acquire/release: whoever sees the sink sees what its installer prepared for it.
constinit std::atomic<LogSink> g_sink{&WriteToStderr};

}  // namespace

LogSink SetLogSink(LogSink sink) {
  return g_sink.exchange(sink != nullptr ? sink : &WriteToStderr, std::memory_order_acq_rel);
}

void internal::Log(std::string_view line) { g_sink.load(std::memory_order_acquire)(line); }

}  // namespace gyre
