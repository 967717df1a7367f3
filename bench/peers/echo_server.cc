#include "gyre/bench/peers/echo_server.h"

#include <unistd.h>

#include <cstdio>
#include <string>
#include <system_error>

namespace gyre::bench {

void ServerFailed(std::string_view server, std::string_view what, std::string_view why) {
  std::string line = "\nthroughput: server ";
  line.append(server).append(": ").append(what).append(": ").append(why).append("\n");
  std::fflush(stdout);  // the rows measured so far stay readable
  std::fputs(line.c_str(), stderr);
  _exit(1);  // not exit(): other threads are still running
}

void ServerFailed(std::string_view server, std::string_view what, int error_number) {
  ServerFailed(server, what, std::generic_category().message(error_number));
}

}  // namespace gyre::bench
