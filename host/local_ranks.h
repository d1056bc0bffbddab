/* Ranks that this process starts itself, on this host: `weft train --ranks n`. It is rank 0; the
 * others are the same program with the same arguments and the variables of torchrun, and die with
 * it. */
#ifndef WEFT_HOST_LOCAL_RANKS_H
#define WEFT_HOST_LOCAL_RANKS_H

#include "host/launch.h"

#include <sys/types.h>

typedef struct wh_local_ranks {
    int32_t n;    /* started, so ranks 1 to n */
    pid_t *pid;   /* (n), 0: has ended */
    int listener; /* at which rank 0 listens; -1: none, or given away */
} wh_local_ranks;

/* Starts size - 1 of them and fills *launch for rank 0. Close with wh_local_ranks_end. */
WEFT_NODISCARD weft_status wh_local_ranks_start(wh_local_ranks *out, wh_launch *launch,
                                                int32_t size, char *const *argv, weft_error *err);
/* Whether all live, as wh_watch_options.can_come. */
bool wh_local_ranks_live(void *ud, char *why, size_t n);
/* Waits a moment for them to end by themselves; who still lives then is killed. Fine on a zeroed
 * one. */
void wh_local_ranks_end(wh_local_ranks *local);

#endif
