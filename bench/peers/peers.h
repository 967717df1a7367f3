// The servers that gyre is measured against; each is one file of this folder.
#ifndef GYRE_BENCH_PEERS_PEERS_H_
#define GYRE_BENCH_PEERS_PEERS_H_

#include "gyre/bench/peers/echo_server.h"

namespace gyre::bench {

void RunGyreEcho(const ServeRequest& request);
void RunRawEpollEcho(const ServeRequest& request);
void RunAsioCoroutineEcho(const ServeRequest& request);
void RunAsioCallbackEcho(const ServeRequest& request);
void RunAsioPoolEcho(const ServeRequest& request);
void RunLibuvEcho(const ServeRequest& request);

}  // namespace gyre::bench

#endif  // GYRE_BENCH_PEERS_PEERS_H_
