// A server that gives each line back, louder.
#ifndef SHOUT_SHOUT_SERVER_H_
#define SHOUT_SHOUT_SERVER_H_

#include "gyre/gyre.h"

namespace shout {

gyre::Task<absl::Status> Answer(gyre::TcpStream peer);

}  // namespace shout

#endif  // SHOUT_SHOUT_SERVER_H_
