/* Several engines as one (weft_comm): the cohort dealt to ranks, and the exchanges of a round.
 *
 * Every rank draws the same cohort and deals it in the same way, trains its own clients and then
 * knows what all have done: reports and numbers of clients travel as they are and are added up in
 * cohort order; sums of vectors are whole numbers (kernels/exact_sum.h). So every rank takes the
 * server's step by itself, and neither the number of ranks nor the deal changes a bit.
 *
 * Every exchange begins with a meeting, in which a rank that failed says so. After a failure
 * elsewhere a rank returns the other's status and text. */
#ifndef WE_RANKS_H
#define WE_RANKS_H

#include "engine/weft.h"
#include "kernels/dev.h"

typedef struct we_ranks {
    const weft_comm *comm; /* NULL: alone */
    int32_t size, rank;
    int32_t cap;         /* clients of a rank in a round, at most */
    bool have_homes;     /* a client always trains on the same rank, which keeps its state */
    int32_t n_own;       /* dealt to this rank in this round, */
    int32_t *own_at;     /* (cap) their places in the cohort, ascending, */
    int32_t *own;        /* (cap) and ids */
    int32_t *rank_of;    /* (cohort) by place */
    int64_t *cost;       /* (cohort) scratch */
    int32_t *order;      /* (cohort) scratch */
    unsigned char *send; /* (cap, item) scratch, */
    unsigned char *all;  /* (size, cap, item) of all ranks */
    size_t item;         /* the largest */
    int64_t *words;      /* (2 P) scratch of sums */
    int64_t n_words;
    struct we_greeting *hall; /* (size) scratch of meetings */
    bool parted;              /* a failure is known everywhere, or a rank cannot be reached */
    bool on_devices;          /* these sum tensors between them (ranks_join.c) */
    char sums[320];           /* weft_engine_info */
} we_ranks;

/* First of all: from then on the rank can be met. */
WEFT_NODISCARD weft_status we_ranks_open(we_ranks *r, wk_ctx *ctx, const weft_comm *comm);

/* Takes memory for a cohort, items of up to `item` bytes and vectors of `adapter` numbers.
 * `at_home`: how many clients there are, when each trains on one rank alone; else 0. */
WEFT_NODISCARD weft_status we_ranks_describe(we_ranks *r, wk_ctx *ctx, int32_t cohort,
                                             int32_t at_home, size_t item, int64_t adapter);
void we_ranks_fini(we_ranks *r, wk_ctx *ctx); /* fine on a zeroed one */

/* The end of opening, with how it went on this rank: where weft_comm asks for it, whether all are
 * open, and whether their devices sum by themselves, which is then tried. Leaves it to the host
 * when a rank cannot; a failure is everybody's. */
WEFT_NODISCARD weft_status we_ranks_join(weft_engine *e, weft_status st);

uint64_t we_ranks_host_bytes(const we_ranks *r); /* that it took */

/* Deals e->cohort: no rank more than `cap`, the longest visits first, each to the rank with the
 * least to do (Graham 1969); or each client to its home. */
void we_ranks_deal(weft_engine *e);
/* Where clients have homes, and on one rank: whether this client's is here. */
bool we_ranks_is_home(const we_ranks *r, int32_t client);
/* Clients of n that are at home on one rank, at most. */
int32_t we_ranks_homes(const we_ranks *r, int32_t n);

/* All ranks are here and well: else the status of the first that is not, text included. */
WEFT_NODISCARD weft_status we_ranks_meet(weft_engine *e, weft_status st);
/* in (bytes) of every rank into out (size, bytes), by rank, `in` being its place in out or apart.
 * Alone: nothing happens, so that `in` must be out. */
WEFT_NODISCARD weft_status we_ranks_allgather(weft_engine *e, const void *in, size_t bytes,
                                              void *out);
/* own (n_own, bytes) of every rank into all (cohort, bytes), in cohort order. They may overlap only
 * when they are the same and this rank is alone. */
WEFT_NODISCARD weft_status we_ranks_gather(weft_engine *e, const void *own, size_t bytes,
                                           void *all);
/* words += those of all other ranks. */
WEFT_NODISCARD weft_status we_ranks_sum(weft_engine *e, int64_t *words, int64_t n);
/* The same for a tensor of whole numbers on the device. */
WEFT_NODISCARD weft_status we_ranks_sum_tensor(weft_engine *e, wk_tensor t);

#endif
