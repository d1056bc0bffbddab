/* What a run writes as it goes, all by whole lines:
 *   metrics.jsonl  one object per round          rounds.csv   the same as a table
 *   clients.csv    one line per client and round
 *   checks.csv     one line per look at the variance between clients, where a job has them
 *   timing.jsonl   seconds, rates, memory        events.jsonl  things that happened
 *   log.txt        the log
 * The first four hold no clock readings and nothing that depends on packing, so that two runs of
 * one job can be compared byte for byte. Lines are collected; wh_run_log_flush makes them visible.
 */
#ifndef WH_RUN_LOG_H
#define WH_RUN_LOG_H

#include "engine/weft.h"
#include "host/ranks.h"
#include "host/run_folder.h"

#include <jansson.h>

typedef struct wh_run_log wh_run_log;

typedef struct wh_run_log_options {
    bool is_regression;     /* which metrics the columns are */
    bool binary_f1;         /* two classes: f1_binary as well */
    bool evaluates_clients; /* clients.csv has eval columns */
    bool has_checks;        /* there is a checks.csv */
    /* To go on with a run: wh_run_log_offsets of its checkpoint. Files that it names are cut back
     * to their lengths there, the others grow on. NULL: a new run. Borrowed during the call. */
    const json_t *cut;
} wh_run_log_options;

/* Creates the files and writes the headers of the tables, or goes on. WEFT_E_RESUME: `cut` is not
 * what wh_run_log_offsets makes, or a file is shorter. */
WEFT_NODISCARD weft_status wh_run_log_open(wh_run_log **out, const wh_run_folder *run,
                                           const wh_run_log_options *options, weft_error *err);
/* Flushes and closes all files; returns the first failure. NULL is fine. */
WEFT_NODISCARD weft_status wh_run_log_close(wh_run_log *log, weft_error *err);

/* A finished round. eval: of the server's test set, NULL when not evaluated. client_eval: one per
 * client of the report, in its order; n = 0 for one that was not evaluated; NULL: none. */
WEFT_NODISCARD weft_status wh_run_log_round(wh_run_log *log, const weft_round_report *report,
                                            const weft_metrics *eval,
                                            const weft_metrics *client_eval, weft_error *err);

typedef struct wh_round_timing {
    int64_t round, tokens, clients, packs;
    double train_seconds, cpu_seconds, eval_seconds; /* training by the clock, all its threads */
    int64_t anonymous_bytes, peak_anonymous_bytes, peak_rss_bytes; /* host/memory.h */
    weft_swap swap;                                                /* written when there is any */
    wh_exchanges exchanges;                                        /* of training, likewise */
} wh_round_timing;
WEFT_NODISCARD weft_status wh_run_log_timing(wh_run_log *log, const wh_round_timing *timing,
                                             weft_error *err);

/* {"time": now, "event": kind, …fields}. `fields` is an object or NULL; it stays the caller's. */
WEFT_NODISCARD weft_status wh_run_log_event(wh_run_log *log, const char *kind, const json_t *fields,
                                            weft_error *err);
/* "2026-11-21T09:26:45Z info engine: text"; newlines in the text become spaces. */
WEFT_NODISCARD weft_status wh_run_log_line(wh_run_log *log, weft_log_level level,
                                           const char *module, const char *text, weft_error *err);

/* Hand all collected lines to the system; with `sync`, to the disk. Call once a round. */
WEFT_NODISCARD weft_status wh_run_log_flush(wh_run_log *log, bool sync, weft_error *err);

/* {"metrics.jsonl": bytes, …} for the files that tell of rounds; what is collected but not flushed
 * does not count. events.jsonl and log.txt are history and are never cut. *Own*ed; NULL: out of
 * memory. */
json_t *wh_run_log_offsets(const wh_run_log *log);

/* Metrics as a JSON object with the keys of the files, *own*ed, for summaries; NULL: out of memory.
 */
json_t *wh_metrics_json(const weft_metrics *metrics, bool binary_f1);

#endif
