/* Runs side by side, from their summary.json: the table of weft compare and weft sweep. */
#ifndef WEFT_HOST_COMPARE_TABLE_H
#define WEFT_HOST_COMPARE_TABLE_H

#include "host/text.h"

#include <jansson.h>

/* The summary of a run folder, or the file itself. *out is *own*ed (json_decref). WEFT_E_DATA: it
 * is no training run, or one that has not ended. */
WEFT_NODISCARD weft_status wh_compare_load(json_t **out, const char *word, weft_error *err);

/* A text of a summary, "-" where it has none. */
const char *wh_compare_text(const json_t *run, const char *key);

/* WEFT_E_DATA when the runs do not compare: some are classification, some regression. */
WEFT_NODISCARD weft_status wh_compare_check(json_t *const *runs, int n, weft_error *err);

/* Runs of one sweep: columns of what differs in place of name, strategy and clients. */
typedef struct wh_compare_points {
    const char *head;         /* of the first column */
    int n_keys;               /* at most WH_SWEEP_MAX_KEYS */
    const char *const *key;   /* (n_keys) heads of the columns */
    const char *const *label; /* (n) first cells */
    const char *const *value; /* (n, n_keys) */
} wh_compare_points;

/* One row a run, the baselines of the first run that has them on top. `points` may be NULL. */
WEFT_NODISCARD weft_status wh_compare_table(wh_text *out, json_t *const *runs, int n,
                                            const wh_compare_points *points, weft_error *err);

#endif
