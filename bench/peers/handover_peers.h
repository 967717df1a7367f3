// How each library hands over; one file of this folder for each.
//
// Calls:    chains of calls to another loop, each with its answer.
// Messages: to another loop, one way; it ends when all have run.
// Offload:  chains of jobs that run on a pool and come back to the loop. The job only counts.
#ifndef GYRE_BENCH_PEERS_HANDOVER_PEERS_H_
#define GYRE_BENCH_PEERS_HANDOVER_PEERS_H_

#include "gyre/bench/peers/handover.h"

namespace gyre::bench {

void RunGyreCalls(HandoverRun& run);
void RunGyreMessages(HandoverRun& run);
void RunGyreOffload(HandoverRun& run);

void RunRawCalls(HandoverRun& run);
void RunRawMessages(HandoverRun& run);
void RunRawOffload(HandoverRun& run);

void RunAsioCalls(HandoverRun& run);
void RunAsioMessages(HandoverRun& run);
void RunAsioOffload(HandoverRun& run);

}  // namespace gyre::bench

#endif  // GYRE_BENCH_PEERS_HANDOVER_PEERS_H_
