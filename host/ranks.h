/* The ranks of a training job, from this one's point of view: who started them, how they exchange,
 * what they must agree on. Every function but the plain questions is called by all ranks alike;
 * a NULL wh_ranks is a job of one, where they do nothing. */
#ifndef WEFT_HOST_RANKS_H
#define WEFT_HOST_RANKS_H

#include "host/launch.h"

typedef struct wh_ranks wh_ranks;

typedef struct wh_ranks_options {
    int32_t wanted;    /* --ranks: start so many here; 0: as launched */
    char *const *argv; /* of this program, for those started here */
    double timeout;    /* run.comm_timeout, seconds */
    wh_launch launch;  /* wh_launch_find */
} wh_ranks_options;

/* *out is NULL when this process is alone. WEFT_E_CONFIG: --ranks does not fit the launcher;
 * WEFT_E_COMM: not all came. */
WEFT_NODISCARD weft_status wh_ranks_open(wh_ranks **out, const wh_ranks_options *options,
                                         weft_error *err);
/* How this rank ended, and, when well, how the others did: rank 0's failure is everybody's. Frees;
 * fine on NULL. */
WEFT_NODISCARD weft_status wh_ranks_close(wh_ranks *ranks, weft_status status, const char *text,
                                          weft_error *err);

const weft_comm *wh_ranks_comm(const wh_ranks *ranks); /* NULL: alone */

/* What this rank did through its weft_comm since it was opened. */
typedef struct wh_exchanges {
    int64_t n;
    double seconds; /* in them, waiting for slower ranks included */
    int64_t bytes;  /* that it gave into them; what travels is up to what carries them */
} wh_exchanges;
wh_exchanges wh_ranks_exchanges(const wh_ranks *ranks);
/* Rank 0, which writes the run folder and talks to people; a job of one has only that. */
bool wh_ranks_is_first(const wh_ranks *ranks);
int32_t wh_ranks_size(const wh_ranks *ranks);
int32_t wh_ranks_rank(const wh_ranks *ranks);  /* 0 for a job of one */
int32_t wh_ranks_local(const wh_ranks *ranks); /* this one's number on its host */
/* "4 ranks on 2 hosts, tcp, started by srun"; "" for one. */
const char *wh_ranks_text(const wh_ranks *ranks);
/* Whether another rank says what `err` says, so that this one need not: of failures, the rank that
 * failed and rank 0 tell. */
bool wh_ranks_is_told(const wh_ranks *ranks, const weft_error *err);
/* Whether rank 0 is what was lost: then it tells nothing. */
bool wh_ranks_lost_first(const weft_error *err);

/* The status of the first rank that does not call with WEFT_OK, everywhere but where one failed
 * itself; a mere stop comes last. */
WEFT_NODISCARD weft_status wh_ranks_agree(wh_ranks *ranks, weft_status status, weft_error *err);
/* data (bytes) of rank 0 into that of all. */
WEFT_NODISCARD weft_status wh_ranks_share(wh_ranks *ranks, void *data, size_t bytes,
                                          weft_error *err);

/* While work goes on: false when it has to end, because a rank caught a signal (`signal`: that of
 * this one, 0: none) or is lost. `phase` is for the others' messages. */
bool wh_ranks_go_on(wh_ranks *ranks, int signal, const char *phase);
int wh_ranks_signal(const wh_ranks *ranks); /* that any rank caught; 0: none */
/* What ended the job, when a rank failed or was lost; then `status` does not count. */
WEFT_NODISCARD weft_status wh_ranks_verdict(wh_ranks *ranks, weft_status status, weft_error *err);

/* ---- what must be the same on all (rank_check.c) ---- */

/* This program and the job's options, but where files lie and how many threads compute. */
WEFT_NODISCARD weft_status wh_ranks_check_config(wh_ranks *ranks, const weft_config *config,
                                                 weft_error *err);
/* Base, rows, partition, and what computes in which dtype: two kinds of processor may differ in
 * last bits, and the ranks would drift apart. */
WEFT_NODISCARD weft_status wh_ranks_check_engine(wh_ranks *ranks, weft_engine *engine,
                                                 weft_error *err);
/* Where training goes on from: round and global adapter. */
WEFT_NODISCARD weft_status wh_ranks_check_start(wh_ranks *ranks, weft_engine *engine,
                                                weft_error *err);

/* Ranks on one host that were given the same cores share them out: each keeps its part for all
 * threads that it makes from now on (rank_cpus.c). One that does not want to, since run.threads
 * says how many it has, keeps what it was given. */
WEFT_NODISCARD weft_status wh_ranks_share_cores(wh_ranks *ranks, bool wants, weft_error *err);
/* The cores [*first, *end) of `all` that the i-th of n such ranks keeps: as even a part as there
 * is; when there are more ranks than cores, one that others keep too. */
void wh_ranks_core_part(int all, int32_t i, int32_t n, int *first, int *end);

#endif
