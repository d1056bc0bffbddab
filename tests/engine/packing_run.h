/* A small federated run whose every number can be compared: what a client's trajectory may not
 * depend on is proved by running it twice. Plain C, so that device programs use it as well. */
#ifndef WEFT_TESTS_PACKING_RUN_H
#define WEFT_TESTS_PACKING_RUN_H

#include "kernels/dev.h"

#define PACKING_CLIENTS 17
#define PACKING_ROUNDS  2

typedef struct packing_setup {
    const char *device;        /* run.device */
    const wk_backend *backend; /* for run.device=cuda */
    const char *slots, *threads, *pack_tokens;
    const char *const *more; /* further options: "key", "value", … */
    size_t n_more;
    const struct weft_comm *comm; /* the rank that this run is; NULL: alone */
    int rounds_before;            /* that are run first, and seen only by what they leave */
} packing_setup;

typedef struct packing_outcome {
    float *adapter; /* (size) */
    int64_t size;
    double loss[PACKING_ROUNDS][PACKING_CLIENTS], last[PACKING_ROUNDS][PACKING_CLIENTS],
        norm[PACKING_ROUNDS][PACKING_CLIENTS];
    int32_t n_checks[PACKING_ROUNDS];                                                 /* of FDA, */
    double estimate[PACKING_ROUNDS], variance[PACKING_ROUNDS], theta[PACKING_ROUNDS]; /* the last */
    double eval_loss, accuracy;
    uint64_t wire_down, wire_up;
    int64_t packs;
    char sums[320]; /* weft_engine_info; not compared */
} packing_outcome;

/* Ends the program with a line on stderr when a call fails. Free the adapter. */
packing_outcome packing_run(const packing_setup *setup);
/* The same bits everywhere; else a line on stderr that begins with `what`. */
bool packing_same(const char *what, const packing_outcome *a, const packing_outcome *b);

#endif
