// Where gyre writes the few lines it has to say on its own: one replaceable function, stderr by default.
//
// Thread-safety: any thread; the sink must be too.
#ifndef GYRE_RUNTIME_LOG_H_
#define GYRE_RUNTIME_LOG_H_

#include <string_view>

namespace gyre {

using LogSink = void (*)(std::string_view line);

// `sink` gets whole lines without the newline; null restores stderr. Returns the one before.
LogSink SetLogSink(LogSink sink);

namespace internal {
void Log(std::string_view line);
}

}  // namespace gyre

#endif  // GYRE_RUNTIME_LOG_H_
