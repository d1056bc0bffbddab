/* The engine's state, shared by the files that run a job: client.c, round.c, eval.c, baselines.c,
 * plan.c and api.c. Memory comes from three arenas, taken in engine_open.c: base (frozen weights),
 * run (global adapter, server state, slots) and step (one pack's activations). */
#ifndef WE_ENGINE_H
#define WE_ENGINE_H

#include "engine/client.h"
#include "engine/cohort.h"
#include "engine/config.h"
#include "engine/fda.h"
#include "engine/models/encoder.h"
#include "engine/pack.h"
#include "engine/pager.h"
#include "engine/ranks.h"
#include "engine/schedule.h"
#include "engine/slots.h"
#include "engine/work.h"
#include "kernels/exact_sum.h"

#include <math.h>

/* The server's side: the global adapter and what the server optimizer keeps. */
typedef struct we_server {
    wk_tensor x;      /* (1, P) f32: the global adapter, as one slot for evaluation */
    wk_tensor acc;    /* (2, P) i64: running sum of weighted updates, exact (exact_sum.h) */
    wk_tensor mean;   /* (P) f64: what was read from it */
    wk_tensor weight; /* (K) f64, of the wave's updates */
    wk_tensor m, v;   /* (P) f64, as the strategy needs */
    wk_tensor range;  /* (S+1) i32: where each view of the adapter begins, and the end */
    wk_tensor sqdist; /* (K, S) f64: squared norms by view, of the wave's updates */
} we_server;

/* When steps of a benchmark ended on the device. */
#define WE_STEP_CLOCK_MAX 65536
typedef struct we_step_clock {
    double *end; /* (n) seconds, wk_clock */
    int64_t n;
} we_step_clock;

struct weft_engine {
    wk_ctx ctx;
    wk_dev *dev;
    const weft_config *cfg;
    const weft_rows *train, *test;
    const weft_partition *partition;
    weft_hooks hooks;
    const wk_backend *backend; /* a plugin's, or NULL, */
    const char *backend_note;  /* then why */
    we_model model;
    wk_arena base, run, step;
    we_pack_limits limits;
    we_pack pack;
    we_batch batch;
    we_acts acts;
    we_slots slots; /* slots.n 0: opened for evaluation only */
    we_pager pager; /* of the clients' optimizer state, when it is kept */
    we_server server;
    we_fda fda;
    we_ranks ranks;
    double *sqdist;  /* (slots, views) host copy */
    double *weights; /* (slots) of the wave's updates */
    int32_t cohort_size;
    int32_t *cohort;                 /* (cohort_size) ascending client ids */
    int32_t *next_cohort;            /* (cohort_size), of the round to come */
    weft_client_report *reports;     /* (cohort_size), */
    weft_client_report *own_reports; /* of the clients dealt to this rank, in their order */
    we_visit *visits;                /* (slots) */
    int64_t rounds_done, local_steps_total;
    int64_t round_epoch; /* batches of an epoch now, where client.epoch_length ties them */
    double visit_share;  /* of a visit's steps that a plan looks at; 0: all */
    weft_wire wire_total;
    weft_swap swap_told;    /* in reports so far */
    we_step_clock *clock;   /* of a benchmark that is running, or NULL */
    we_work work;           /* training since it was last cleared */
    weft_identity identity; /* base 0: not yet computed */
    char device_reason[WEFT_DEVICE_REASON];
};

/* Reports progress; WEFT_E_STOPPED when the host wants to stop. */
WEFT_NODISCARD weft_status we_tick(weft_engine *e, weft_phase phase, int64_t done, int64_t total);

/* Rounds of a plan and of a benchmark do not count, and are as long as rounds usually are. */
static inline bool we_engine_rehearses(const weft_engine *e) {
    return e->dev->dry || e->clock;
}

static inline we_positions we_engine_positions(const weft_engine *e) {
    we_positions p = {e->model.hp.pos_offset, e->model.hp.pad_id};
    return p;
}

/* Sets e->round_epoch: what client.epoch_length ties the epochs of e->cohort to. */
void we_round_tie_epochs(weft_engine *e);
/* Steps of a visit of a client with so many rows in this round, at most. */
int64_t we_round_steps(const weft_engine *e, int64_t n_rows);

/* Whether an update of this squared norm may be added up with this weight. */
static inline bool we_is_usable(double sqnorm, double weight) {
    return isfinite(sqnorm) && weight * sqrt(sqnorm) < WK_SUM_LIMIT;
}

/* Adds the wave's updates to e->server.acc, by weights (n) on the host; those of weight 0 are left
 * out. */
WEFT_NODISCARD weft_status we_add_updates(weft_engine *e, int32_t n, const double *weights);

/* Squared distances of slots [0, n) from a point (P), f32 or f64, by view: into e->sqdist. */
WEFT_NODISCARD weft_status we_sqdist(weft_engine *e, int32_t n, wk_tensor point);

/* The ledger of a round whose clients and checks are known (wire.c). */
void we_count_wire(weft_engine *e, weft_round_report *r);
void we_wire_add(weft_wire *sum, const weft_wire *w);

/* Uploads the pack and runs one pass: outputs in acts; with adapters logits and losses, without
 * pooled features; when training also every adapter gradient, added to adapters->g. */
WEFT_NODISCARD weft_status we_engine_pass(weft_engine *e, const we_adapters *adapters, bool train);

/* A round with the costs of its phases: seconds on a real device, FLOPs and bytes on a dry one.
 * Without `replays` passes are issued piece by piece, which is slower, and shown by phase. */
WEFT_NODISCARD weft_status we_profile_round(weft_engine *e, bool replays, weft_profile *out,
                                            weft_round_report *report);

/* Forward passes over places [begin, end) of a list of rows, packed, in order; NULL: all rows.
 * After each pack `take` sees which rows [first, first+count) of the list it held; outputs are in
 * acts. `adapters` as in we_pass. */
typedef weft_status (*we_take)(void *ud, weft_engine *e, int64_t first, int64_t count);
WEFT_NODISCARD weft_status we_forward_rows(weft_engine *e, const weft_rows *data,
                                           const int32_t *rows, int64_t begin, int64_t end,
                                           const we_adapters *adapters, weft_phase phase,
                                           we_take take, void *ud);

/* Metrics of model outputs (n, C) against the rows' labels or targets. */
WEFT_NODISCARD weft_status we_score(weft_engine *e, const weft_rows *data, const int32_t *rows,
                                    int64_t n, const float *outputs, weft_metrics *out);

/* Sizes from the rows: the largest micro-batch of any client, the longest and shortest row. */
WEFT_NODISCARD weft_status we_plan_limits(weft_engine *e);

/* Opens the device that run.* asks for. WEFT_E_DEVICE when it asks for a GPU and there is none. */
WEFT_NODISCARD weft_status we_engine_open_device(weft_engine *e, wk_dev **out);
/* Take memory and lay everything out on e->dev; with a dry device only addresses are counted. */
WEFT_NODISCARD weft_status we_engine_place(weft_engine *e);
/* Everything of an open except opening the device and loading weights. */
WEFT_NODISCARD weft_status we_engine_describe(weft_engine *e, const weft_engine_options *options);
/* A zeroed engine from the options' allocator; weft_engine_close takes it in any state after
 * describe. */
WEFT_NODISCARD weft_status we_engine_new(weft_engine **out, const weft_engine_options *options,
                                         weft_error *err);

#endif
