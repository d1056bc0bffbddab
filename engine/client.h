/* Local training of up to K clients at once, in lock step: step t of every client happens together,
 * packed into as few passes over the frozen base as fit. A client's numbers do not depend on who
 * shares its pack: its batches come from its own streams, its micro-batches stay whole, its sums
 * run in its own rows' order. */
#ifndef WE_CLIENT_H
#define WE_CLIENT_H

#include "engine/weft.h"

#include <stdint.h>

/* One client's visit to a slot. */
typedef struct we_visit {
    int32_t client;
    const int32_t *rows; /* the rows it holds */
    int64_t n_rows;
    int64_t steps;  /* optimizer steps to do, at most */
    int64_t done;   /* of them so far */
    int64_t until;  /* where the training under way stops */
    int32_t *order; /* (largest client) permutation of the current epoch */
    int64_t epoch;  /* epoch that `order` is for; -1: none yet */
    int64_t examples, tokens;
    double loss_sum, last_loss;
    int32_t checks; /* of the variance that it answered */
    bool cut;       /* the last interval of training was shorter than the others */
    bool dead;      /* its gradient or its update became non-finite */
} we_visit;

/* Its weight in the aggregation, before they are made to add up to 1. */
double we_visit_weight(const weft_config *cfg, const we_visit *v);
/* Batches in an epoch of a client with n rows, by itself. */
int64_t we_own_epoch(const weft_config *cfg, int64_t n_rows);
/* Optimizer steps of a client with `epoch` batches in an epoch: between two checks of the variance,
 * or in a round without any: local_steps, or local_epochs passes. */
int64_t we_visit_interval(const weft_config *cfg, int64_t epoch);
/* In a round, at most. */
int64_t we_visit_steps(const weft_config *cfg, int64_t epoch);

/* Puts visits[0..n) into slots [0, n): the global adapter, and their optimizer state. */
WEFT_NODISCARD weft_status we_wave_begin(weft_engine *e, const we_visit *visits, int32_t n);
/* Trains each from its `done` steps to `until`; fills their counts and losses. *packs grows by the
 * passes over the base; done and total count client steps of the round for progress. */
WEFT_NODISCARD weft_status we_wave_run(weft_engine *e, we_visit *visits, int32_t n, int64_t round,
                                       double lr, int64_t *packs, int64_t *done, int64_t total);

#endif
