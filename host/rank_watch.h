/* How ranks know of each other: each keeps a connection to rank 0, over which a thread of its own
 * says twice a second that it lives and what it does. Rank 0 learns of one that was killed (its
 * connection closes), stopped or cut off (it is silent for too long) or that failed (it says why),
 * and tells all the others, so that none waits for ever for the dead. Signals that ask a rank to
 * stop travel the same way. */
#ifndef WEFT_HOST_RANK_WATCH_H
#define WEFT_HOST_RANK_WATCH_H

#include "host/launch.h"

#define WH_HOST_NAME       64
#define WH_FIRST_ADDRESSES 12

/* A rank, as all know it. */
typedef struct wh_member {
    char address[64];        /* at which others reach it; "": where they reach rank 0 */
    char host[WH_HOST_NAME]; /* its name for people */
    int32_t port;            /* at which it listens for the others */
} wh_member;

typedef struct wh_watch wh_watch;

typedef struct wh_watch_options {
    const wh_launch *launch;
    double timeout;       /* seconds after which a silent rank is lost */
    double start_timeout; /* seconds in which all ranks must have come */
    int listener;         /* of rank 0, when it listens already (it is then the watch's); else -1 */
    /* Where to try to reach rank 0, in this order, where it has told; else launch->host alone. */
    const char (*address)[64];
    int32_t n_addresses; /* at most WH_FIRST_ADDRESSES */
    /* Asked now and then while rank 0 waits for the others; false and a line: they cannot come. */
    bool (*can_come)(void *ud, char *why, size_t n);
    void *ud;
} wh_watch_options;

/* Waits until all ranks have come. WEFT_E_COMM names those that have not, or says why
 * rank 0 cannot listen. Close with wh_watch_close. */
WEFT_NODISCARD weft_status wh_watch_open(wh_watch **out, const wh_watch_options *options,
                                         weft_error *err);
/* Say goodbye. With WEFT_OK or WEFT_E_STOPPED others wait until rank 0 has said so too, and get its
 * failure if it fails meanwhile; any other status, with its text (not
 * NULL), ends the job on all ranks. */
WEFT_NODISCARD weft_status wh_watch_close(wh_watch *w, weft_status status, const char *text,
                                          weft_error *err);

const wh_member *wh_watch_member(const wh_watch *w, int32_t rank);
/* For the connections among ranks: rank 0's is the one at which the others came. */
int wh_watch_listener(const wh_watch *w);

/* WEFT_OK as long as all is well; else what ended the job, the same on all ranks. */
WEFT_NODISCARD weft_status wh_watch_verdict(wh_watch *w, weft_error *err);
/* A descriptor that is readable once there is a verdict. */
int wh_watch_wake(const wh_watch *w);
/* Waits for a verdict that must be on its way, as after a connection that closed. */
WEFT_NODISCARD weft_status wh_watch_await(wh_watch *w, weft_error *err);

/* What this rank does, for the others' messages when it is lost. */
void wh_watch_phase(wh_watch *w, const char *text);
/* Tell all that this rank caught a signal that asks it to stop. */
void wh_watch_stop(wh_watch *w, int signal);
int wh_watch_signal(wh_watch *w); /* that any rank has told of; 0: none */

#endif
