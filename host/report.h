/* What a run says about itself: metrics as JSON and the table at its end. summary.json is made from
 * the same struct, and `weft compare` reads it back. */
#ifndef WEFT_HOST_REPORT_H
#define WEFT_HOST_REPORT_H

#include "host/text.h"

#include <jansson.h>

typedef struct wh_summary {
    const char *name, *folder;
    const char *model, *architecture, *strategy;
    const char *backend, *backend_note, *dtype, *device_reason; /* as in weft_engine_info */
    const char *ranks;     /* what works together (wh_ranks_text); NULL or "": one process */
    const char *partition; /* kind, for people */
    uint64_t seed;
    int32_t num_clients, clients_per_round;
    int64_t rounds_planned, rounds_done;
    int64_t total_steps; /* fl.total_steps; 0: none */
    int64_t train_rows, test_rows;
    int64_t base_parameters, adapter_numel;
    int64_t steps, examples, tokens;
    int64_t local_steps; /* of the client with the most, over the rounds */
    int64_t barriers, checks;
    double train_loss; /* of the last round */
    weft_wire wire;
    bool has_metrics, has_baselines;
    bool binary_f1;       /* two classes */
    weft_metrics metrics; /* of the last evaluation */
    int64_t metrics_round;
    weft_baselines baselines;
    double seconds_train, seconds_total; /* rounds alone; from the start of the program */
    int signal;                          /* that stopped it, or 0 */
} wh_summary;

/* The figure a run is judged by: accuracy, or Pearson's r. */
double wh_metrics_main(const weft_metrics *m);
const char *wh_metrics_main_name(bool is_regression);

/* *Owned*; NULL when memory is out. */
json_t *wh_summary_json(const wh_summary *s);
/* The table for people: baselines and the federated adapter side by side, bytes, time, folder. */
void wh_summary_text(wh_text *to, const wh_summary *s);

/* One table of metrics, "name value" pairs, as `weft eval` prints it;
 * binary_f1 for two classes. */
void wh_metrics_text(wh_text *to, const weft_metrics *m, bool binary_f1);

#endif
