/* Federated Dynamic Averaging (Theologitis, Kalampalikis, Samoladas 2024, arXiv 2405.20988) and
 * FDA-Opt (arXiv 2505.04535): the clients of a round train on until an estimate of the variance
 * between them exceeds a threshold theta, and synchronise then.
 *
 * With u_k = w_k - w_start, the means weighted as the aggregation:
 *
 *     Var = mean |u_k|^2 - |mean u_k|^2 = mean |u_k - mean u|^2
 *
 * The first term needs a number from each client; |mean u|^2 is bounded from below by what else
 * the clients send: nothing (naive), their share along one direction (linear), a sketch, or the
 * updates themselves (exact). Groups of the adapter may have weights; |.|^2 is then the weighted
 * sum of their squared norms.
 *
 * FDA-Opt adapts theta at each synchronisation: target / (checks of the round) * Var, Var being
 * exact, since the server then has the updates; its first round is one check long. */
#ifndef WE_FDA_H
#define WE_FDA_H

#include "engine/client.h"
#include "engine/config.h"
#include "kernels/arena.h"

struct we_model;

/* What one client tells at a check, beside its sketch; all ranks know it from all. */
typedef struct we_fda_note {
    double norm;   /* weighted |u_k|^2 */
    double number; /* linear: its share of the direction */
    double weight; /* in the aggregation; 0: it is out */
    int64_t done;  /* its steps */
    bool at_end;   /* of all its steps */
    bool cut;      /* its last interval was shorter than the others */
} we_fda_note;

typedef struct we_fda {
    wk_ctx *ctx; /* NULL: fl.sync=fixed, and nothing below is there */
    const weft_config *cfg;
    int64_t numel; /* numbers of an adapter that count, P with gaps */
    int64_t size;
    int32_t clients; /* registered */
    double weight[WEFT_GROUPS];
    /* On the device; only what the estimator needs. */
    wk_tensor direction;                   /* (P) f32, linear */
    wk_tensor number;                      /* (K) f64: shares of the direction, or norms */
    wk_tensor sketch;                      /* (K, depth, width) f32 */
    wk_tensor entry, start, bucket, scale; /* of wk_table_sketch */
    wk_tensor sign, rot;                   /* of wk_drift */
    /* On the host. */
    we_fda_note *own;    /* (K) of the clients in the slots */
    we_fda_note *notes;  /* (C) of the cohort */
    double *shares;      /* (C) weights of the means, which add up to 1 */
    double *own_shares;  /* (K) */
    double *own_groups;  /* (K, groups) squared distances from the mean, */
    double *groups;      /* (C, groups) */
    double *numbers;     /* (K) scratch */
    float *sketches;     /* (K, depth, width) */
    int64_t *words;      /* (2, depth, width) exact sum of sketches */
    double *mean_sketch; /* (depth, width) */
    float *previous;     /* (P) the global adapter before the last round, linear */
    float *current;      /* (P) scratch, linear */
    uint8_t *seen;       /* (clients) took part before, where something travels once */
    weft_check *checks;  /* (max_checks) of the round under way */
    int32_t n_checks;
    bool not_finite, cut; /* in this round */
    double theta;         /* of the round under way, adaptive */
} we_fda;

/* Takes host memory for K slots and a cohort of C; nothing when fl.sync=fixed. */
WEFT_NODISCARD weft_status we_fda_describe(we_fda *f, wk_ctx *ctx, const weft_config *cfg,
                                           const struct we_model *model, int32_t slots,
                                           int32_t cohort, int32_t clients);
void we_fda_fini(we_fda *f); /* fine on a zeroed one */
uint64_t we_fda_host_bytes(const we_fda *f);
WEFT_NODISCARD weft_status we_fda_place(we_fda *f, wk_arena *run, int32_t slots);
/* Fills the tables of the sketch and uploads them. */
WEFT_NODISCARD weft_status we_fda_load(we_fda *f, wk_dev *dev, const struct we_model *model);

/* Bytes that a client sends at a check, and those of the sketch's hash functions. */
uint64_t we_fda_state_bytes(const we_fda *f);
uint64_t we_fda_once_bytes(const we_fda *f);

/* Checks of a round that a plan or a benchmark assumes. */
int64_t we_fda_usual_checks(const weft_config *cfg);

/* FDA-Opt's rule: theta after a round of so many checks that ended with this variance. */
double we_theta_next(int64_t target, int64_t checks, double variance);

/* ---- a round: begin, checks, end, remember, commit; nothing happens when fl.sync=fixed ---- */

WEFT_NODISCARD weft_status we_fda_begin(weft_engine *e);
/* After an interval of training: adds a check, whose `synchronise` says how it goes on. Clients
 * whose updates cannot be added up are marked dead. visits[k] is the k-th client dealt to this
 * rank. */
WEFT_NODISCARD weft_status we_fda_check(weft_engine *e, we_visit *visits, int32_t n);
/* Tells about the checks and the next theta. */
void we_fda_end(const weft_engine *e, weft_round_report *r);
/* Before the server's step, which changes the global adapter; and after it: the round counts. */
WEFT_NODISCARD weft_status we_fda_remember(weft_engine *e);
void we_fda_commit(weft_engine *e, const weft_round_report *r);

#endif
