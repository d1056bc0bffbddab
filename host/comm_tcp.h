/* The exchanges of ranks (weft_comm) over TCP, with nothing but sockets: allgathers in log2 n steps
 * in which all send and receive (Bruck et al. 1997), small sums over a binomial tree, large ones
 * around a ring (ring.h). Of an allgather no rank sends more than all blocks. A rank that dies ends
 * an exchange with the watch's verdict. */
#ifndef WEFT_HOST_COMM_TCP_H
#define WEFT_HOST_COMM_TCP_H

#include "host/rank_watch.h"

typedef struct wh_tcp wh_tcp;

/* Connects the ranks that the watch brought together; the watch must stay open. */
WEFT_NODISCARD weft_status wh_tcp_open(wh_tcp **out, wh_watch *watch, const wh_launch *launch,
                                       double timeout, weft_error *err);
const weft_comm *wh_tcp_comm(const wh_tcp *tcp);
void wh_tcp_close(wh_tcp *tcp); /* fine on NULL */

#endif
