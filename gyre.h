// All of gyre that a program uses. Each header can be included on its own, too.
#ifndef GYRE_GYRE_H_
#define GYRE_GYRE_H_

#include "gyre/io/buffer.h"
#include "gyre/io/endpoint.h"
#include "gyre/io/serve.h"
#include "gyre/io/signal_watcher.h"
#include "gyre/io/tcp_listener.h"
#include "gyre/io/tcp_options.h"
#include "gyre/io/tcp_stream.h"
#include "gyre/runtime/as_outcome.h"
#include "gyre/runtime/errors.h"
#include "gyre/runtime/leaf.h"
#include "gyre/runtime/log.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/outcome.h"
#include "gyre/runtime/run.h"
#include "gyre/runtime/scope.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/stop_reason.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/task_handle.h"
#include "gyre/runtime/time.h"
#include "gyre/runtime/try.h"
#include "gyre/runtime/when_all.h"
#include "gyre/runtime/with_scope.h"

#endif  // GYRE_GYRE_H_
