/* A run folder read back, for people: whatever is there of a run that ended, was stopped, died or
 * still goes on. Files of any length are read line by line into curves of bounded size; memory is
 * that of the curves and 20 bytes a client. */
#ifndef WH_RUN_VIEW_H
#define WH_RUN_VIEW_H

#include "engine/weft.h"
#include "host/curve.h"
#include "host/wire_kinds.h"

#include <jansson.h>

enum { WH_VIEW_EVALS = 64 };

typedef struct wh_view_client { /* of all rounds */
    uint64_t down, up;          /* bytes */
    uint32_t visits;
} wh_view_client;

typedef struct wh_span {
    double lo, hi; /* NaN: nothing yet */
} wh_span;

typedef struct wh_run_view {
    char *folder, *name;
    /* Whole files; NULL when they are not there. */
    json_t *summary, *plan, *partition, *env;
    json_t *baselines; /* the last event of this kind */
    json_t *failure;   /* likewise, unless the run went on after it */
    bool has_ended;    /* nothing after its end, stop or failure; a resumed run may not have */
    weft_config *config;
    char *config_text, *command;
    /* metrics.jsonl and timing.jsonl */
    int64_t rounds; /* of the last line; 0: none */
    bool is_regression;
    const char *metric_name; /* "accuracy" */
    wh_curve *loss;          /* training loss of the round */
    wh_curve *eval_loss, *metric;
    wh_curve *tokens_per_s;
    wh_curve *client_loss, *update_norm; /* bands over the clients of a round, from clients.csv */
    wh_curve *mean_norm;
    /* Of the last check of each round, and their number; no points where rounds have none. */
    wh_curve *estimate, *variance, *theta, *checks;
    wh_curve *check_estimate, *check_variance, *check_theta; /* of every check, from checks.csv */
    json_t *eval[WH_VIEW_EVALS]; /* lines with an evaluation, at even distances from the first */
    int n_evals;
    json_t *last_eval; /* NULL: none */
    double bytes_down, bytes_up, seconds;
    double bytes[WH_WIRE_KINDS]; /* by kind; NaN: the files do not tell */
    int64_t local_steps, barriers, n_checks;
    wh_span round_down, round_up;                         /* bytes of a round */
    int64_t tokens, updates, skipped, peak_rss, anon_rss; /* memory: largest of any round */
    /* clients.csv */
    int32_t n_clients;
    wh_view_client *client;       /* (n_clients); NULL when not read */
    wh_span visit_down, visit_up; /* bytes of a client in a round */
} wh_run_view;

/* `path`: a run folder, or its summary.json. with_clients: read clients.csv and checks.csv as well.
 * *out is *own*ed. WEFT_E_DATA: not a run folder (neither metrics.jsonl nor summary.json), or a
 * line that cannot be read, named; a last line that was cut off is left out. */
WEFT_NODISCARD weft_status wh_run_view_read(wh_run_view **out, const char *path, bool with_clients,
                                            weft_error *err);
void wh_run_view_free(wh_run_view *view);

/* A value of a baseline; NaN when there is none. part: "majority",
 * "linear_probe". */
double wh_run_view_baseline(const wh_run_view *view, const char *part, const char *metric);
/* Rounds that the run was to have; 0 when that is not known. */
int64_t wh_run_view_planned(const wh_run_view *view);

#endif
